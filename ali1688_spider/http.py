"""The Scrapy request that carries a call of the platform's API."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy.http import Response

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.protocols import WireResponse

if TYPE_CHECKING:
    from ali1688_spider.gateway.protocols import WireCall
    from ali1688_spider.scheduling.lease import Lease


class ApiRequest(Request):
    """A request whose address, body and signature are made from its call just before sending.

    Attributes:
        call: What is wanted.
        attempt: Which try of the call this is, from 1.
        delay: Seconds that the scheduler keeps the request before it may be sent.
        counted: Whether the try before this one counts among the limited number of tries.
        leases: Settle the call in the shared queue, one for each product; empty when it was not
            leased there.
        alone: Whether the product is not to be joined with others into one call.
        recoveries: What was repaired for this call (``token``, ``clock``), each once at most.
        access_token: The token that the call was signed with.
        probe: Whether this try tests whether the gateway is back.
        quota_day: The day that this try counts for (days since 1970 in China); 0 for none.
        cache_key: Under which the cache knows the call; empty when it was not asked.
    """

    attributes = (
        *Request.attributes,
        "call",
        "attempt",
        "delay",
        "counted",
        "alone",
        "leases",
        "recoveries",
    )

    def __init__(
        self,
        url: str,
        *,
        call: ApiCall,
        attempt: int = 1,
        delay: float = 0,
        counted: bool = True,
        alone: bool = False,
        leases: tuple[Lease, ...] = (),
        recoveries: frozenset[str] = frozenset(),
        **kwargs: Any,
    ) -> None:
        self.call = call
        self.attempt = attempt
        self.delay = delay
        self.counted = counted
        self.alone = alone
        self.leases = leases
        self.recoveries = recoveries
        # No attributes in Scrapy's sense: neither copied to the next try nor written to disk.
        self.access_token = ""
        self.probe = False
        self.quota_day = 0
        self.cache_key = ""
        super().__init__(url, **kwargs)

    def sign(self, wire_call: WireCall) -> None:
        """Take over the signed call in place: a new request would be scheduled once more."""
        self.access_token = wire_call.access_token
        self.method = wire_call.http_method
        self._change_url(wire_call.url)
        self._set_body(wire_call.body)
        self.headers.update(wire_call.headers)

    def unsign(self, url: str) -> None:
        """Forget the signature: put back the address without it, and an empty body."""
        self._change_url(url)
        self._set_body(b"")

    def _change_url(self, url: str) -> None:
        if url != self.url:  # Scrapy takes every new address apart
            self._set_url(url)

    def retried(self, delay: float, *, counted: bool = True) -> ApiRequest:
        """Return the next try, to be sent in *delay* seconds; uncounted, in place of this one."""
        attempt = self.attempt + 1 if counted else self.attempt
        return self.replace(
            attempt=attempt, delay=delay, counted=counted, recoveries=frozenset(), dont_filter=True
        )

    def part(self, product_ids: Sequence[int]) -> ApiRequest:
        """Return the request for some of its products, to be sent at once."""
        leases = (
            each for each in self.leases if each.call and each.call.product_ids[0] in product_ids
        )
        return self.replace(
            call=ApiCall.products(product_ids), leases=tuple(leases), alone=True, dont_filter=True
        )

    def retry_now(self, recovery: str) -> ApiRequest:
        """Return another try of the same call, to be sent at once, after *recovery*."""
        retry = self.replace(recoveries=self.recoveries | {recovery}, dont_filter=True)
        retry.probe = self.probe
        return retry

    def __repr__(self) -> str:
        return f"<{self.call} try {self.attempt}>"


class TokenRequest(Request):
    """Asks the gateway for a new access token; not signed, its body carries the app secret."""

    def __repr__(self) -> str:
        return f"<token request to {self.url}>"


class ImageRequest(Request):
    """Asks for a picture of a product: no call, unsigned, counted by no quota."""

    def __init__(self, url: str, **kwargs: Any) -> None:
        super().__init__(url, headers={"Accept": "image/*"}, **kwargs)


class CallFingerprinter:
    """Fingerprints requests by their call, without its signature."""

    def fingerprint(self, request: Request) -> bytes:
        """Return 20 bytes, equal for equal calls (for other requests: for equal URLs)."""
        text = request.call.encode() if isinstance(request, ApiRequest) else request.url
        return hashlib.sha1(text.encode(), usedforsecurity=False).digest()


def wire_response(request: Request, response: Response) -> WireResponse:
    """Return *response* as the client reads it, with the headers that it looks at."""
    headers = {
        name: value.decode("latin-1")
        for name in ("content-type", "date", "retry-after")
        if (value := response.headers.get(name)) is not None
    }
    latency = request.meta.get("download_latency", 0.0)
    return WireResponse(response.status, headers, response.body, latency)


class ApiResponse(Response):
    """What ``middlewares/errors.py`` makes of a response that is no error.

    Attributes:
        payload: The decoded JSON, its numbers exact (``Decimal``); None when the product is gone.
        fetched_at: When the response arrived (UTC); for a cached one, when it first did.
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
