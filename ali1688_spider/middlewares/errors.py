"""Turns every response into data or one typed error, and handles the error."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, NoReturn, Self

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from twisted.python.failure import Failure

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.calls import ApiCall, ServiceCall
from ali1688_spider.gateway.errors import (
    ApiClosedError,
    AppCallLimitError,
    AuthorizationError,
    CallError,
    DailyQuotaError,
    ErrorAction,
    FlowControlError,
    UnknownRefusalError,
    UnreachedError,
)
from ali1688_spider.gateway.response import transport_error
from ali1688_spider.http import ApiRequest, ApiResponse, wire_response
from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.middlewares.batches import is_refused_for_a_product, parts
from ali1688_spider.middlewares.cache import CACHED
from ali1688_spider.middlewares.refusal_tally import RefusalTally
from ali1688_spider.quota.rate_limiter import ASK_AGAIN_SECONDS
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.storage.database_errors import StoreUnavailableError
from ali1688_spider.storage.failed_calls import FailedCall

logger = logging.getLogger(__name__)

MAX_WAIT = 60.0
"""Longest back-off, in seconds; the platform may ask for more."""

MOST_REFUSALS = 50
"""Uncounted tries of one call that are refused for the rate."""

LONG_PAUSE = 5.0
"""Seconds; a longer pause is worth a warning."""


FIRST_WAIT = 60.0
"""Longest wait, in seconds, that is granted when the platform asks for one the first time."""


class CallGivenUpError(IgnoreRequest):
    """A call has failed for good; it is kept among the failed ones."""


def limited_wait(times: int) -> float:
    """Return the longest wait, in seconds, that is granted the *times*-th time it is asked for."""
    return FIRST_WAIT * 10.0 ** min(max(times, 1) - 1, 6)


class PauseLimit:
    """Limits how much of the time is granted that the platform asks to wait.

    One response must not silence a cluster for a day: a minute at first, and ten times as long each
    time that the platform asks again after it. Calls that were in flight when a pause began ask
    for the same one.
    """

    def __init__(self) -> None:
        self._granted = 0
        self._until = 0.0

    def grant(self, asked: float) -> float:
        """Return the seconds to wait, at most what was *asked*; the rest of a pause that lasts."""
        now = time.monotonic()
        if now >= self._until:
            self._granted += 1
            self._until = now + min(asked, limited_wait(self._granted))
        return self._until - now

    @property
    def is_repeated(self) -> bool:
        """Whether the platform has asked again after a pause, without a response between."""
        return self._granted > 1

    def reset(self) -> None:
        """Note that a call brought a response: what is asked for next is a first time again."""
        if time.monotonic() >= self._until:
            self._granted = 0


class ErrorsMiddleware:
    """Decides how to handle a failed call: retry, wait, refresh, give up or close.

    Each error has an action, see :mod:`ali1688_spider.gateway.errors`. A call whose response
    the spider or a pipeline fails on is given up without Redis; with Redis the queue retries it.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._context = context_of(crawler)
        self._crawler = crawler
        self._stats = crawler.stats
        self._spider_name = crawler.spider.name if crawler.spider else ""
        self._backoff = Backoff(cap=MAX_WAIT)
        self._pauses = PauseLimit()
        self._app_limit = PauseLimit()
        self._tally = RefusalTally()
        self._giving_up: set[asyncio.Task[bool]] = set()
        self._refusals: Counter[ApiCall] = Counter()
        self._skew = 0.0

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware."""
        middleware = cls(crawler)
        crawler.signals.connect(middleware.parsing_failed, signals.spider_error)
        crawler.signals.connect(middleware.parsing_failed, signals.item_error)
        crawler.signals.connect(middleware.close, signals.spider_closed)
        return middleware

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        """Return the response as :class:`ApiResponse`, or the next try of the call.

        Raises:
            CallGivenUpError: The call has failed for good.
            CallError: A ServiceCall has failed; whoever waits for it decides what becomes of it.
            CrawlClosingError: The crawl closes because of this failure; the call is not lost.
        """
        if not isinstance(request, ApiRequest):
            return response
        error, payload = None, None
        try:
            api_name = self._context.client.apis.name(request.call)
            payload = self._context.client.read(wire_response(request, response), api_name)
        except CallError as failure:
            error = failure
        self._note_skew()
        if error is not None:
            if error.action is not ErrorAction.GONE or request.call.operation != "product":
                return await self._handle(request, error)
            self._stats.inc_value(f"ali1688/errors/{error.error_class}")
        if CACHED not in response.flags:  # a cached one says nothing about the gateway now
            await self._note_success(request)
        result = ApiResponse(
            response.url,
            status=response.status,
            flags=response.flags,
            body=response.body,
            request=request,
            payload=payload,
            fetched_at=request.meta.get("fetched_at"),
            gone=error is not None,
        )
        result.headers = response.headers  # not a copy, which takes a while
        return result

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """Return the next try of a call whose download failed; None for other requests.

        Raises as :meth:`process_response` does.
        """
        is_handled = isinstance(exception, CallGivenUpError | CrawlClosingError)
        if not isinstance(request, ApiRequest) or is_handled:
            return None
        error = exception if isinstance(exception, CallError) else transport_error(exception)
        if error is None:
            # A defect of ours must not lose the call.
            logger.error("Unexpected error on the way of %s", request, exc_info=exception)
            error = UnknownRefusalError(type(exception).__name__)
        return await self._handle(request, error)

    def parsing_failed(
        self, response: Response | Failure | None, failure: Failure, item: Any = None
    ) -> None:
        """Give up a call that no queue retries, whose response spider or pipeline failed on."""
        request = getattr(response, "request", None)
        if isinstance(request, ApiRequest) and not request.leases:
            if len(request.call.product_ids) > 1 and isinstance(item, Product | ParsedProduct):
                request = request.part([item.product_id])
            cause = type(failure.value).__name__
            error = UnknownRefusalError(f"its response could not be handled: {cause}")
            self._giving_up.add(asyncio.create_task(self._keep_failed(request, error)))

    async def close(self) -> None:
        """Wait until the calls that were given up are kept."""
        await asyncio.gather(*self._giving_up)

    def _note_skew(self) -> None:
        skew = self._context.client.clock.skew_seconds
        if skew != self._skew:
            self._skew = skew
            self._stats.set_value("ali1688/clock/skew_seconds", round(skew, 1))
            logger.warning(
                "The gateway's clock is %+.0f s off this machine's; signatures take the gateway's "
                "time. Set this machine's clock (NTP).",
                skew,
            )

    async def _note_success(self, request: ApiRequest) -> None:
        """Note that the gateway works: it has responded to this very call."""
        self._pauses.reset()
        self._app_limit.reset()
        self._refusals.pop(request.call, None)
        await self._context.breaker.succeeded(probe=request.probe)

    async def _note_failure(
        self, request: ApiRequest, error: CallError, subject: str, *, blameless: bool
    ) -> bool:
        return await self._context.breaker.failed(
            request.call.encode(),
            f"{error}. {error.advice}",
            subject=subject,
            probe=request.probe,
            blameless=blameless,
        )

    async def _handle(self, request: ApiRequest, error: CallError) -> Request:
        self._stats.inc_value(f"ali1688/errors/{error.error_class}")
        is_service = isinstance(request.call, ServiceCall)
        if is_refused_for_a_product(request, error):
            return await self._split(request, error)
        match error.action:
            case ErrorAction.RETRY:
                excused = await self._is_excused(request, error)
                asked = min(error.retry_after or 0.0, limited_wait(request.attempt))
                delay = self._backoff.delay(request.attempt, not_before=asked)
                return await self._retry(request, error, delay, counted=not excused)
            case ErrorAction.WAIT:
                excused = await self._is_excused(request, error)
                return await self._slow_down(request, error, counted=not excused)
            case ErrorAction.REFRESH_TOKEN if "token" not in request.recoveries:
                return await self._refresh_token(request, error)
            case ErrorAction.CLOCK if "clock" not in request.recoveries:
                return self._retry_now(request, error, "clock")
            case ErrorAction.CLOSE if is_service and isinstance(error, ApiClosedError):
                raise error
            case ErrorAction.CLOSE if isinstance(error, ApiClosedError) and (
                "look" in request.call.params
            ):
                pass  # a watch goes on without the looks that the app may not make
            case ErrorAction.CLOSE:
                self._close(error, error.close_reason)
            case ErrorAction.REFRESH_TOKEN | ErrorAction.CLOCK:
                self._close(error, "bad_credentials")
        await self._note_success(request)
        return await self._give_up(request, error)

    async def _split(self, request: ApiRequest, error: CallError) -> Request:
        """Send the products of a refused call again, in several calls."""
        first, *others = parts(request, error)
        logger.info("%s: %s; trying again in %d calls", request, error, 1 + len(others))
        self._stats.inc_value("ali1688/batches/split")
        await self._note_success(request)
        for other in others:
            self._crawler.engine.crawl(other)
        return first

    async def _is_excused(self, request: ApiRequest, error: CallError) -> bool:
        """Report the failure to the breaker; return whether the call loses no try by it."""
        if isinstance(error, UnreachedError):
            self._context.quota.count_unmade(request.quota_day)
        is_unheard_of = isinstance(error, UnknownRefusalError) and bool(error.code)
        if is_unheard_of or error.max_attempts:  # the gateway works, and has looked at the call
            await self._note_success(request)
            return False
        is_blameless = isinstance(error, UnreachedError)
        excused = await self._note_failure(request, error, "The gateway", blameless=is_blameless)
        if isinstance(error, FlowControlError) and error.blameless:
            # Not for ever: one product that is always refused must not keep the crawl from ending.
            self._refusals[request.call] += 1
            return self._refusals[request.call] <= MOST_REFUSALS
        return excused or error.blameless

    async def _slow_down(self, request: ApiRequest, error: CallError, *, counted: bool) -> Request:
        """Hold all workers back by the shared quota, about as long as the platform asks for."""
        if isinstance(error, AppCallLimitError):
            seconds = asked = self._app_limit.grant(error.retry_after or FIRST_WAIT)
            if self._app_limit.is_repeated:
                over = DailyQuotaError(error.message, code=error.code, status=error.status)
                self._close(over, over.close_reason)
        else:
            asked = error.retry_after or self._backoff.delay(request.attempt)
            seconds = self._pauses.grant(asked)
        if seconds > LONG_PAUSE:
            way_out = " `scrapy doctor --end-pause` ends the pause."
            advice = error.advice + (way_out if self._context.config.redis_url else "")
            sentence = "No call is made for %.0f s: the platform asks to wait %.0f s (%s). %s"
            logger.warning(sentence, seconds, asked, error, advice)
        await self._context.quota.pause(seconds)
        # The quota holds it back for the rest of the pause, which somebody may end.
        return await self._retry(request, error, min(seconds, ASK_AGAIN_SECONDS), counted=counted)

    async def _refresh_token(self, request: ApiRequest, error: CallError) -> Request:
        try:
            await self._context.client.tokens.refresh(request.access_token)
        except CallError as failure:
            self._stats.inc_value(f"ali1688/errors/{failure.error_class}")
            if isinstance(failure, AuthorizationError):
                self._close(failure, failure.close_reason)
            await self._note_failure(request, failure, "The token API", blameless=True)
            delay = self._backoff.delay(request.attempt)
            return await self._retry(request, failure, delay, counted=False)
        return self._retry_now(request, error, "token")

    def _retry_now(self, request: ApiRequest, error: CallError, recovery: str) -> Request:
        self._stats.inc_value("ali1688/retries")
        logger.info("%s: %s; trying again", request, error)
        return request.retry_now(recovery)

    async def _retry(
        self, request: ApiRequest, error: CallError, delay: float, *, counted: bool
    ) -> Request:
        if isinstance(request.call, ServiceCall):
            raise error  # the one who waits for the response tries again, or does without
        most = self._context.config.max_attempts
        if error.max_attempts and request.call.operation == "product":
            most = min(most, error.max_attempts)
        if counted and request.attempt >= most:
            if len(request.call.product_ids) > 1:  # it may be one of them that harms the others
                return await self._split(request, error)
            return await self._give_up(request, error)
        self._stats.inc_value("ali1688/retries")
        logger.info("%s: %s; trying again in %.1f s", request, error, delay)
        return request.retried(delay, counted=counted)

    def _close(self, error: CallError, reason: str) -> NoReturn:
        self._context.shutdown.close(reason, f"{error}. {error.advice}")
        raise CrawlClosingError(str(error))

    async def _give_up(self, request: ApiRequest, error: CallError) -> NoReturn:
        if isinstance(request.call, ServiceCall):
            raise error
        if not await self._keep_failed(request, error):
            for lease in request.leases:
                lease.retry(counted=False)
            raise CrawlClosingError(str(error))
        for lease in request.leases:
            lease.ack()
        raise CallGivenUpError(str(error))

    async def _keep_failed(self, request: ApiRequest, error: CallError) -> bool:
        """Keep a call among the failed ones; return whether that was possible."""
        repeats = request.call.operation == "product" and self._tally.repeats(error)
        level = logging.INFO if repeats else logging.WARNING
        logger.log(level, "%s given up: %s. %s", request, error, error.advice)
        call = request.call
        failed = [
            FailedCall(
                spider=self._spider_name,
                call=each.encode(),
                api=self._context.client.apis.name(each),
                params=each.params,
                error=str(error),
                attempts=request.attempt,
                at=datetime.now(UTC),
            )
            for each in [ApiCall.product(each) for each in call.product_ids] or [call]
        ]
        try:
            await self._context.failed_calls.keep_all(failed)
        except StoreUnavailableError as away:
            logger.error("%s could not be kept among the failed calls: %s", request, away)  # noqa: TRY400  # no traceback for an outage
            if not request.leases:
                self._context.shutdown.has_lost = True
            return False
        self._stats.inc_value("ali1688/failed_calls", len(failed))
        return True
