"""The Scrapy request that carries a call of the platform's API."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from scrapy import Request

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import ApiCall
    from ali1688_spider.gateway.protocols import WireCall


class ApiRequest(Request):
    """A request whose address, body and signature are made from its call just before sending.

    Attributes:
        call: What is wanted.
        attempt: Which try of the call this is, from 1.
        delay: Seconds that the scheduler keeps the request before it may be sent.
    """

    __slots__ = ("attempt", "call", "delay")

    attributes = (*Request.attributes, "call", "attempt", "delay")

    def __init__(
        self, url: str, *, call: ApiCall, attempt: int = 1, delay: float = 0, **kwargs: Any
    ) -> None:
        self.call = call
        self.attempt = attempt
        self.delay = delay
        super().__init__(url, **kwargs)

    def sign(self, wire_call: WireCall) -> None:
        """Take over address and body of the signed call, in place.

        A new request would go through the scheduler once more.
        """
        self.method = wire_call.http_method
        self._set_url(wire_call.url)
        self._set_body(wire_call.body)
        if wire_call.body:
            self.headers["Content-Type"] = "application/x-www-form-urlencoded;charset=UTF-8"

    def unsign(self, url: str) -> None:
        """Forget the signature: put back the address without it, and an empty body."""
        self._set_url(url)
        self._set_body(b"")

    def retried(self, delay: float) -> ApiRequest:
        """Return the next try of the same call, to be sent in *delay* seconds."""
        return self.replace(attempt=self.attempt + 1, delay=delay, dont_filter=True)

    def __repr__(self) -> str:
        return f"<{self.call} try {self.attempt}>"

    __str__ = __repr__


class CallFingerprinter:
    """Tells requests apart by their call; nothing of a signature goes into it."""

    def fingerprint(self, request: Request) -> bytes:
        """Return 20 bytes, equal for equal calls (for other requests: for equal URLs)."""
        text = request.call.encode() if isinstance(request, ApiRequest) else request.url
        return hashlib.sha1(text.encode(), usedforsecurity=False).digest()
