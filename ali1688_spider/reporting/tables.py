"""Tables that the page's script makes sortable and filterable; without it they are just tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ali1688_spider.reporting.markup import element

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal
    from xml.etree.ElementTree import Element


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: What it shows.
        number: What it is sorted by; None: by its text.
        kind: Its class.
        language: Of its text, where it is not the page's.
    """

    text: str
    number: Decimal | float | None = None
    kind: str | None = None
    language: str | None = None


def name_cell(name: str | None) -> Cell:
    """Return the cell of a product's or supplier's name."""
    return Cell(name or "–", kind="name", language="zh" if name else None)


def table(
    name: str, caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]
) -> Element:
    """Return a table in a box that scrolls sideways.

    Args:
        name: Its id in the page.
        caption: What it shows.
        columns: Their titles; one that ends with ``#`` has numbers, the sign is not shown.
        rows: The cells of each row.
    """
    heads = [
        element(
            "th",
            column.removesuffix("#"),
            scope="col",
            class_="number" if column.endswith("#") else None,
        )
        for column in columns
    ]
    body = element("tbody", *(element("tr", *map(_cell, row)) for row in rows))
    inner = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *heads)),
        body,
        id=name,
    )
    return element("div", inner, class_="scroll", role="region", aria_label=caption, tabindex="0")


def _cell(cell: Cell) -> Element:
    kinds = ["number" if cell.number is not None else "", cell.kind or ""]
    return element(
        "td",
        cell.text,
        class_=" ".join(filter(None, kinds)) or None,
        lang=cell.language,
        data_sort=None if cell.number is None else str(cell.number),
    )
