"""The one way to wait for a server that is away, instead of losing what it should keep."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class Unavailable(NamedTuple):
    """Why a server does not do what it was asked, although it may later.

    Attributes:
        text: What happened and what to do about it.
        level: ``logging.ERROR`` when a person has to act, else ``logging.WARNING``.
    """

    text: str
    level: int = logging.WARNING


def redis_outage(error: Exception) -> Unavailable | None:
    """Return why Redis does not do what it was asked; None for errors that are not Redis's."""
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return Unavailable(f"Redis does not answer ({error})")
    if isinstance(error, RedisError):
        return Unavailable(f"Redis rejects the command ({error})", logging.ERROR)
    return None


class ServerRetry:
    """Repeats operations of one server until it answers; any number may wait at the same time.

    The waits grow exponentially with full jitter, so that the workers of a cluster do not return
    all at once. One log line says that the server is away, one that it is back.

    Args:
        server: Name of the server, for the log; also an attribute.
        classify: Returns why an error is an outage; None when the operation itself is wrong, whose
            error is then raised.
        base: Longest first wait, in seconds; it doubles with each further one.
        cap: Longest wait, in seconds.
        on_wait: Called before each wait, for a statistic.
        is_closing: Whether the program is closing.
        on_give_up: Makes the error that is raised then, after *grace_seconds*.
        grace_seconds: How long operations are still repeated once the program is closing.
    """

    def __init__(
        self,
        server: str,
        classify: Callable[[Exception], Unavailable | None],
        *,
        base: float = 0.2,
        cap: float = 5.0,
        on_wait: Callable[[], object] = lambda: None,
        is_closing: Callable[[], bool] = lambda: False,
        on_give_up: Callable[[str], Exception] = TimeoutError,
        grace_seconds: float = 5.0,
    ) -> None:
        self.server = server
        self._classify = classify
        self._wait = wait_random_exponential(multiplier=base, max=cap)
        self._on_wait = on_wait
        self._is_closing = is_closing
        self._on_give_up = on_give_up
        self._grace_seconds = grace_seconds
        self._away_since: float | None = None
        self._back_since = float("-inf")
        self._logged_level = logging.NOTSET
        self._deadline: float | None = None

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer when it was last asked."""
        return self._away_since is not None

    @property
    def away_seconds(self) -> float:
        """For how long the server has been away; 0 when it is not."""
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since

    def was_away_within(self, seconds: float) -> bool:
        """Whether the server is away, or came back not longer than *seconds* ago."""
        return self.is_away or time.monotonic() - self._back_since <= seconds

    async def run(
        self, operation: Callable[[], Awaitable[_Result]], *, give_up: bool = True
    ) -> _Result:
        """Return the result of *operation*, repeated while the server is away.

        The operation may have taken effect although it failed: repeating it must do no harm. What
        *on_give_up* makes is raised when the program is closing, and the server stayed away; never
        without *give_up*.
        """
        check_deadline = self._check_deadline if give_up else lambda: None
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._is_outage),
            wait=self._wait,
            sleep=partial(self._sleep, check_deadline),
        )
        return await retrying(self._attempt, operation, check_deadline)

    async def _attempt(
        self, operation: Callable[[], Awaitable[_Result]], check_deadline: Callable[[], None]
    ) -> _Result:
        if self.is_away:
            check_deadline()
        result = await operation()
        if self._away_since is not None:
            self._back_since = time.monotonic()
            seconds = self._back_since - self._away_since
            self._away_since, self._logged_level = None, logging.NOTSET
            logger.info("%s is back after %.1f s", self.server, seconds)
        return result

    def _is_outage(self, error: BaseException) -> bool:
        unavailable = self._classify(error) if isinstance(error, Exception) else None
        if unavailable is None:
            return False
        if self._away_since is None:
            self._away_since = time.monotonic()
        if unavailable.level > self._logged_level:
            self._logged_level = unavailable.level
            text = "%s is unavailable; retrying, nothing is lost. %s"
            logger.log(unavailable.level, text, self.server, unavailable.text)
        return True

    async def _sleep(self, check_deadline: Callable[[], None], seconds: float) -> None:
        self._on_wait()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            check_deadline()
            await asyncio.sleep(min(left, 0.5))  # the program may begin to close meanwhile

    def _check_deadline(self) -> None:
        if not self._is_closing():
            self._deadline = None
            return
        if self._deadline is None:
            self._deadline = time.monotonic() + self._grace_seconds
        if time.monotonic() >= self._deadline:
            raise self._on_give_up(f"{self.server} stayed away while the crawl was closing")
