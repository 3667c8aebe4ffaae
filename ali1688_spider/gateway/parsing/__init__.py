"""Reads the data of responses: one module per family of APIs.

Reading a product gives the fields of the product record that are set in the data, as a dict, and an
empty one when there is no product in it. Reading a search gives a :class:`SearchPage`, or raises
UnreadableResponseError when there is none.

* What is not set is no key, so that a row of a search erases nothing in a store.
* The reading is as lenient as the platform: numbers may be strings, names have variants.
* No value is judged. An impossible one passes through as it came, and validation refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.errors import UnreadableResponseError
from ali1688_spider.gateway.parsing.fields import Fields, count, first, listed

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a search; past the end its rows are empty.

    Attributes:
        total: How many products the search finds; None if unknown.
        page: Number of the page, from 1; None if unknown.
        page_size: How many rows a full page has; None if unknown.
        rows: The fields that each row sets.
        payloads: Each row as it came, in the order of ``rows``.
    """

    total: int | None
    page: int | None
    page_size: int | None
    rows: list[Fields]
    payloads: list[Any]

    @classmethod
    def read(
        cls, page: dict[str, Any], rows: Any, read_row: Callable[[dict[str, Any]], Fields]
    ) -> SearchPage:
        """Return the page whose totals are in *page*, by any of the names that the APIs have.

        Raises:
            UnreadableResponseError: *page* has neither rows nor a total, or *rows* is no list.
        """
        total = _number(page, "totalCount", "totalRecords")
        payloads = listed(rows)
        if not isinstance(payloads, list) or (rows is None and total is None):
            raise UnreadableResponseError("no search page in the response")
        return cls(
            total=total,
            page=_number(page, "pageNo", "currentPage"),
            page_size=_number(page, "pageSize"),
            rows=[read_row(row) if isinstance(row, dict) else {} for row in payloads],
            payloads=payloads,
        )


def _number(page: dict[str, Any], *names: str) -> int | None:
    number = count(first(page, *names))
    return number if isinstance(number, int) and not isinstance(number, bool) else None
