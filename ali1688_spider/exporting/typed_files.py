"""Excel workbooks and Parquet files, which are typed, and written row by row.

Their packages are optional; where one is missing, ConfigurationError says how to install it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from tempfile import TemporaryFile
from typing import IO, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints
from zipfile import ZIP_DEFLATED, ZipFile

from lxml.etree import SerialisationError
from pydantic import AwareDatetime
from scrapy.exporters import BaseItemExporter
from typing_extensions import is_typeddict

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.rows import (
    FORMULA_STARTS,
    PRODUCTS,
    SKUS,
    Table,
    cell_text,
    row_of,
    sku_rows,
)

logger = logging.getLogger(__name__)

# Microsoft, "Excel specifications and limits": rows of a sheet, characters of a cell,
# digits, links of a sheet. Of an address, XlsxWriter's documentation.
MAX_ROWS = 1_048_576
MAX_TEXT = 32_767
MAX_DIGITS = 15
MAX_LINKS = 65_530
MAX_ADDRESS = 2_079

ROW_GROUP = 5_000  # of Parquet

WHOLE_FORMAT = "0"
MONEY_FORMAT = "0.00########"
TIME_FORMAT = 'yyyy-mm-dd"T"hh:mm:ss"Z"'
LINK_STYLE = "Hyperlink"
CUT_MARK = "… [cut]"
CUT_SENTENCE = (
    "texts were longer than a cell can hold and were cut; .csv, .jsonl and .parquet have them whole"
)

_NOT_IN_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# What a relation of a workbook can name without being encoded.
_LINK = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?([/?#][A-Za-z0-9\-._~:/?#@!$&'()*+,;=%]*)?")
LINKED = {"url", "images", "image"}
"""Columns of addresses; of several in a cell, the first is the link."""

_NARROW = 14
_WIDTHS = {
    "product_id": 16,
    "sku_id": 18,
    "spec_id": 36,
    "name": 48,
    "attributes": 32,
    "url": 46,
    "at": 21,
    "fetched_at": 21,
    "first_seen_at": 21,
    "changed_at": 21,
    "listed_at": 21,
    "modified_at": 21,
}

Fields: TypeAlias = Mapping[str, str] | Iterable[str]
"""Columns, perhaps with the names that they have in the file."""


class XlsxFile(BaseItemExporter):
    """Writes a workbook in constant memory; the SKUs of products have a sheet of their own, too.

    Numbers of up to 15 digits, all that Excel can hold, are numbers, exact; longer ones are texts.
    Texts are typed as such and never run as a formula. Times are Excel's, in UTC. Addresses are
    links, of each table as many as one sheet may have. A text that no cell can hold is cut, marked
    at its end, and counted in ``cut``.
    """

    def __init__(self, file: IO[bytes], *, table: Table, fields: Fields | None = None) -> None:
        super().__init__()
        self._openpyxl = optional_package("openpyxl", "xlsx")
        self._file = file
        self._book = self._openpyxl.Workbook(write_only=True)
        # As Excel's own; openpyxl's is larger than other text, and not underlined.
        font = self._openpyxl.styles.Font(color="0563C1", underline="single")
        self._book.add_named_style(self._openpyxl.styles.NamedStyle(LINK_STYLE, font, builtinId=8))
        self._rows = _Sheets(self._book, table.name, fields or table.columns)
        has_skus = "skus" in self._rows.columns
        self._skus = _Sheets(self._book, SKUS.name, SKUS.columns) if has_skus else None

    @property
    def cut(self) -> int:
        """How many texts were cut so far."""
        return self._rows.cut + (self._skus.cut if self._skus else 0)

    def export_item(self, item: Any) -> None:
        """Write one row to a temporary file; raise OSError where there is no room for it."""
        row = row_of(item)
        with self._write_errors():
            self._rows.append(row)
            if self._skus and row.get("skus"):
                for sku in sku_rows(row):
                    self._skus.append(sku)

    def finish_exporting(self) -> None:
        """Write the workbook to the file; raise OSError where there is no room for it."""
        with self._write_errors():
            self._rows.close()
            if self._skus:
                self._skus.close()
        # A feed's file may be open for appending, but an archive is not written from start to end.
        with TemporaryFile() as whole:
            # As openpyxl's own save() does, which leaves the archive open when it fails.
            with ZipFile(whole, "w", ZIP_DEFLATED) as archive:
                self._openpyxl.writer.excel.ExcelWriter(self._book, archive).write_data()
            whole.seek(0)
            shutil.copyfileobj(whole, self._file)

    @contextlib.contextmanager
    def _write_errors(self) -> Iterator[None]:
        """Raise OSError when a sheet cannot be written; its rows are in a temporary file."""
        try:
            yield
        except SerialisationError as error:
            for sheet in self._book.worksheets:
                if sheet._writer:  # noqa: SLF001  # else it is closed when the interpreter ends
                    with contextlib.suppress(SerialisationError):  # the same again
                        sheet._writer.xf.close()  # noqa: SLF001
            code = getattr(errno, str(error).removeprefix("IO_"), errno.EIO)
            raise OSError(code, os.strerror(code)) from error


class XlsxFeed(XlsxFile):
    """The workbook of a crawl (``-O products.xlsx``), written when the crawl ends.

    Its columns are those of the record, then others that the first item has, unless
    ``FEED_EXPORT_FIELDS`` says otherwise. ``FEED_EXPORTERS`` names this class.
    """

    def __init__(
        self, file: IO[bytes], *, fields_to_export: Fields | None = None, **_: object
    ) -> None:
        super().__init__(file, table=PRODUCTS, fields=fields_to_export)
        self._takes_others = not fields_to_export

    def export_item(self, item: Any) -> None:
        """Write one row, as :meth:`XlsxFile.export_item`."""
        if self._takes_others:
            self._takes_others = False
            self._rows.columns |= {name: name for name in row_of(item)}
        super().export_item(item)

    def finish_exporting(self) -> None:
        """Write the workbook, and log how many texts were cut."""
        super().finish_exporting()
        if self.cut:
            logger.warning("%d %s", self.cut, CUT_SENTENCE)


class _Sheets:
    """The rows of one table; a further sheet follows when one is full."""

    def __init__(self, book: Any, title: str, fields: Fields) -> None:
        openpyxl = optional_package("openpyxl", "xlsx")
        self._new_cell = openpyxl.cell.WriteOnlyCell
        self._letter = openpyxl.utils.get_column_letter
        self._book = book
        self._title = title
        names = fields.items() if isinstance(fields, Mapping) else ((each, each) for each in fields)
        self.columns: dict[str, str] = dict(names)
        self.cut = 0
        self._sheet: Any = None
        self._count = self._rows = 0
        self._links = 0  # of all sheets: each is in memory until the workbook is complete

    def append(self, row: Mapping[str, Any]) -> None:
        if self._sheet is None or self._rows == MAX_ROWS:
            self._begin()
        self._sheet.append([self._cell(name, row.get(name)) for name in self.columns])
        self._rows += 1

    def close(self) -> None:
        if self._sheet is None:
            self._begin()
        last = self._letter(len(self.columns))
        self._sheet.auto_filter.ref = f"A1:{last}{self._rows}"
        self._sheet.close()

    def _begin(self) -> None:
        place = None
        if self._sheet is not None:
            self.close()
            place = self._book.index(self._sheet) + 1
        self._count += 1
        self._rows = 1
        title = self._title if self._count == 1 else f"{self._title} {self._count}"
        self._sheet = self._book.create_sheet(title, place)
        self._sheet.freeze_panes = "A2"
        for number, column in enumerate(self.columns, 1):
            self._sheet.column_dimensions[self._letter(number)].width = _WIDTHS.get(column, _NARROW)
        self._sheet.append(list(self.columns.values()))

    def _cell(self, column: str, value: Any) -> Any:
        if value is None or value in ([], {}):
            return None
        if isinstance(value, datetime):
            return self._typed("d", value.replace(tzinfo=None, microsecond=0), TIME_FORMAT)
        if isinstance(value, bool | float):
            return value
        if isinstance(value, int | Decimal) and _digits(value) <= MAX_DIGITS:
            # Ids, too, are numbers: exact, sorted as such, and the same as in a CSV file that is
            # opened. Without a format of theirs they would show as 6.1E+11.
            if isinstance(value, int):
                return self._typed("n", value, WHOLE_FORMAT)
            # As text: openpyxl would go by way of a float.
            return self._typed("n", f"{value:f}", MONEY_FORMAT)
        text = _NOT_IN_XML.sub("\ufffd", cell_text(value))
        if len(text) > MAX_TEXT:
            self.cut += 1
            text = text[: MAX_TEXT - len(CUT_MARK)] + CUT_MARK
        cell = self._typed("s", text)
        # Typed as text it is no formula; the mark keeps it so when somebody edits the cell.
        if text.startswith(FORMULA_STARTS):
            cell.quotePrefix = True
        elif column in LINKED:
            self._link(cell, text.partition(" ")[0])
        return cell

    def _link(self, cell: Any, address: str) -> None:
        if self._links < MAX_LINKS and len(address) <= MAX_ADDRESS and _LINK.fullmatch(address):
            self._links += 1
            cell.hyperlink = address
            cell.style = LINK_STYLE

    def _typed(self, data_type: str, value: Any, number_format: str = "") -> Any:
        cell = self._new_cell(self._sheet, value)
        cell.data_type = data_type
        if number_format:
            cell.number_format = number_format
        return cell


class ParquetFile(BaseItemExporter):
    """Writes row groups of some thousand rows; no more than one is in memory.

    Money is ``decimal(34, 18)``, which holds every price of the record exactly; times are UTC in
    milliseconds; SKUs and price tiers are lists of structures, attributes of a product are maps.
    The old and new value of a change are exact texts, as they are money, a count or a word.
    """

    def __init__(self, file: IO[bytes], *, table: Table) -> None:
        super().__init__()
        pyarrow = optional_package("pyarrow", "parquet")
        parquet = optional_package("pyarrow.parquet", "parquet")
        types = table.types.items()
        self._schema = pyarrow.schema([(name, _arrow_type(pyarrow, hint)) for name, hint in types])
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
        return _arrow_type(arrow, type(parts[0]))
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


def optional_package(name: str, suffix: str) -> Any:
    """Import what files of this suffix need; raise ConfigurationError where it is missing."""
    try:
        return import_module(name)
    except ImportError:
        raise ConfigurationError(
            f"for .{suffix} the package {name} is missing: "
            f"in a checkout run .venv/bin/pip install {name}, or choose .csv"
        ) from None


def _digits(number: int | Decimal) -> int:
    """Return the number of significant digits, as written."""
    return len(f"{Decimal(number):f}".lstrip("-0.").replace(".", ""))
