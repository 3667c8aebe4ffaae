"""What happens to a call, whatever its protocol.

The order of checks is the platform's: API exists, signature, token, permission (and then the rate
and the quota), parameters.
"""

from __future__ import annotations

import asyncio
import zlib
from abc import ABC, abstractmethod
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ali1688_spider.sandbox.admission import ban_message
from ali1688_spider.sandbox.answers import encode
from ali1688_spider.sandbox.faults import BUSINESS
from ali1688_spider.sandbox.parameters import read_parameters
from ali1688_spider.sandbox.products import FIRST_ID
from ali1688_spider.sandbox.queries import ProductQuery
from ali1688_spider.sandbox.refusals import REFUSALS, RefusedError
from ali1688_spider.sandbox.transport import spoil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ali1688_spider.sandbox.apis import Api
    from ali1688_spider.sandbox.faults import Fault
    from ali1688_spider.sandbox.queries import Query
    from ali1688_spider.sandbox.state import State

_JSON = {"Content-Type": "application/json;charset=UTF-8"}
_SLOW_SECONDS = 5.0


class Protocol(ABC):
    """A way to call the gateway."""

    def __init__(self, state: State) -> None:
        self._state = state

    @abstractmethod
    def identify(self, request: web.BaseRequest, params: Mapping[str, str]) -> Api:
        """Return the API that is called.

        Raises:
            RefusedError: There is none.
        """

    @abstractmethod
    def authenticate(self, request: web.BaseRequest, params: Mapping[str, str]) -> None:
        """Check app key, signature, timestamp and token.

        Raises:
            RefusedError: One of them is wrong.
        """

    @abstractmethod
    def error(self, refused: RefusedError) -> tuple[int, Any]:
        """Return the HTTP status and the body of an error."""

    def wrap(self, api_name: str, body: bytes) -> bytes:  # noqa: ARG002  # some protocols use it
        """Return the body of an answer as the protocol has it."""
        return body

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a call."""
        self._state.counters.called()
        try:
            params = await read_parameters(request)
            return await self.handle(request, params)
        except RefusedError as refused:
            self._state.counters.refused(refused.refusal.name)
            return self._refusal(refused)

    async def handle(
        self, request: web.BaseRequest, params: Mapping[str, str]
    ) -> web.StreamResponse:
        """Answer a call whose parameters are read.

        Raises:
            RefusedError: It is refused.
        """
        state = self._state
        api = self.identify(request, params)
        state.counters.called_api(api.name)
        self.authenticate(request, params)
        state.admission.admit(api.name)
        query = api.read(params)
        if isinstance(query, ProductQuery):
            state.counters.called_product(query.product_id)
        fault = self._take_fault(api, query)
        return await self.deliver(fault, request, api.name, lambda: self._answer(api, query))

    async def deliver(
        self,
        fault: Fault | None,
        request: web.BaseRequest,
        api_name: str,
        answer: Callable[[], web.Response],
    ) -> web.StreamResponse:
        """Return the *answer* of a call, or what a fault makes of it.

        Raises:
            RefusedError: The answer is a refusal.
        """
        counters = self._state.counters
        if fault:
            counters.faulted(fault.name)
            if fault.name != "slow":
                return await self._strike(fault, request, api_name, answer)
            await asyncio.sleep(_SLOW_SECONDS if fault.number is None else fault.number)
        response = answer()
        if response.status == HTTPStatus.OK:
            counters.answered()
        return response

    async def _strike(
        self,
        fault: Fault,
        request: web.BaseRequest,
        api_name: str,
        answer: Callable[[], web.Response],
    ) -> web.StreamResponse:
        if fault.name in BUSINESS:
            return json_response(self.wrap(api_name, encode(BUSINESS[fault.name])))
        if fault.name in REFUSALS:
            message = "" if fault.number is None else ban_message(fault.number)
            return self._refusal(RefusedError(fault.name, message))
        try:
            response = answer()
        except RefusedError as refused:
            response = self._refusal(refused)
        return await spoil(fault, request, response)

    def _answer(self, api: Api, query: Query) -> web.Response:
        body = None
        if isinstance(query, ProductQuery):
            body = self._state.catalogue.answer(query.product_id)
        if body is None:
            body = self.wrap(api.name, self._state.answers.body(api, query))
        return json_response(body)

    def _refusal(self, refused: RefusedError) -> web.Response:
        status, body = self.error(refused)
        return json_response(encode(body), self._state.options.error_status or status)

    def _take_fault(self, api: Api, query: Query) -> Fault | None:
        faults, queued = self._state.faults, None
        if isinstance(query, ProductQuery):
            queued = faults.take_queued(query.product_id)
            index = query.product_id - FIRST_ID
        else:
            index = zlib.crc32(repr(query).encode("utf-8", "surrogatepass"))
        return queued or faults.take_queued(api.name) or faults.take(query, index)


def json_response(body: bytes, status: int = 200) -> web.Response:
    """Return a response whose body is a JSON text."""
    return web.Response(body=body, status=status, headers=_JSON)
