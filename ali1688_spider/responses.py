"""The answer to a call, read and known to be data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scrapy.http import Response

if TYPE_CHECKING:
    from ali1688_spider.requests import ApiRequest


_TELLING_HEADERS = ("Content-Type", "Date", "Retry-After")


def text_headers(response: Response) -> dict[str, str]:
    """Return as texts the headers that tell something about an answer, by lower-case names."""
    headers = ((name, response.headers.get(name)) for name in _TELLING_HEADERS)
    return {name.lower(): value.decode("latin-1") for name, value in headers if value is not None}


class ApiResponse(Response):
    """What ``middlewares/errors.py`` makes of an answer that is no error.

    Attributes:
        payload: The decoded JSON, its numbers exact (``Decimal``); None when the product is gone.
        fetched_at: When the answer arrived (UTC); for a cached answer, when it first did.
        gone: The platform says that the product no longer exists.
    """

    request: ApiRequest | None

    attributes = (*Response.attributes, "payload", "fetched_at", "gone")

    def __init__(
        self,
        *args: Any,
        payload: Any = None,
        fetched_at: datetime | None = None,
        gone: bool = False,
        **kwargs: Any,
    ) -> None:
        self.payload = payload
        self.fetched_at = fetched_at or datetime.now(UTC)
        self.gone = gone
        super().__init__(*args, **kwargs)
