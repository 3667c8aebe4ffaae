"""One page of a search, whatever API answered it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ali1688_spider.exceptions import UnexpectedAnswerError
from ali1688_spider.gateway.parsing.values import Fields, count, first, listed

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a search; past the end its rows are empty.

    Attributes:
        total: How many products the search finds; None if the answer does not tell.
        page: Which page this is, from 1; likewise.
        page_size: How many rows a page has; likewise.
        rows: The fields that each row tells.
        payloads: Each row as it came, in the order of ``rows``.
    """

    total: int | None
    page: int | None
    page_size: int | None
    rows: list[Fields]
    payloads: list[Any]


def search_page(
    page: dict[str, Any], rows: Any, read_row: Callable[[dict[str, Any]], Fields]
) -> SearchPage:
    """Return the page that the object *page* describes.

    Args:
        page: The object with the totals, by any of the names that the APIs have for them.
        rows: The list of rows in it.
        read_row: Gives the fields of one row.

    Raises:
        UnexpectedAnswerError: *page* has neither rows nor a total, or *rows* is no list.
    """
    total = _number(first(page, "totalCount", "totalRecords"))
    payloads = listed(rows)
    if not isinstance(payloads, list) or (rows is None and total is None):
        raise UnexpectedAnswerError("no search page in the answer")
    return SearchPage(
        total=total,
        page=_number(first(page, "pageNo", "currentPage")),
        page_size=_number(first(page, "pageSize")),
        rows=[read_row(row) if isinstance(row, dict) else {} for row in payloads],
        payloads=payloads,
    )


def _number(value: Any) -> int | None:
    number = count(value)
    return number if isinstance(number, int) and not isinstance(number, bool) else None
