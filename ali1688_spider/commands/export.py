"""``scrapy export``: the stored products, or what changed, as a file."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from scrapy.exceptions import UsageError

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.database import stored
from ali1688_spider.exporting.formats import FORMATS, exporter, format_of
from ali1688_spider.exporting.moments import moment
from ali1688_spider.exporting.rows import CHANGE_COLUMNS, PRODUCT_COLUMNS
from ali1688_spider.exporting.selection import Selection, changes, count_products, products
from ali1688_spider.exporting.target import STANDARD_OUTPUT, target
from ali1688_spider.exporting.workbook import XlsxFile
from ali1688_spider.gateway.identifiers import read_identifiers
from ali1688_spider.project_command import ProjectCommand

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pymongo.database import Database
    from scrapy.exporters import BaseItemExporter

_AMOUNT = re.compile(r"\d{1,16}(\.\d{1,18})?", re.ASCII)
_WHEN = "a date, a time (UTC unless it names a zone), or an age such as 7d or 24h"


class Command(ProjectCommand):
    def syntax(self) -> str:
        return "[options] FILE"

    def short_desc(self) -> str:
        return "Write the stored products, or what changed, to a file"

    def long_desc(self) -> str:
        return (
            "Write the stored products to FILE, in the format that its suffix says: .csv, .jsonl, "
            ".xlsx or .parquet; - is standard output. The file appears when it is complete. "
            "Products whose price is private are left out."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument_group("Export").add_argument
        add("--format", choices=FORMATS, help="the format, whatever the suffix")
        add("--changes-since", metavar="WHEN", help=f"what changed since then instead: {_WHEN}")
        add("--status", action="append", default=[], help="this status (may be repeated)")
        add("--category", metavar="ID_OR_NAME", help="this category")
        add("--supplier", metavar="NAME", help="this supplier")
        add("--ids-file", metavar="FILE", help="these products: one id or URL a line")
        add("--updated-since", metavar="WHEN", help=f"collected since {_WHEN}")
        add("--changed-since", metavar="WHEN", help=f"changed since {_WHEN}")
        add("--min-price", metavar="CNY", help="the lowest unit price is this or more")
        add("--max-price", metavar="CNY", help="the lowest unit price is this or less")
        add("--in-stock", action="store_true", help="only what is on sale")
        add("--private", action="store_true", help="also products whose price is private")
        add("--limit", type=int, metavar="N", help="no more than N rows")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1 or (args[0] != STANDARD_OUTPUT and args[0].startswith("-")):
            raise UsageError("say one FILE; options are listed by scrapy export -h")
        assert self.settings is not None
        file_format = format_of(args[0], opts.format)
        selection = _selection(opts)
        since = _moment(opts.changes_since)
        with stored(self.settings) as database:
            rows, total = _rows(database, selection, since, opts)
            columns = PRODUCT_COLUMNS if since is None else CHANGE_COLUMNS
            kind = "products" if since is None else "changes"
            with target(args[0]) as file:
                writer = exporter(file_format, file, columns=columns, title=kind)
                count = _write(writer, rows, total)
        out = sys.stderr if args[0] == STANDARD_OUTPUT else sys.stdout
        noun = kind.removesuffix("s") if count == 1 else kind
        print(f"{count:,} {noun} written to {args[0]}", file=out)
        if isinstance(writer, XlsxFile) and writer.cut:
            print(
                f"{writer.cut:,} texts were longer than a cell can hold and were cut; "
                ".csv, .jsonl and .parquet have them whole",
                file=out,
            )


def _rows(
    database: Database[dict[str, Any]],
    selection: Selection,
    since: datetime | None,
    opts: argparse.Namespace,
) -> tuple[Iterator[dict[str, Any]], int | None]:
    """Return the rows, and how many there will be where that is known cheaply."""
    ids = None if opts.ids_file is None else _ids(opts.ids_file)
    if since is not None:
        return islice(changes(database, selection, since, ids), opts.limit), None
    total = None
    if ids is None and sys.stderr.isatty():
        total = count_products(database, selection)
        total = total if opts.limit is None else min(total, opts.limit)
    return islice(products(database, selection, ids), opts.limit), total


def _write(writer: BaseItemExporter, rows: Iterator[dict[str, Any]], total: int | None) -> int:
    """Write all rows, with a progress bar where a person sees it; return how many they were."""
    count = 0
    console = Console(stderr=True)
    writer.start_exporting()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        for row in bar.track(rows, total=total, description="Writing"):
            writer.export_item(row)
            count += 1
    writer.finish_exporting()
    return count


def _selection(opts: argparse.Namespace) -> Selection:
    if opts.limit is not None and opts.limit < 0:
        raise ConfigurationError("--limit is below 0: say how many rows at most")
    return Selection(
        statuses=tuple(opts.status),
        category=opts.category,
        supplier=opts.supplier,
        updated_since=_moment(opts.updated_since),
        changed_since=_moment(opts.changed_since),
        min_price=_amount("--min-price", opts.min_price),
        max_price=_amount("--max-price", opts.max_price),
        in_stock=opts.in_stock,
        private=opts.private,
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else moment(text, now=datetime.now(UTC))


def _amount(option: str, text: str | None) -> Decimal | None:
    if text is None:
        return None
    if not _AMOUNT.fullmatch(text):
        raise ConfigurationError(f"{option} is {text!r}: say an amount in CNY such as 12.50")
    return Decimal(text)


def _ids(file: str) -> Iterator[int]:
    """Yield the ids of a file; say which lines have none."""
    try:
        with sys.stdin if file == "-" else Path(file).open(encoding="utf-8-sig") as lines:
            for number, entry in read_identifiers(lines):
                if isinstance(entry, int):
                    yield entry
                else:
                    print(f"{file}, line {number}: {entry}; left out", file=sys.stderr)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigurationError(f"--ids-file {file} cannot be read: {reason}") from error
