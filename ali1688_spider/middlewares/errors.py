"""Turns every answer into data or one typed error, and does what fits the error."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from scrapy.exceptions import IgnoreRequest

from ali1688_spider.addon import account_of
from ali1688_spider.closing import CallReleasedError
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.errors import (
    AuthorizationError,
    CallError,
    Reaction,
    UnknownRefusalError,
    read_answer,
    transport_error,
)
from ali1688_spider.requests import ApiRequest
from ali1688_spider.responses import ApiResponse, text_headers
from ali1688_spider.storage.errors import StoreUnavailableError
from ali1688_spider.storage.failed_call import FailedCall

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.statscollectors import StatsCollector

    from ali1688_spider.account import Account

logger = logging.getLogger(__name__)

MAX_WAIT = 60.0
"""Seconds that back-off alone keeps a call waiting; the platform may ask for more."""


class CallGivenUpError(IgnoreRequest):
    """A call has failed for good; it is kept among the failed ones."""


class ErrorsMiddleware:
    """The one place that decides what becomes of a call that brought no data.

    What an error asks for is its ``reaction``, see :mod:`ali1688_spider.gateway.errors`.
    """

    def __init__(self, account: Account, stats: StatsCollector, spider_name: str) -> None:
        self._account = account
        self._stats = stats
        self._spider_name = spider_name
        self._backoff = Backoff(cap=MAX_WAIT)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware."""
        assert crawler.spider is not None
        return cls(account_of(crawler), crawler.stats, crawler.spider.name)

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        """Return the answer as :class:`ApiResponse`, or the next try of the call.

        Raises:
            CallGivenUpError: The call has failed for good.
            CallReleasedError: The crawl ends because of this answer; the call stays to be made.
        """
        if not isinstance(request, ApiRequest):
            return response
        protocol = self._account.configuration.protocol
        headers = text_headers(response)
        try:
            payload = read_answer(protocol, response.status, headers, response.body)
        except CallError as error:
            self._learn_time(request, response, refused=error.reaction is Reaction.CLOCK)
            if error.reaction is Reaction.GONE and request.call.operation == "product":
                self._account.trial.end()
                self._stats.inc_value(f"ali1688/errors/{error.error_class}")
                return _api_response(request, response, None, gone=True)
            return await self._react(request, error)
        self._learn_time(request, response, refused=False)
        self._account.trial.end()
        return _api_response(request, response, payload)

    async def process_exception(
        self, request: Request, exception: Exception
    ) -> Request | Response | None:
        """Return the next try of a call whose download failed; None for other requests."""
        if not isinstance(request, ApiRequest) or isinstance(exception, IgnoreRequest):
            return None
        error: CallError | None = transport_error(exception)
        if error is None:
            # A defect of ours must not lose the call.
            logger.error("Unexpected error on the way of %s", request, exc_info=exception)
            error = UnknownRefusalError(type(exception).__name__)
        return await self._react(request, error)

    def _learn_time(self, request: ApiRequest, response: Response, *, refused: bool) -> None:
        date = response.headers.get("Date")
        round_trip: float = request.meta.get("download_latency", 0.0)
        clock = self._account.clock
        if date is not None and clock.learn(date.decode(), round_trip=round_trip, refused=refused):
            self._stats.set_value("ali1688/clock/skew_seconds", round(clock.skew_seconds, 1))
            logger.warning(
                "The gateway's clock is %+.0f s off this machine's; signatures take the gateway's "
                "time. Set this machine's clock (NTP).",
                clock.skew_seconds,
            )

    async def _react(self, request: ApiRequest, error: CallError) -> Request:
        self._stats.inc_value(f"ali1688/errors/{error.error_class}")
        match error.reaction:
            case Reaction.RETRY:
                delay = self._backoff.delay(request.attempt, not_before=error.retry_after)
                return await self._retry(request, error, delay)
            case Reaction.WAIT:
                return await self._slow_down(request, error)
            case Reaction.REFRESH_TOKEN if "token" not in request.healed:
                return await self._refresh_token(request, error)
            case Reaction.CLOCK if "clock" not in request.healed:
                return self._mend(request, error, "clock")
            case Reaction.API_CLOSED | Reaction.API_PAUSED | Reaction.FATAL:
                self._close(error, error.close_reason)
            case Reaction.REFRESH_TOKEN | Reaction.CLOCK:
                self._close(error, "bad_credentials")
        return await self._give_up(request, error)

    async def _slow_down(self, request: ApiRequest, error: CallError) -> Request:
        """Hold all workers back by the shared quota, for as long as was asked for."""
        seconds = error.retry_after or self._backoff.delay(request.attempt)
        await self._account.quota.penalise(seconds)
        return await self._retry(request, error, seconds)

    async def _refresh_token(self, request: ApiRequest, error: CallError) -> Request:
        try:
            await self._account.refresh_token(request.access_token)
        except AuthorizationError as refusal:
            self._stats.inc_value(f"ali1688/errors/{refusal.error_class}")
            self._close(refusal, refusal.close_reason)
        except CallError as failure:
            self._stats.inc_value(f"ali1688/errors/{failure.error_class}")
            return await self._retry(request, failure, self._backoff.delay(request.attempt))
        return self._mend(request, error, "token")

    def _mend(self, request: ApiRequest, error: CallError, what: str) -> Request:
        self._stats.inc_value("ali1688/retries")
        logger.info("%s: %s; trying again", request, error)
        return request.mended(what)

    async def _retry(self, request: ApiRequest, error: CallError, delay: float) -> Request:
        if request.attempt >= self._account.configuration.max_attempts:
            return await self._give_up(request, error)
        self._account.trial.end()
        self._stats.inc_value("ali1688/retries")
        logger.info("%s: %s; trying again in %.1f s", request, error, delay)
        return request.retried(delay)

    def _close(self, error: CallError, reason: str) -> NoReturn:
        self._account.closing.close(reason, f"{error}. {error.advice}")
        raise CallReleasedError(str(error))

    async def _give_up(self, request: ApiRequest, error: CallError) -> NoReturn:
        self._account.trial.end()
        logger.warning("%s given up: %s. %s", request, error, error.advice)
        failed = FailedCall(
            spider=self._spider_name,
            call=request.call.encode(),
            api=self._account.apis.name(request.call),
            params=request.call.params,
            error=str(error),
            attempts=request.attempt,
            at=datetime.now(UTC),
        )
        try:
            await self._account.failed_calls.keep(failed)
        except StoreUnavailableError as away:
            logger.error("%s could not be kept among the failed calls: %s", request, away)  # noqa: TRY400  # no traceback for an outage
            if request.handling is not None:
                request.handling.postpone(counted=False)
            raise CallReleasedError(str(error)) from None
        self._stats.inc_value("ali1688/failed_calls")
        if request.handling is not None:
            request.handling.acknowledge()
        raise CallGivenUpError(str(error))


def _api_response(
    request: ApiRequest, response: Response, payload: object, *, gone: bool = False
) -> ApiResponse:
    return ApiResponse(
        response.url,
        status=response.status,
        headers=response.headers,
        flags=response.flags,
        body=response.body,
        request=request,
        payload=payload,
        fetched_at=request.meta.get("fetched_at"),
        gone=gone,
    )
