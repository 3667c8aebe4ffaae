"""``scrapy report``: what happened to prices and stock, as a page."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime

from ali1688_spider.config import read_setting
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.files import STANDARD_OUTPUT, open_output
from ali1688_spider.exporting.selection import open_database
from ali1688_spider.gateway.identifiers import parse_product_id
from ali1688_spider.project_command import ProjectCommand, output_file
from ali1688_spider.reporting.figures import Period
from ali1688_spider.reporting.page import page
from ali1688_spider.reporting.reading import read_report

MAX_DAYS = 366
MAX_PRODUCTS = 50


class Command(ProjectCommand):
    usage = "[options] FILE.html"
    summary = "Write a page on price changes, stock changes and crawls"
    description = (
        "Write a report to FILE.html, or to standard output with -: which products became "
        "cheaper or dearer, the price and stock curves of products, and how the crawls went. "
        "The page needs no other file and no network."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument_group("Report").add_argument
        add("--days", type=int, default=7, metavar="N", help="period in days (default: 7)")
        products = "products whose curves are shown: ids or URLs, separated by commas "
        products += "(default: those with most changes)"
        add("--products", metavar="IDS", default="", help=products)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        file = output_file(args, "report")
        if not 1 <= opts.days <= MAX_DAYS:
            raise ConfigurationError(f"--days is {opts.days}: say a number from 1 to {MAX_DAYS}")
        period = Period.last_days(opts.days, datetime.now(UTC))
        product_ids = _product_ids(opts.products)
        quota = read_setting(self.settings, "ALI1688_DAILY_QUOTA")
        with open_database(self.settings) as database:
            report = read_report(database, period, product_ids)
        with open_output(file) as stream:
            stream.write(page(report, quota).encode())
        if file != STANDARD_OUTPUT:
            print(f"Report of {opts.days} days written to {file}")


def _product_ids(text: str) -> list[int]:
    try:
        ids = [parse_product_id(part) for part in re.split(r"[,\s]+", text) if part]
    except ValueError as error:
        raise ConfigurationError(f"--products: {error}") from error
    if len(ids) > MAX_PRODUCTS:
        raise ConfigurationError(f"--products names {len(ids)}: say {MAX_PRODUCTS} at most")
    return list(dict.fromkeys(ids))
