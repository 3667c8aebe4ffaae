"""``scrapy watch list``: which products are watched, and when each is fetched."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scrapy.settings import BaseSettings

from ali1688_spider.config import read_setting
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.selection import open_database, products
from ali1688_spider.project_command import ProjectCommand, print_table, rough_time
from ali1688_spider.spiders.watch import open_watch_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.watching.watched_product import NextFetch

LISTED = 100


class Command(ProjectCommand):
    usage = "list [--limit N] [--json]"
    summary = "List the watched products"
    description = (
        "List the watched products, those first that are fetched next: when each was fetched last, "
        "when it will be next, and how often it was seen to change, or told to. scrapy crawl watch "
        "watches products, scrapy unwatch ends it."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        text = f"at most N products (default: {LISTED})"
        parser.add_argument("--limit", type=int, default=LISTED, metavar="N", help=text)
        parser.add_argument("--json", action="store_true", help="as a JSON array")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        if args != ["list"]:
            raise ConfigurationError("say what to do: list")
        if opts.limit < 1:
            raise ConfigurationError("--limit is below 1: say how many products at most")
        with closing(open_watch_store(self.settings)) as store:
            watched, upcoming = store.upcoming(opts.limit)
            pages, _ = store.looks(1)
        names = _names(self.settings, [each.product_id for each in upcoming])
        if opts.json:
            rows = [_as_json(each, names) for each in upcoming]
            print(json.dumps(rows, ensure_ascii=False))
        elif not upcoming:
            print("No product is watched.")
        else:
            shown = len(upcoming)
            title = f"{shown:,} watched products"
            if shown == opts.limit < watched:
                title = f"The next {shown:,} of about {watched:,} watched products"
            title += f"; pages looked at: {pages:,}" if pages else ""
            columns = ("product", "name", "last fetched (UTC)", "next", "interval", "changes")
            print_table(title, columns, [_row(each, names) for each in upcoming])


def _names(settings: BaseSettings, product_ids: Sequence[int]) -> dict[int, str]:
    """Return the stored names; none without a database."""
    if not product_ids or not read_setting(settings, "MONGO_URI"):
        return {}
    with open_database(settings) as database:
        stored = products(database, {}, product_ids)
        return {product["_id"]: product.get("name") or "" for product in stored}


def _row(fetch: NextFetch, names: dict[int, str]) -> tuple[str, ...]:
    product, interval = fetch.product, fetch.interval
    wait = 0.0 if fetch.due is None else fetch.due - time.time()
    changes = f"{product.changes + product.hints:.0f}"
    changes += f", {product.hints:.0f} told" if product.hints else ""
    changes += ", hinted now" if product.hinted_at else ""
    changes += ", removed now" if product.removals else ""
    return (
        str(fetch.product_id),
        names.get(fetch.product_id, ""),
        "" if product.fetched_at is None else f"{_time(product.fetched_at):%F %T}",
        f"in {rough_time(wait)}" if wait > 0 else "now",
        "" if interval is None else rough_time(interval),
        "" if product.fetched_at is None else changes,
    )


def _as_json(fetch: NextFetch, names: dict[int, str]) -> dict[str, object]:
    product, due = fetch.product, fetch.due
    fetched_at = product.fetched_at
    return {
        "product_id": fetch.product_id,
        "name": names.get(fetch.product_id),
        "last_fetched": None if fetched_at is None else _time(fetched_at).isoformat(),
        "next_due": None if due is None else _time(due).isoformat(),
        "interval_seconds": fetch.interval,
        "changes": round(product.changes + product.hints, 1),
        "hints": round(product.hints, 1),
        "hinted_at": None if product.hinted_at is None else _time(product.hinted_at).isoformat(),
        "removed": bool(product.removals),
    }


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds), UTC)
