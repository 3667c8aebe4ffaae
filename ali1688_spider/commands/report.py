"""``scrapy report``: what happened to prices and stock, as a page."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ali1688_spider.config import read_setting
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.files import STANDARD_OUTPUT, open_output
from ali1688_spider.exporting.selection import open_database
from ali1688_spider.gateway.identifiers import parse_product_id
from ali1688_spider.project_command import ProjectCommand, output_file

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Period

MAX_DAYS = 366
MAX_HOURS = 168
MAX_PRODUCTS = 50


class Command(ProjectCommand):
    usage = "[options] FILE.html"
    summary = "Write a page on price changes, stock changes and crawls"
    description = (
        "Write a report to FILE.html, or to standard output with -: which products became "
        "cheaper or dearer, the price and stock curves of products, and how the crawls went. "
        "The page is in English and Chinese and needs no other file. A browser loads the pictures "
        "of products from the platform; with --no-images it needs no network."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        group = parser.add_argument_group("Report")
        either = group.add_mutually_exclusive_group().add_argument
        either("--days", type=int, default=7, metavar="N", help="period in days (default: 7)")
        hours = f"period in hours, up to {MAX_HOURS}, instead of days"
        either("--hours", type=int, metavar="N", help=hours)
        products = "products whose curves are shown: ids or URLs, separated by commas "
        products += "(default: those with most changes)"
        group.add_argument("--products", metavar="IDS", default="", help=products)
        pictures = "show no pictures, which a browser loads from the platform"
        group.add_argument("--no-images", dest="images", action="store_false", help=pictures)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        from ali1688_spider.reporting.page import page
        from ali1688_spider.reporting.reading import read_report

        file = output_file(args, "report")
        period, length = _period(opts)
        product_ids = _product_ids(opts.products)
        quota = read_setting(self.settings, "ALI1688_DAILY_QUOTA")
        with open_database(self.settings) as database:
            report = read_report(database, period, product_ids)
        with open_output(file) as stream:
            stream.write(page(report, quota, images=opts.images).encode())
        if file != STANDARD_OUTPUT:
            print(f"Report of {length} written to {file}")


def _period(opts: argparse.Namespace) -> tuple[Period, str]:
    """Return the period that the options say, and its length in words."""
    from ali1688_spider.reporting.figures import Period

    now = datetime.now(UTC)
    if opts.hours is not None:
        if not 1 <= opts.hours <= MAX_HOURS:
            raise ConfigurationError(
                f"--hours is {opts.hours}: say a number from 1 to {MAX_HOURS}, or use --days"
            )
        return Period.last_hours(opts.hours, now), _plural(opts.hours, "hour")
    if not 1 <= opts.days <= MAX_DAYS:
        raise ConfigurationError(f"--days is {opts.days}: say a number from 1 to {MAX_DAYS}")
    return Period.last_days(opts.days, now), _plural(opts.days, "day")


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _product_ids(text: str) -> list[int]:
    try:
        ids = [parse_product_id(part) for part in re.split(r"[,\s]+", text) if part]
    except ValueError as error:
        raise ConfigurationError(f"--products: {error}") from error
    if len(ids) > MAX_PRODUCTS:
        raise ConfigurationError(f"--products names {len(ids)}: say {MAX_PRODUCTS} at most")
    return list(dict.fromkeys(ids))
