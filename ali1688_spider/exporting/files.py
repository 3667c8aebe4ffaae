"""Output files: the format that the suffix says, written to their place as a whole."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scrapy.exporters import BaseItemExporter
from scrapy.extensions.feedexport import apply_uri_params
from scrapy.settings import BaseSettings
from scrapy.utils.conf import feed_complete_default_values_from_settings
from w3lib.url import file_uri_to_path

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.feeds import CsvFeed, JsonLinesFeed
from ali1688_spider.exporting.typed_files import ParquetFile, XlsxFile, optional_package
from ali1688_spider.private_files import replacing

if TYPE_CHECKING:
    from ali1688_spider.exporting.rows import Table

STANDARD_OUTPUT = "-"
FORMATS: dict[str, Callable[..., BaseItemExporter]] = {
    "csv": CsvFeed,
    "jsonl": JsonLinesFeed,
    "xlsx": XlsxFile,
    "parquet": ParquetFile,
}


def format_of(file: str) -> str:
    """Return the format that the suffix of *file* means; raise ConfigurationError for none."""
    if file == STANDARD_OUTPUT:
        raise ConfigurationError(
            f"standard output has no suffix: say --format with one of {', '.join(FORMATS)}"
        )
    suffix = Path(file).suffix.removeprefix(".").lower()
    name = "jsonl" if suffix in {"jsonlines", "ndjson"} else suffix
    if name not in FORMATS:
        endings = ", ".join(f".{known}" for known in FORMATS)
        raise ConfigurationError(
            f"{file} has no suffix that says its format: end it with one of {endings}, "
            "or say --format"
        )
    return name


def exporter(name: str, file: IO[bytes], table: Table) -> BaseItemExporter:
    """Return what writes the rows of *table* into *file* in the format *name*."""
    if name in {"xlsx", "parquet"}:
        return FORMATS[name](file, table=table)
    return FORMATS[name](file, fields_to_export=table.columns)


def check_feeds(settings: BaseSettings, parameters: Mapping[str, Any]) -> None:
    """Check the workbooks among the feeds of a crawl.

    Args:
        settings: Those of the crawl; ``FEEDS`` has what ``-o`` and ``-O`` say.
        parameters: What a feed's address may name, such as ``%(name)s``.

    Raises:
        ConfigurationError: openpyxl is missing, or the workbook is there and would be appended to.
    """
    for address, given in settings.getdict("FEEDS").items():
        options = feed_complete_default_values_from_settings(given, settings, str(address))
        if options["format"] != "xlsx":
            continue
        optional_package("openpyxl", "xlsx")
        if options.get("overwrite"):
            continue
        try:
            place = apply_uri_params(str(address), {**parameters, "batch_id": 1})
        except KeyError:  # it names the time, and is new
            continue
        scheme = urlsplit(place).scheme
        path = Path(file_uri_to_path(place) if scheme == "file" else place)
        if scheme in {"", "file"} and path.exists() and path.stat().st_size:
            raise ConfigurationError(
                f"{place} exists already, and a workbook cannot be appended to: "
                f"say another name, or -O {place} to replace it"
            )


@contextlib.contextmanager
def open_output(file: str) -> Iterator[IO[bytes]]:
    """Open *file* for writing bytes; it appears, or replaces an older one, when all is written.

    Until then the bytes are in a hidden file beside it, which is removed when something fails.
    ``-`` is standard output.

    Raises:
        BrokenPipeError: A reader of standard output, such as ``head``, has enough.
        ConfigurationError: The file cannot be written; the text says why.
    """
    try:
        if file == STANDARD_OUTPUT:
            sys.stdout.flush()
            # Of its own, so that an exporter that closes it leaves sys.stdout open.
            with open(sys.stdout.fileno(), "wb", closefd=False) as stream:
                yield stream
        else:
            path = Path(file).resolve()
            if path.exists() and not path.is_file():
                raise OSError(0, "it exists and is not a regular file")  # noqa: TRY301  # as others
            with replacing(path, mode=0o666) as part:
                yield part
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        shown = "standard output" if file == STANDARD_OUTPUT else file
        raise ConfigurationError(f"{shown} cannot be written: {reason}") from error
