"""Product ids in Excel workbooks and Parquet files, row by row; their packages are optional."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from lxml import etree

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.typed_files import optional_package
from ali1688_spider.spiders.id_tables import (
    NO_ID,
    SAMPLE_ROWS,
    Found,
    Layout,
    first_id,
    named_columns,
)

MAGIC_BYTES = 8
ROWS_AT_ONCE = 500
MAX_LINKS = 100_000
"""Links of one sheet that are read; Excel itself allows 65,530."""
EXACT = 2**53
"""Up to here a number of a spreadsheet is a whole number as it was typed."""

_ZIP, _PARQUET = b"PK\x03\x04", b"PAR1"
_OTHERS = {
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls), or one with a password",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "compressed",
    b"Rar!": "compressed",
    b"7z\xbc\xaf": "compressed",
}


def check_file(path: Path) -> None:
    """Raise ConfigurationError for a file that no format fits, or whose package is missing.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(MAGIC_BYTES)
        file.seek(0)
        what = next((what for magic, what in _OTHERS.items() if start.startswith(magic)), None)
        try:
            if start.startswith(_ZIP):
                optional_package("openpyxl", "xlsx")
                with ZipFile(file) as archive:
                    if not any(name.startswith("xl/") for name in archive.namelist()):
                        what = "an archive, and no Excel workbook"
            elif start.startswith(_PARQUET):
                parquet = _parquet()
                with parquet.ParquetFile(file):
                    pass
        except (BadZipFile, ValueError) as error:  # ArrowInvalid is one
            what = f"damaged ({_first_line(error)})"
    if what:
        raise ConfigurationError(
            f"ids_file {str(path)!r} is {what}: save it as .xlsx, as .csv, or as a text of one "
            "product id or URL a line"
        )


def binary_reader(start: bytes) -> Callable[[IO[bytes]], Iterator[list[Found]]] | None:
    """Return what reads a file that begins with *start*; None for a text."""
    if start.startswith(_ZIP):
        return _read_workbook
    return _read_parquet if start.startswith(_PARQUET) else None


def may_become_binary(start: bytes) -> bool:
    """Return whether *start* is too short to tell a text from another file."""
    return any(magic.startswith(start) for magic in (_ZIP, _PARQUET))


def _read_workbook(file: IO[bytes]) -> Iterator[list[Found]]:
    openpyxl = optional_package("openpyxl", "xlsx")
    warnings.filterwarnings("ignore", module="openpyxl")  # of styles that it does not know
    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    sheets = [_Sheet(book, sheet) for sheet in book.worksheets]
    known = [(sheet, layout) for sheet in sheets if (layout := sheet.layout())]
    # Where no sheet looks like one of ids, the first that has something is read.
    others = ((sheet, Layout()) for sheet in sheets if sheet.sample)
    for sheet, layout in known or islice(others, 1):
        yield from sheet.read(layout, "Row" if sheet is sheets[0] else f"{sheet.title}, row")


class _Sheet:
    """A sheet whose rows are read one by one; its links, when the first is asked for."""

    def __init__(self, book: Any, sheet: Any) -> None:
        self._archive: ZipFile = book._archive  # noqa: SLF001  # there is no other way
        self._path: str = sheet._worksheet_path  # noqa: SLF001  # likewise
        self._sheet = sheet
        self.title = f"Sheet {sheet.title!r}"
        sheet.reset_dimensions()  # some programs write wrong ones
        sample = list(islice(self._rows(), SAMPLE_ROWS))
        self.sample = sample if any(map(any, sample)) else []

    def layout(self) -> Layout | None:
        """Return where its ids are; None when it seems to have none."""
        if layout := Layout.of(self.sample):
            return layout
        linked = [self._linked(number, row) for number, row in enumerate(self.sample, 1)]
        return Layout.of(linked) if any(map(any, linked)) else None

    def read(self, layout: Layout, place: str) -> Iterator[list[Found]]:
        """Yield what is in its rows, some hundreds at once."""
        numbered = islice(enumerate(self._rows(), 1), layout.skipped, None)
        while rows := list(islice(numbered, ROWS_AT_ONCE)):
            yield [
                (f"{place} {number}", each)
                for number, row in rows
                for each in self._ids(layout, number, row)
            ]

    def _ids(self, layout: Layout, number: int, row: list[str]) -> list[int | ValueError]:
        found = layout.ids(row)
        if found and first_id(found) is None and any(links := self._linked(number, row)):
            by_link = layout.ids(links)
            return found if first_id(by_link) is None else by_link
        return found

    def _rows(self) -> Iterator[list[str]]:
        return map(_cells, self._sheet.iter_rows(values_only=True))

    def _linked(self, number: int, row: list[str]) -> list[str]:
        """Return the addresses behind the cells of a row."""
        return [self._links.get((number, column), "") for column in range(1, len(row) + 1)]

    @cached_property
    def _links(self) -> dict[tuple[int, int], str]:
        return dict(islice(self._read_links(), MAX_LINKS))

    def _read_links(self) -> Iterator[tuple[tuple[int, int], str]]:
        """Yield row, column and target of hyperlinks, and of formulas that make one."""
        utils, relations = import_module("openpyxl.utils"), {}
        relationship = import_module("openpyxl.packaging.relationship")
        targets = relationship.get_rels_path(self._path)
        if targets in self._archive.namelist():
            found = relationship.get_dependents(self._archive, targets)
            relations = {each.Id: each.Target for each in found}
        with self._archive.open(self._path) as stream:
            tags = ["{*}row", "{*}f", "{*}hyperlink"]
            for _, element in etree.iterparse(stream, tag=tags, resolve_entities=False):
                kind = etree.QName(element).localname
                if kind == "f" and "1688.com" in (element.text or ""):
                    parent = element.getparent()
                    row, column = utils.cell.coordinate_to_tuple(parent.get("r", "A1"))
                    yield (row, column), element.text.replace('"', " ")
                elif kind == "hyperlink":
                    relation = next((v for k, v in element.items() if k.endswith("}id")), "")
                    for cells in utils.cell.rows_from_range(element.get("ref")):
                        for cell in cells:
                            place = utils.cell.coordinate_to_tuple(cell)
                            yield place, relations.get(relation, "")
                elif kind == "row":
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]


def _read_parquet(file: IO[bytes]) -> Iterator[list[Found]]:
    parquet = _parquet()
    with parquet.ParquetFile(file) as table:
        flat = [field.name for field in table.schema_arrow if not field.type.num_fields]
        named = [flat[column] for column, _ in named_columns(flat)]
        names = named or flat
        if not names:
            yield [("Row 1", ValueError("no column of product ids"))]
            return

        def rows() -> Iterator[list[str]]:
            for batch in table.iter_batches(ROWS_AT_ONCE, columns=names):
                columns = [batch.column(name).to_pylist() for name in names]
                for row in zip(*columns, strict=True):
                    yield _cells(row, exact=2**64)

        remaining = rows()
        sample = list(islice(remaining, SAMPLE_ROWS))
        layout = Layout.of([names, *sample]) or Layout()
        numbered = enumerate(chain(sample, remaining), 1)
        while batch := list(islice(numbered, ROWS_AT_ONCE)):
            yield [
                (f"Row {number}", each)
                for number, row in batch
                for each in layout.ids(row) or [ValueError(NO_ID)]
            ]


def _cells(row: Sequence[Any], exact: int = EXACT) -> list[str]:
    """Return a row's values as texts; a number that may have lost digits, with an exponent."""
    cells = []
    for value in row:
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(whole, int) and not isinstance(whole, bool):
            limit = EXACT if isinstance(value, float) else exact
            cells.append(str(whole) if abs(whole) <= limit else f"{whole:.14e}")
        else:
            cells.append("" if value is None else str(value))
    return cells


def _parquet() -> Any:
    optional_package("pyarrow", "parquet")
    return import_module("pyarrow.parquet")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
