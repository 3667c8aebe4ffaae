"""The formats of a file of products or changes, chosen by the file's suffix."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.feeds import CsvFeed, JsonLinesFeed
from ali1688_spider.exporting.table import ParquetFile
from ali1688_spider.exporting.target import STANDARD_OUTPUT
from ali1688_spider.exporting.workbook import XlsxFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy.exporters import BaseItemExporter

FORMATS = ("csv", "jsonl", "xlsx", "parquet")
_OTHER_NAMES = {"jsonlines": "jsonl", "ndjson": "jsonl"}


def format_of(file: str, chosen: str | None) -> str:
    """Return the format that is *chosen*, else the one that the suffix of *file* means.

    Raises:
        ConfigurationError: There is neither.
    """
    if chosen is not None:
        return chosen
    if file == STANDARD_OUTPUT:
        raise ConfigurationError(
            f"standard output has no suffix: say --format with one of {', '.join(FORMATS)}"
        )
    suffix = Path(file).suffix.removeprefix(".").lower()
    name = _OTHER_NAMES.get(suffix, suffix)
    if name not in FORMATS:
        endings = ", ".join(f".{known}" for known in FORMATS)
        raise ConfigurationError(
            f"{file} has no suffix that says its format: end it with one of {endings}, "
            "or say --format"
        )
    return name


def exporter(name: str, file: IO[bytes], *, columns: Sequence[str], title: str) -> BaseItemExporter:
    """Return what writes *columns* into *file* in the format *name*.

    Raises:
        ConfigurationError: A package that the format needs is not installed.
    """
    if name == "csv":
        return CsvFeed(file, fields_to_export=columns)
    if name == "jsonl":
        return JsonLinesFeed(file, fields_to_export=columns)
    if name == "xlsx":
        return XlsxFile(file, fields_to_export=columns, title=title)
    return ParquetFile(file, fields_to_export=columns)
