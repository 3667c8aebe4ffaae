"""Excel workbooks and Parquet files, which are typed, and written row by row.

Their packages are optional; where one is missing, ConfigurationError says how to install it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from typing import IO, Any, Literal, get_args, get_origin, get_type_hints
from zipfile import ZIP_DEFLATED, ZipFile

from lxml.etree import SerialisationError
from pydantic import AwareDatetime
from scrapy.exporters import BaseItemExporter
from typing_extensions import is_typeddict

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.rows import FORMULA_STARTS, ChangeRow, cell_text, row_of
from ali1688_spider.items import Product

# Microsoft, "Excel specifications and limits": rows of a sheet, characters of a cell, digits.
MAX_ROWS = 1_048_576
MAX_TEXT = 32_767
MAX_DIGITS = 15

ROW_GROUP = 5_000  # of Parquet

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
    cell can hold is cut, marked at its end, and counted in ``cut``.
    """

    def __init__(self, file: IO[bytes], *, fields_to_export: Sequence[str], title: str) -> None:
        super().__init__(fields_to_export=fields_to_export)
        self._openpyxl = openpyxl = _package("openpyxl", "xlsx")
        self.cut = 0
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
        if isinstance(value, bool | float):
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


class ParquetFile(BaseItemExporter):
    """Writes row groups of some thousand rows; no more than one is in memory.

    Money is ``decimal(34, 18)``, which holds every price of the record exactly; times are UTC in
    milliseconds; SKUs and price tiers are lists of structures, attributes are maps. The old and
    new value of a change are exact texts, as they are money, a count or a word.

    Each column is one of the record's or of a change's.
    """

    def __init__(self, file: IO[bytes], *, fields_to_export: Sequence[str]) -> None:
        super().__init__(fields_to_export=fields_to_export)
        pyarrow, parquet = _package("pyarrow", "parquet"), _package("pyarrow.parquet", "parquet")
        hints = {name: field.annotation for name, field in Product.model_fields.items()}
        hints |= get_type_hints(ChangeRow)
        columns = [(name, _arrow_type(pyarrow, hints[name])) for name in fields_to_export]
        self._schema = pyarrow.schema(columns)
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._as_table = pyarrow.Table.from_pylist
        self._rows: list[dict[str, Any]] = []

    def export_item(self, item: Any) -> None:
        """Add one row."""
        row = row_of(item)
        for name in {"old", "new"} & row.keys():
            row[name] = None if row[name] is None else cell_text(row[name])
        self._rows.append(row)
        if len(self._rows) == ROW_GROUP:
            self._write_group()

    def finish_exporting(self) -> None:
        """Write what is left, and the file's end."""
        if self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        self._writer.write_table(self._as_table(self._rows, schema=self._schema), ROW_GROUP)
        self._rows.clear()


def _arrow_type(arrow: Any, hint: Any) -> Any:
    """Return the type of the values that *hint*, an annotation of the record, describes."""
    if is_typeddict(hint):
        fields = get_type_hints(hint).items()
        return arrow.struct([(name, _arrow_type(arrow, field)) for name, field in fields])
    origin, parts = get_origin(hint), get_args(hint)
    if origin is list:
        return arrow.list_(_arrow_type(arrow, parts[0]))
    if origin is dict:
        return arrow.map_(*(_arrow_type(arrow, part) for part in parts))
    if origin is Literal:
        return arrow.string()
    if parts:  # of a type with constraints, or with None
        return _arrow_type(arrow, parts[0])
    return {
        bool: arrow.bool_(),
        int: arrow.int64(),
        float: arrow.float64(),
        str: arrow.string(),
        Decimal: arrow.decimal128(34, 18),
        AwareDatetime: arrow.timestamp("ms", tz="UTC"),
    }[hint]


def _package(name: str, suffix: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise ConfigurationError(
            f"for .{suffix} the package {name} is missing: "
            f"run pip install 'ali1688-spider[{suffix}]', or choose .csv"
        ) from None


def _digits(number: int | Decimal) -> int:
    """Return the number of significant digits, as written."""
    return len(f"{Decimal(number):f}".lstrip("-0.").replace(".", ""))
