"""``scrapy export``: the stored products, or what changed, as a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from scrapy.exporters import BaseItemExporter

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting import selection
from ali1688_spider.exporting.files import (
    FORMATS,
    STANDARD_OUTPUT,
    exporter,
    format_of,
    open_output,
)
from ali1688_spider.exporting.rows import CHANGES, PRODUCTS, SKUS, sku_rows
from ali1688_spider.exporting.typed_files import CUT_SENTENCE, XlsxFile
from ali1688_spider.project_command import FILE_HELP, ProductIds, ProjectCommand, output_file


class Command(ProjectCommand):
    usage = "[options] FILE"
    summary = "Write the stored products, or their changes, to a file"
    description = (
        "Write the stored products to FILE, in the format of its suffix: .csv, .jsonl, .xlsx "
        "or .parquet; - is standard output. The file appears when it is complete. Products "
        "with private prices are left out. WHEN is a date, a time (UTC unless it has a zone), "
        "or an age such as 7d, 6h or 30m."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument_group("Export").add_argument
        add("--format", choices=FORMATS, help="format, whatever the suffix")
        add("--changes-since", metavar="WHEN", help="changes since WHEN, instead of products")
        add("--skus", action="store_true", help="one row per SKU, instead of one per product")
        add("--status", action="append", default=[], help="only this status (may be repeated)")
        add("--category", metavar="ID_OR_NAME", help="only this category")
        add("--supplier", metavar="NAME", help="only this supplier")
        add("--ids-file", metavar="FILE", help=f"only products of this {FILE_HELP}")
        add("--updated-since", metavar="WHEN", help="only products collected since WHEN")
        add("--changed-since", metavar="WHEN", help="only products that changed since WHEN")
        add("--min-price", metavar="CNY", help="only lowest unit prices of at least CNY")
        add("--max-price", metavar="CNY", help="only lowest unit prices of at most CNY")
        add("--in-stock", action="store_true", help="only products with stock")
        add("--private", action="store_true", help="also products with private prices")
        add("--limit", type=int, metavar="N", help="at most N rows")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        file = output_file(args, "export")
        file_format = opts.format or format_of(file)
        if opts.limit is not None and opts.limit < 0:
            raise ConfigurationError("--limit is below 0: say how many rows at most")
        if opts.skus and opts.changes_since is not None:
            raise ConfigurationError(
                "--skus and --changes-since are different rows: say one of them, "
                "as each change names its SKU"
            )
        query = selection.product_query(opts)
        since = opts.changes_since
        since = None if since is None else selection.parse_time(since)
        ids = None if opts.ids_file is None else ProductIds([], opts.ids_file)
        with selection.open_database(self.settings) as database:
            total = None
            if since is not None:
                table, noun = CHANGES, "changes"
                rows = selection.changes(database, query, since, ids)
            else:
                table, noun = PRODUCTS, "products"
                rows = selection.products(database, query, ids)
                if ids is None and not opts.skus and sys.stderr.isatty():
                    total = database["products"].count_documents(query)
                    total = min(total, opts.limit or total)
            if opts.skus:
                table, noun = SKUS, "rows"
                rows = chain.from_iterable(map(sku_rows, rows))
            with open_output(file) as stream:
                writer = exporter(file_format, stream, table)
                count = _write(writer, islice(rows, opts.limit), total)
        out = sys.stderr if file == STANDARD_OUTPUT else sys.stdout
        print(f"{count:,} {noun if count != 1 else noun[:-1]} written to {file}", file=out)
        if isinstance(writer, XlsxFile) and writer.cut:
            print(f"{writer.cut:,} {CUT_SENTENCE}", file=out)


def _write(writer: BaseItemExporter, rows: Iterator[dict[str, Any]], total: int | None) -> int:
    """Write all rows, with a progress bar on a terminal; return their number."""
    from rich.console import Console
    from rich.progress import Progress

    count = 0
    console = Console(stderr=True)
    writer.start_exporting()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        for row in bar.track(rows, total=total, description="Writing"):
            writer.export_item(row)
            count += 1
    writer.finish_exporting()
    return count
