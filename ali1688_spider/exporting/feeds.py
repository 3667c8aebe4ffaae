"""The text formats, for Scrapy's feeds (``-o products.csv``) and for ``scrapy export``.

Settings: ``FEED_EXPORTERS`` names these classes.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import IO, Any

from scrapy.exporters import CsvItemExporter, JsonLinesItemExporter

from ali1688_spider.exporting.rows import (
    FORMULA_STARTS,
    PRODUCT_COLUMNS,
    cell_text,
    json_text,
    row_of,
)


class CsvFeed(CsvItemExporter):
    """Writes CSV that a spreadsheet opens as it is.

    The columns are those of the record, then others that the first item has, unless
    ``FEED_EXPORT_FIELDS`` says otherwise. A file in UTF-8 begins with a byte order mark, without
    which Excel takes Chinese for something else; a pipe has none, as it is read by programs.
    Appended to a file that has content, neither the mark nor the columns' names come again; a file
    without rows has both. A text that would run as a formula gets an apostrophe before it.
    """

    def __init__(self, file: IO[bytes], **kwargs: Any) -> None:
        encoding = kwargs.pop("encoding", None) or "utf-8"
        is_file = file.seekable()
        if is_file and codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"  # the mark is written at position 0 only
        kwargs.setdefault("include_headers_line", not is_file or file.tell() == 0)
        super().__init__(file, encoding=encoding, **kwargs)  # type: ignore[arg-type]  # any binary file will do
        self._has_rows = False

    def export_item(self, item: Any) -> None:
        """Write one row."""
        row = row_of(item)
        if not self.fields_to_export:
            self.fields_to_export = tuple(dict.fromkeys((*PRODUCT_COLUMNS, *row)))
        super().export_item({name: _cell(value) for name, value in row.items()})
        self._has_rows = True

    def finish_exporting(self) -> None:
        """Write what is buffered, and the columns' names when there was no row."""
        if self.include_headers_line and not self._has_rows:
            fields = self.fields_to_export or PRODUCT_COLUMNS
            self.csv_writer.writerow(fields.values() if isinstance(fields, Mapping) else fields)
        super().finish_exporting()


class JsonLinesFeed(JsonLinesItemExporter):
    """Writes one JSON object a line, in UTF-8; decimals are exact texts, times ISO 8601 in UTC."""

    def __init__(self, file: IO[bytes], **kwargs: Any) -> None:
        kwargs["encoding"] = kwargs.get("encoding") or "utf-8"
        super().__init__(file, default=json_text, **kwargs)  # type: ignore[arg-type]  # any binary file will do

    def export_item(self, item: Any) -> None:
        """Write one line."""
        super().export_item(row_of(item))


def _cell(value: Any) -> str:
    text = cell_text(value)
    # Texts only: a negative number stays a number.
    is_formula = isinstance(value, str) and text.startswith(FORMULA_STARTS)
    return f"'{text}" if is_formula else text
