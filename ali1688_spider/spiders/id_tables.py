"""Where the ids of a table are, and the ids in texts: lists, CSV in any form, and JSON lines."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from ali1688_spider.gateway.identifiers import (
    GENERIC_NAMES,
    ID_NAMES,
    URL_NAMES,
    RoundedIdError,
    find_product_ids,
    is_like_product_id,
    plain_name,
)

Found = tuple[str, int | ValueError]
"""Where an id was found, such as ``Line 5``, and the id, or why there is none."""

SAMPLE_ROWS = 20
"""Rows by which a table is known: titles and the header are among them."""

NO_ID = "no product id in the row"

_DELIMITERS = "\t,;|"
_SEP = re.compile("sep=.?$")  # what Excel reads in front of a CSV
_DOUBTFUL = 100_000
"""An id in a table that is a multiple of it may be a rounded one: another column knows better."""


class Layout(NamedTuple):
    """Where the ids of a table are.

    Attributes:
        columns: Indexes of its columns of ids and addresses, best first; empty for a list, in
            which ids may be anywhere.
        skipped: How many rows at the beginning are titles and the header.
        is_named: Whether the columns were found by their names, not by what is in them.
    """

    columns: tuple[int, ...] = ()
    skipped: int = 0
    is_named: bool = False

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> Layout | None:
        """Return the layout that the first rows show; None when they show none."""
        if by_name := cls.by_name(rows):
            return by_name
        columns = _columns_by_content(rows)
        if not columns:
            return None
        if 1 < len(columns) == max(map(len, rows)) and not _mean_one_product(rows, columns):
            return cls()
        first = next(index for index, row in enumerate(rows) if any(map(str.strip, row)))
        has_header = not any(map(is_like_product_id, rows[first]))
        return cls(columns, first + has_header)

    @classmethod
    def by_name(cls, rows: Sequence[Sequence[str]]) -> Layout | None:
        """Return the layout by the names of a header; None when there is no known one."""
        for index, row in enumerate(rows):
            if any(map(is_like_product_id, row)):
                break
            if named := named_columns(row):
                by_content = _columns_by_content(rows[index + 1 :])
                specific = [column for column, is_generic in named if not is_generic]
                generic = [column for column, is_generic in named if is_generic]
                if specific:  # the generic one may number the rows
                    columns = [*specific, *(column for column in generic if column in by_content)]
                else:
                    columns = list(dict.fromkeys([*by_content, *generic]))
                return cls(tuple(columns), index + 1, is_named=True)
        return None

    def ids(self, cells: Sequence[str]) -> list[int | ValueError]:
        """Return the ids of one row, or why it has none.

        They are those of the first column that has some; an id that may have been rounded gives
        way to a whole one in another column.
        """
        if not self.columns:
            return _ids_anywhere(cells)
        is_comment = bool(cells) and cells[0].lstrip().startswith("#")
        if is_comment and 0 in self.columns:
            return []
        found = self._in_columns(cells)
        if first_id(found) is None and not self.is_named:
            anywhere = _ids_anywhere(cells)
            found = found if first_id(anywhere) is None else anywhere
        if first_id(found) is not None:
            return found
        if not found and any(map(str.strip, cells)):
            found = [ValueError(NO_ID)]
        return [] if is_comment else found[:1]

    def _in_columns(self, cells: Sequence[str]) -> list[int | ValueError]:
        reasons: list[int | ValueError] = []
        doubtful: list[int | ValueError] = []
        rounded: RoundedIdError | None = None
        for column in self.columns:
            found = find_product_ids(cells[column], is_cell=True) if column < len(cells) else []
            first = first_id(found)
            if first is None:
                reasons += found
            elif rounded is None and first % _DOUBTFUL == 0:
                doubtful, rounded = found, RoundedIdError(f"{first}.0")
            elif rounded is None or rounded.may_be(first):
                return found
        return doubtful or reasons


class LineReader:
    """Finds the ids in the lines of a text: of a list, a table, or a file of JSON lines.

    The first lines that :meth:`read` is given decide which it is.
    """

    def __init__(self) -> None:
        self._number = 0
        self._lines: list[str] = []
        self._layout: Layout | None = None
        self._delimiter = ""

    def read(self, lines: Iterable[str], *, is_end: bool = False) -> list[Found]:
        """Return what is in further lines; a row of a table may wait for its end."""
        self._lines += lines
        if self._layout is None:
            self._decide(is_end=is_end)
        if self._layout is None:
            return []
        rows = self._rows(is_end=is_end) if self._delimiter else self._entries()
        return [(f"Line {number}", each) for number, found in rows for each in found]

    def _decide(self, *, is_end: bool) -> None:
        is_content = (find_product_ids(line) and not _SEP.match(line) for line in self._lines)
        self._skip(next((index for index, each in enumerate(is_content) if each), len(self._lines)))
        if not self._lines:
            return
        sample = self._lines[:SAMPLE_ROWS]
        header = Layout.by_name([line.split() for line in sample])
        layout, self._delimiter = Layout(skipped=header.skipped if header else 0), ""
        tables = [] if sample[0].startswith("{") else [_Sample.of(sample, d) for d in _DELIMITERS]
        for table in sorted(tables, key=attrgetter("width"), reverse=True):
            found = Layout.of(table.rows) if table.width > 1 else None
            if found and found.columns and (found.is_named or table.is_regular):
                layout, self._delimiter = found, table.delimiter
                break
        if len(self._lines) > layout.skipped or is_end:  # a header alone may be of anything
            self._layout = layout
            self._skip(layout.skipped)

    def _skip(self, lines: int) -> None:
        del self._lines[:lines]
        self._number += lines

    def _entries(self) -> Iterator[tuple[int, list[int | ValueError]]]:
        for line in self._lines:
            self._number += 1
            row = _json_row(line) if line.lstrip().startswith("{") else None
            if row is None:
                yield self._number, find_product_ids(line)
            else:
                cells = list(row.values())
                yield self._number, (Layout.of([list(row), cells]) or Layout()).ids(cells)
        self._lines = []

    def _rows(self, *, is_end: bool) -> Iterator[tuple[int, list[int | ValueError]]]:
        assert self._layout is not None
        while self._lines:
            rows = (f"{line}\n" for line in self._lines)
            reader, used = csv.reader(rows, delimiter=self._delimiter, strict=True), 0
            try:
                for cells in reader:
                    yield self._number + used + 1, self._row(cells)
                    used = reader.line_num
            except csv.Error:
                is_unfinished = reader.line_num == len(self._lines) and not is_end
                self._skip(used)
                if is_unfinished:
                    return
                # A quote that is not closed, or stands where none can be.
                cells = self._lines[0].split(self._delimiter)
                self._skip(1)
                yield self._number, self._row(cells)
            else:
                self._skip(used)

    def _row(self, cells: Sequence[str]) -> list[int | ValueError]:
        assert self._layout is not None
        found = self._layout.ids(cells)
        is_header = found and first_id(found) is None and named_columns(cells)
        return [] if is_header else found  # of a further table


class _Sample(NamedTuple):
    """The first lines of a text, taken for a table."""

    delimiter: str
    rows: list[list[str]]
    width: int
    is_regular: bool

    @classmethod
    def of(cls, lines: Sequence[str], delimiter: str) -> _Sample:
        try:
            rows = list(csv.reader((f"{line}\n" for line in lines), delimiter=delimiter))
        except csv.Error:  # a cell of megabytes
            rows = []
        widths = Counter(len(row) for row in rows if any(row) and not row[0].startswith("#"))
        ((width, count),) = widths.most_common(1) or [(0, 0)]
        # A row may go on after the sample.
        return cls(delimiter, rows, width, is_regular=count > 1 and count >= widths.total() - 1)


_RANKS = {name: rank for rank, name in enumerate((*ID_NAMES, *URL_NAMES, *GENERIC_NAMES))}


def named_columns(row: Sequence[str]) -> list[tuple[int, bool]]:
    """Return the columns of known names, best first, and whether the name is a generic one."""
    names = [(plain_name(cell[:80]), column) for column, cell in enumerate(row)]
    known = sorted((_RANKS[name], column, name) for name, column in names if name in _RANKS)
    return [(column, name in GENERIC_NAMES) for _, column, name in known]


def _columns_by_content(rows: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """Return the columns of which at least half of the cells are ids or addresses."""
    columns = []
    for column in range(max(map(len, rows), default=0)):
        cells = [row[column] for row in rows if column < len(row) and row[column].strip()]
        hits = sum(map(is_like_product_id, cells))
        if hits and 2 * hits >= len(cells) - 1:  # one may be the header
            columns.append(column)
    return tuple(columns)


def _mean_one_product(rows: Sequence[Sequence[str]], columns: Sequence[int]) -> bool:
    """Return whether the cells of each row mean the same product."""
    for row in rows:
        cells = [row[column] for column in columns if column < len(row)]
        found = chain(*(find_product_ids(cell, is_cell=True) for cell in cells))
        if len({each for each in found if isinstance(each, int)}) > 1:
            return False
    return True


def _ids_anywhere(cells: Sequence[str]) -> list[int | ValueError]:
    """Return the ids in a row of which no column is known."""
    found = find_product_ids("\t".join(cells))
    if len(cells) == 1 or first_id(found) is None or any(map(is_like_product_id, cells)):
        return found
    reason = next((each for each in found if isinstance(each, ValueError)), None)
    # Small numbers beside anything else are counts and prices.
    return [reason or ValueError(NO_ID)] if reason or not all(map(str.strip, cells)) else found


def first_id(found: Sequence[int | ValueError]) -> int | None:
    """Return the first id of what was found; None when there are only reasons."""
    return next((each for each in found if isinstance(each, int)), None)


def _json_row(line: str) -> dict[str, str] | None:
    try:
        data = json.loads(line.strip().rstrip(","), parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return None
    return {name: value if isinstance(value, str) else "" for name, value in data.items()}
