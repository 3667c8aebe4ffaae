"""Holds the calls back while the gateway takes none: a circuit breaker for all workers of an app.

An outage must not use up the tries of what is queued, nor the day's calls. So the breaker opens
when calls fail as a whole, and from then on one call at a time, of all workers together, tries
whether the gateway is back.

Closed is also earned at the start of a crawl: with wrong credentials every call is refused, and a
platform may lock an app for too many of them, so a few calls go ahead of the others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from redis.exceptions import RedisError

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.redis_server import LuaScripts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ali1688_spider.quota.slot_supply import Run
    from ali1688_spider.redis_server import RedisClient

logger = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")

FIRST_CALLS = 4
"""Calls that go ahead: few when credentials are wrong, and a slow one does not hold up the rest."""

FAILURES_TO_OPEN = 12
"""Calls that fail for the first time, with none that succeeds in between. A call that has failed
before tells little about the gateway: what is left at the end of a crawl fails always."""
MOST_REMEMBERED = 100_000
"""Calls of which it is remembered that they have failed."""
FAILURES_AT_START = 2
"""Tries of the first calls that fail when none of them succeeds."""

PROBES = Backoff(base=0.25, cap=10.0)
"""Time between two probes."""
PROBE_SECONDS = 45.0
"""Time after which a probe without outcome is taken for lost; longer than any answer takes."""
ASK_AGAIN_SECONDS = 1.0
"""Time after which a waiting worker looks again whether another one has found the gateway back."""

EXCUSES = 10
"""Uncounted tries of one call in one outage, where the call itself may be what fails."""


class OutageState(Protocol):
    """Where an outage is known; the methods block and may be called from any thread."""

    def lasts(self) -> bool:
        """Return whether it is known that the gateway takes no calls."""

    def begin(self) -> None:
        """Note that the gateway takes no calls, unless that is known."""

    def ask(self) -> float | None:
        """Ask to make the next probe.

        Returns:
            0 when the caller is to make it; else the seconds until it is worth to ask again. None
            when there is no outage.
        """

    def probe_failed(self) -> None:
        """Note that a probe has failed."""

    def end(self) -> None:
        """Note that the gateway takes calls."""


class MemoryOutageState:
    """The outage as one process knows it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lasts = False
        self._probes = 0
        self._next_probe = 0.0

    def lasts(self) -> bool:
        """Return whether it is known that the gateway takes no calls."""
        return self._lasts

    def begin(self) -> None:
        """Note that the gateway takes no calls, unless that is known."""
        if not self._lasts:
            self._lasts, self._probes = True, 0
            self._next_probe = self._clock() + PROBES.ceiling(1)

    def ask(self) -> float | None:
        """Ask to make the next probe."""
        if not self._lasts:
            return None
        wait = self._next_probe - self._clock()
        if wait > 0:
            return wait
        self._next_probe = self._clock() + PROBE_SECONDS
        return 0.0

    def probe_failed(self) -> None:
        """Note that a probe has failed."""
        self._probes += 1
        self._next_probe = self._clock() + PROBES.ceiling(self._probes + 1)

    def end(self) -> None:
        """Note that the gateway takes calls."""
        self._lasts = False


class RedisOutageState:
    """The outage as all workers of an app know it.

    Its key is ``{ali1688:quota:<app key>}:outage``, a HASH of ``probes`` (how many have failed) and
    ``next_probe`` (microseconds since 1970); there is one only while the gateway takes no calls. It
    expires when nobody asks for ten minutes.

    Args:
        server: Client of Redis, as :mod:`scrapy_redis.connection` makes it.
        app_key: Whose calls they are.
    """

    def __init__(self, server: RedisClient, app_key: str) -> None:
        self.key = f"{{ali1688:quota:{app_key}}}:outage"
        self._scripts = LuaScripts(server, [self.key], __package__)

    def lasts(self) -> bool:
        """Return whether it is known that the gateway takes no calls."""
        return bool(self._run("lasts"))

    def begin(self) -> None:
        """Note that the gateway takes no calls, unless that is known."""
        self._run("begin")

    def ask(self) -> float | None:
        """Ask to make the next probe."""
        wait: int = self._run("ask")
        return None if wait < 0 else wait / 1_000_000

    def probe_failed(self) -> None:
        """Note that a probe has failed."""
        self._run("failed")

    def end(self) -> None:
        """Note that the gateway takes calls."""
        self._run("end")

    def _run(self, action: str) -> Any:
        times = (PROBES.base, PROBES.cap, PROBE_SECONDS)
        return self._scripts.run("outage", action, *(round(each * 1_000_000) for each in times))


class Breaker:
    """Decides when a call may go to the gateway, by what became of the calls before it.

    All methods belong to one event loop.

    Args:
        state: Where an outage is known. While it cannot be reached, this process decides alone.
        run: Runs a blocking function in a thread.
        count: Is called with a statistic's name and a number.
        clock: Returns seconds of a clock that never jumps.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        state: OutageState,
        *,
        run: Run = asyncio.to_thread,
        count: Callable[[str, int], object] = lambda _name, _number: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._state = state
        self._run = run
        self._count = count
        self._clock = clock
        self._sleep = sleep
        self._places = FIRST_CALLS
        self._started = asyncio.Event()  # set when calls need not wait for the first ones any more
        self._succeeded = False
        self._failed_before: set[str] = set()
        self._new_failures = 0
        self._failures = 0
        self._outage: tuple[str, float] | None = None  # what is away, since when
        self._excuses: Counter[str] = Counter()
        self._turn = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._probe_ended = asyncio.Event()
        self._probe_ended.set()

    @property
    def holds_back(self) -> bool:
        """Whether calls have to wait, for the first ones or for the end of an outage."""
        return not self._started.is_set() or self._outage is not None

    async def enter(self) -> bool:
        """Return when a call may be made; return whether it is a probe."""
        if not self._started.is_set():
            if self._places > 0:
                self._places -= 1
                return False
            await self._started.wait()
        if self._outage is None:
            return False
        async with self._turn:
            return await self._become_probe()

    async def succeeded(self, *, probe: bool = False) -> None:
        """Note that a call was answered by a gateway that works.

        Args:
            probe: Whether :meth:`enter` said so: what was under way when an outage began does not
                end it.
        """
        self._succeeded = True
        if self._failures:
            self._forget_failures()
        if probe and self._outage is not None:
            self._close()
            await self._ask_state(self._state.end, None)
        self._started.set()

    async def failed(
        self,
        call: str,
        reason: str,
        *,
        subject: str = "The gateway",
        probe: bool = False,
        blameless: bool = False,
    ) -> bool:
        """Note that a call has failed; return whether it is excused, so that no try is counted.

        Args:
            call: Names the call.
            reason: What happened and what to do about it, for a person.
            subject: What is away if calls fail as a whole.
            probe: Whether :meth:`enter` said so.
            blameless: The call cannot be the cause, so that one such failure is enough.
        """
        self._failures += 1
        if call not in self._failed_before:
            self._new_failures += 1
            self._remember(call)
        if not self._started.is_set():
            self._places = min(FIRST_CALLS, self._places + 1)  # for its next try
        fails_as_a_whole = self._outage is None and (blameless or await self._fails_as_a_whole())
        if fails_as_a_whole and self._outage is None:  # another call may have been quicker
            self._open(subject, reason)
            await self._ask_state(self._state.begin, None)
        elif probe and self._outage is not None:
            await self._ask_state(self._state.probe_failed, None)
        if probe:
            self._probe_ended.set()
        if self._outage is None:
            return False
        self._started.set()
        self._excuses[call] += 1
        return blameless or self._excuses[call] <= EXCUSES

    async def _become_probe(self) -> bool:
        """Return True when it is this call's turn to try, False when the outage has ended."""
        while self._outage is not None:
            await self._probe_ended.wait()
            outage = self._outage
            wait = await self._ask_state(self._state.ask, unknown=ASK_AGAIN_SECONDS)
            if outage is not self._outage:
                continue  # it ended meanwhile, and perhaps another one began
            if wait is None:
                self._close()
            elif wait > 0:
                await self._sleep(min(wait, ASK_AGAIN_SECONDS))
            else:
                self._probe_ended.clear()
                return True
        return False

    async def _fails_as_a_whole(self) -> bool:
        if self._succeeded and self._new_failures >= FAILURES_TO_OPEN:
            return True
        if not self._succeeded and self._failures >= FAILURES_AT_START:
            return self._places == FIRST_CALLS  # else one of them may still succeed
        return await self._ask_state(self._state.lasts, unknown=False)  # another worker may know

    def _open(self, subject: str, reason: str) -> None:
        self._outage = (subject, self._clock())
        self._count("ali1688/gateway/outages", 1)
        logger.warning(
            "%s takes no calls; they wait and lose no try, one at a time looks whether it is back "
            "(%s)",
            subject,
            reason,
        )

    def _close(self) -> None:
        if self._outage is None:
            return
        subject, since = self._outage
        self._outage = None
        self._excuses.clear()
        self._forget_failures()
        self._probe_ended.set()
        seconds = self._clock() - since
        self._count("ali1688/gateway/outage_seconds", round(seconds))
        logger.info("%s is back after %.1f s", subject, seconds)

    def _remember(self, call: str) -> None:
        if len(self._failed_before) >= MOST_REMEMBERED:
            self._failed_before.clear()
        self._failed_before.add(call)

    def _forget_failures(self) -> None:
        self._failures = self._new_failures = 0

    async def _ask_state(self, question: Callable[[], T], unknown: U) -> T | U:
        async with self._asking:  # in order: who asks must not be quicker than what was told before
            try:
                return await self._run(question)
            except RedisError as error:
                logger.debug("Redis knows nothing of the outage: %s", error)
                return unknown
