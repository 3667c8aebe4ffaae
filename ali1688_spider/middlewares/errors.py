"""Turns every answer into data or one typed error, and does what fits the error."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from scrapy import signals
from scrapy.exceptions import IgnoreRequest

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.backoff import Backoff, PauseLimit, limited_wait
from ali1688_spider.gateway.errors import (
    AuthorizationError,
    CallError,
    FlowControlError,
    Reaction,
    UnknownRefusalError,
    UnreachedError,
    read_answer,
    transport_error,
)
from ali1688_spider.http import ApiRequest, ApiResponse, text_headers
from ali1688_spider.middlewares.cache import CACHED
from ali1688_spider.quota.slot_supply import ASK_AGAIN_SECONDS
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.storage.errors import StoreUnavailableError
from ali1688_spider.storage.failed_call import FailedCall

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.statscollectors import StatsCollector
    from twisted.python.failure import Failure

    from ali1688_spider.context import CrawlContext
    from ali1688_spider.gateway.calls import ApiCall

logger = logging.getLogger(__name__)

MAX_WAIT = 60.0
"""Seconds that back-off alone keeps a call waiting; the platform may ask for more."""

MOST_REFUSALS = 50
"""Uncounted tries of one call that are refused for the rate."""

LONG_PAUSE = 5.0
"""Seconds; a longer pause is worth a warning."""

_TROUBLE = frozenset({Reaction.RETRY, Reaction.WAIT})
"""Reactions to what may be the gateway's fault, and tells nothing about the call."""


class CallGivenUpError(IgnoreRequest):
    """A call has failed for good; it is kept among the failed ones."""


class ErrorsMiddleware:
    """The one place that decides what becomes of a call that brought no data.

    What an error asks for is its ``reaction``, see :mod:`ali1688_spider.gateway.errors`. What no
    middleware catches reaches :meth:`process_exception` by the request's errback. Without Redis, a
    call whose answer our own code failed on is given up; with Redis the queue tries it again.
    """

    def __init__(self, context: CrawlContext, stats: StatsCollector, spider_name: str) -> None:
        self._context = context
        self._stats = stats
        self._spider_name = spider_name
        self._backoff = Backoff(cap=MAX_WAIT)
        self._pauses = PauseLimit()
        self._giving_up: set[asyncio.Task[bool]] = set()
        self._refusals: Counter[ApiCall] = Counter()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware."""
        assert crawler.spider is not None
        middleware = cls(context_of(crawler), crawler.stats, crawler.spider.name)
        crawler.signals.connect(middleware.handling_failed, signals.spider_error)
        crawler.signals.connect(middleware.handling_failed, signals.item_error)
        crawler.signals.connect(middleware.close, signals.spider_closed)
        return middleware

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        """Return the answer as :class:`ApiResponse`, or the next try of the call.

        Raises:
            CallGivenUpError: The call has failed for good.
            CrawlClosingError: The crawl ends because of this answer; the call stays to be made.
        """
        if not isinstance(request, ApiRequest):
            return response
        protocol = self._context.config.protocol
        headers = text_headers(response)
        try:
            payload = read_answer(protocol, response.status, headers, response.body)
        except CallError as error:
            self._learn_time(request, response, refused=error.reaction is Reaction.CLOCK)
            if error.reaction is Reaction.GONE and request.call.operation == "product":
                await self._note_success(request, response)
                self._stats.inc_value(f"ali1688/errors/{error.error_class}")
                return _api_response(request, response, None, gone=True)
            return await self._react(request, error)
        self._learn_time(request, response, refused=False)
        await self._note_success(request, response)
        return _api_response(request, response, payload)

    async def process_exception(
        self, request: Request, exception: Exception
    ) -> Request | Response | None:
        """Return the next try of a call whose download failed; None for other requests.

        Raises:
            CallGivenUpError: The call has failed for good.
            CrawlClosingError: The crawl ends because of this failure.
        """
        settled = isinstance(exception, CallGivenUpError | CrawlClosingError)
        if not isinstance(request, ApiRequest) or settled:
            return None
        if isinstance(exception, CallError):
            return await self._react(request, exception)
        error: CallError | None = transport_error(exception)
        if error is None:
            # A defect of ours must not lose the call.
            logger.error("Unexpected error on the way of %s", request, exc_info=exception)
            error = UnknownRefusalError(type(exception).__name__)
        return await self._react(request, error)

    def handling_failed(self, response: Response | Failure | None, failure: Failure) -> None:
        """Give up a call without a queue, whose answer the spider or a pipeline failed on."""
        request = getattr(response, "request", None)
        if isinstance(request, ApiRequest) and not request.leases:
            cause = type(failure.value).__name__
            error = UnknownRefusalError(f"its answer could not be handled: {cause}")
            self._giving_up.add(asyncio.create_task(self._keep_failed(request, error)))

    async def close(self) -> None:
        """Wait until what was given up is kept."""
        if self._giving_up:
            await asyncio.wait(self._giving_up)

    def _learn_time(self, request: ApiRequest, response: Response, *, refused: bool) -> None:
        date = response.headers.get("Date")
        round_trip: float = request.meta.get("download_latency", 0.0)
        clock = self._context.clock
        if date is not None and clock.learn(date.decode(), round_trip=round_trip, refused=refused):
            self._stats.set_value("ali1688/clock/skew_seconds", round(clock.skew_seconds, 1))
            logger.warning(
                "The gateway's clock is %+.0f s off this machine's; signatures take the gateway's "
                "time. Set this machine's clock (NTP).",
                clock.skew_seconds,
            )

    async def _note_success(self, request: ApiRequest, response: Response | None = None) -> None:
        """Note that the gateway works; what was answered before tells nothing of it."""
        if response is None or CACHED not in response.flags:
            self._pauses.reset()
            self._refusals.pop(request.call, None)
            await self._context.breaker.succeeded(probe=request.probe)

    async def _react(self, request: ApiRequest, error: CallError) -> Request:
        self._stats.inc_value(f"ali1688/errors/{error.error_class}")
        excused = error.reaction in _TROUBLE and await self._is_excused(request, error)
        match error.reaction:
            case Reaction.RETRY:
                asked = min(error.retry_after or 0.0, limited_wait(request.attempt))
                delay = self._backoff.delay(request.attempt, not_before=asked)
                return await self._retry(request, error, delay, counted=not excused)
            case Reaction.WAIT:
                return await self._slow_down(request, error, counted=not excused)
            case Reaction.REFRESH_TOKEN if "token" not in request.recoveries:
                return await self._refresh_token(request, error)
            case Reaction.CLOCK if "clock" not in request.recoveries:
                return self._mend(request, error, "clock")
            case Reaction.API_CLOSED | Reaction.API_PAUSED | Reaction.FATAL:
                self._close(error, error.close_reason)
            case Reaction.REFRESH_TOKEN | Reaction.CLOCK:
                self._close(error, "bad_credentials")
        await self._note_success(request)  # it has answered about this very call
        return await self._give_up(request, error)

    async def _is_excused(self, request: ApiRequest, error: CallError) -> bool:
        """Tell the breaker of trouble; return whether the call loses no try by it."""
        if isinstance(error, UnreachedError):
            self._context.quota.count_unmade(request.quota_day)
        if isinstance(error, UnknownRefusalError) and error.code:
            await self._note_success(request)  # it works, and says something unheard of
            return False
        excused = await self._context.breaker.failed(
            request.call.encode(),
            f"{error}. {error.advice}",
            probe=request.probe,
            blameless=isinstance(error, UnreachedError),
        )
        if isinstance(error, FlowControlError) and error.blameless:
            # Not for ever: one product that is always refused must not keep the crawl from ending.
            self._refusals[request.call] += 1
            return self._refusals[request.call] <= MOST_REFUSALS
        return excused or error.blameless

    async def _slow_down(self, request: ApiRequest, error: CallError, *, counted: bool) -> Request:
        """Hold all workers back by the shared quota, for about as long as was asked for."""
        asked = error.retry_after or self._backoff.delay(request.attempt)
        seconds = self._pauses.grant(asked)
        if seconds > LONG_PAUSE:
            way_out = " `scrapy doctor --end-pause` ends the pause."
            logger.warning(
                "No call is made for %.0f s: the platform asks to wait %.0f s (%s). %s%s",
                seconds,
                asked,
                error,
                error.advice,
                way_out if self._context.config.redis_url else "",
            )
        await self._context.quota.pause(seconds)
        # The quota holds it back for the rest of the pause, which somebody may end.
        return await self._retry(request, error, min(seconds, ASK_AGAIN_SECONDS), counted=counted)

    async def _refresh_token(self, request: ApiRequest, error: CallError) -> Request:
        try:
            await self._context.refresh_token(request.access_token)
        except AuthorizationError as refusal:
            self._stats.inc_value(f"ali1688/errors/{refusal.error_class}")
            self._close(refusal, refusal.close_reason)
        except CallError as failure:
            self._stats.inc_value(f"ali1688/errors/{failure.error_class}")
            await self._context.breaker.failed(
                request.call.encode(),
                f"{failure}. {failure.advice}",
                subject="The token API",
                probe=request.probe,
                blameless=True,
            )
            delay = self._backoff.delay(request.attempt)
            return await self._retry(request, failure, delay, counted=False)
        return self._mend(request, error, "token")

    def _mend(self, request: ApiRequest, error: CallError, what: str) -> Request:
        self._stats.inc_value("ali1688/retries")
        logger.info("%s: %s; trying again", request, error)
        return request.retry_now(what)

    async def _retry(
        self, request: ApiRequest, error: CallError, delay: float, *, counted: bool
    ) -> Request:
        if counted and request.attempt >= self._context.config.max_attempts:
            return await self._give_up(request, error)
        self._stats.inc_value("ali1688/retries")
        logger.info("%s: %s; trying again in %.1f s", request, error, delay)
        return request.retried(delay, counted=counted)

    def _close(self, error: CallError, reason: str) -> NoReturn:
        self._context.shutdown.close(reason, f"{error}. {error.advice}")
        raise CrawlClosingError(str(error))

    async def _give_up(self, request: ApiRequest, error: CallError) -> NoReturn:
        if not await self._keep_failed(request, error):
            for lease in request.leases:
                lease.retry(counted=False)
            raise CrawlClosingError(str(error))
        for lease in request.leases:
            lease.ack()
        raise CallGivenUpError(str(error))

    async def _keep_failed(self, request: ApiRequest, error: CallError) -> bool:
        """Keep a call among the failed ones; return False when that is not possible."""
        logger.warning("%s given up: %s. %s", request, error, error.advice)
        failed = FailedCall(
            spider=self._spider_name,
            call=request.call.encode(),
            api=self._context.apis.name(request.call),
            params=request.call.params,
            error=str(error),
            attempts=request.attempt,
            at=datetime.now(UTC),
        )
        try:
            await self._context.failed_calls.keep(failed)
        except StoreUnavailableError as away:
            logger.error("%s could not be kept among the failed calls: %s", request, away)  # noqa: TRY400  # no traceback for an outage
            if not request.leases:
                self._context.shutdown.has_lost = True
            return False
        self._stats.inc_value("ali1688/failed_calls")
        return True


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
