"""Excel workbooks (``.xlsx``), written row by row."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from datetime import datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

from lxml.etree import SerialisationError
from scrapy.exporters import BaseItemExporter

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.rows import FORMULA_STARTS, cell_text, row_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Microsoft, "Excel specifications and limits": rows of a sheet, characters of a cell, digits.
MAX_ROWS = 1_048_576
MAX_TEXT = 32_767
MAX_DIGITS = 15

MONEY_FORMAT = "0.00########"
TIME_FORMAT = 'yyyy-mm-dd"T"hh:mm:ss"Z"'
CUT_MARK = "… [cut]"

_NOT_IN_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NARROW = 14
_WIDTHS = {"product_id": 16, "name": 48, "at": 21, "fetched_at": 21, "changed_at": 21}


class XlsxFile(BaseItemExporter):
    """Writes a workbook in constant memory; a further sheet follows when one is full.

    Numbers of up to 15 digits, all that Excel can hold, are numbers, exact; longer ones are texts.
    Texts are typed as such and never run as a formula. Times are Excel's, in UTC. A text that no
    cell can hold is cut, marked at its end, and counted.

    Args:
        file: Where the workbook goes, a binary file.
        fields_to_export: The columns.
        title: The sheet's name.

    Attributes:
        cut: How many texts were cut.

    Raises:
        ConfigurationError: The package openpyxl is missing.
    """

    def __init__(self, file: IO[bytes], *, fields_to_export: Sequence[str], title: str) -> None:
        super().__init__(fields_to_export=fields_to_export)
        try:
            import openpyxl  # noqa: PLC0415  # an optional dependency
        except ImportError:
            raise ConfigurationError(
                "for .xlsx the package openpyxl is missing: "
                "run pip install 'ali1688-spider[xlsx]', or choose .csv"
            ) from None
        self.cut = 0
        self._openpyxl = openpyxl
        self._file = file
        self._title = title
        self._columns = tuple(fields_to_export)
        self._book = openpyxl.Workbook(write_only=True)

    def start_exporting(self) -> None:
        """Begin the first sheet, or a further one."""
        number = len(self._book.worksheets) + 1
        name = self._title if number == 1 else f"{self._title} {number}"
        self._sheet = self._book.create_sheet(name)
        self._sheet.freeze_panes = "A2"
        for index, column in enumerate(self._columns, 1):
            letter = self._openpyxl.utils.get_column_letter(index)
            self._sheet.column_dimensions[letter].width = _WIDTHS.get(column, _NARROW)
        self._rows = 0
        self._append(self._columns)

    def export_item(self, item: Any) -> None:
        """Write one row to a temporary file; raise OSError where there is no room for it."""
        if self._rows == MAX_ROWS:
            self._end_sheet()
            self.start_exporting()
        row = row_of(item)
        self._append([self._cell(row.get(name)) for name in self._columns])

    def finish_exporting(self) -> None:
        """Write the workbook to the file; raise OSError where there is no room for it."""
        self._end_sheet()
        # As openpyxl's own save() does, which leaves the archive open when it fails.
        with ZipFile(self._file, "w", ZIP_DEFLATED) as archive:
            self._openpyxl.writer.excel.ExcelWriter(self._book, archive).write_data()

    def _append(self, cells: Sequence[Any]) -> None:
        with self._write_errors():
            self._sheet.append(cells)
        self._rows += 1

    def _end_sheet(self) -> None:
        last_column = self._openpyxl.utils.get_column_letter(len(self._columns))
        self._sheet.auto_filter.ref = f"A1:{last_column}{self._rows}"
        with self._write_errors():
            self._sheet.close()

    @contextlib.contextmanager
    def _write_errors(self) -> Iterator[None]:
        """Raise OSError when a sheet cannot be written; its rows are in a temporary file."""
        try:
            yield
        except SerialisationError as error:
            with contextlib.suppress(SerialisationError):  # the same again
                self._sheet._writer.xf.close()  # noqa: SLF001  # else when the interpreter ends
            code = getattr(errno, str(error).removeprefix("IO_"), errno.EIO)
            raise OSError(code, os.strerror(code)) from error

    def _cell(self, value: Any) -> Any:
        if value is None or value in ([], {}):
            return None
        if isinstance(value, datetime):
            return self._typed("d", value.replace(tzinfo=None, microsecond=0), TIME_FORMAT)
        if isinstance(value, bool):
            return value
        if isinstance(value, int | Decimal) and _digits(value) <= MAX_DIGITS:
            # A Decimal as text: openpyxl would go by way of a float.
            is_money = isinstance(value, Decimal)
            return self._typed("n", f"{value:f}", MONEY_FORMAT) if is_money else value
        text = _NOT_IN_XML.sub("\ufffd", cell_text(value))
        if len(text) > MAX_TEXT:
            self.cut += 1
            text = text[: MAX_TEXT - len(CUT_MARK)] + CUT_MARK
        cell = self._typed("s", text)
        # Typed as text it is no formula; the mark keeps it so when somebody edits the cell.
        if text.startswith(FORMULA_STARTS):
            cell.quotePrefix = True
        return cell

    def _typed(self, data_type: str, value: Any, number_format: str = "") -> Any:
        cell = self._openpyxl.cell.WriteOnlyCell(self._sheet, value)
        cell.data_type = data_type
        if number_format:
            cell.number_format = number_format
        return cell


def _digits(number: int | Decimal) -> int:
    """Return the number of significant digits, as written."""
    return len(f"{Decimal(number):f}".lstrip("-0.").replace(".", ""))
