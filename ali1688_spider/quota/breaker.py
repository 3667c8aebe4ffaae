"""Holds the calls back while the gateway is away: a circuit breaker for all workers of an app.

An outage must not use up the tries of what is queued, nor the day's calls. So the breaker opens
when calls fail as a whole, and from then on one call at a time, of all workers together, tries
whether the gateway is back.

At the start of a crawl only a few calls go ahead of the others: with wrong credentials every call
is refused, and a platform may lock an app for too many of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partialmethod
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.redis_server import LuaScripts

if TYPE_CHECKING:
    from ali1688_spider.quota.rate_limiter import RunInThread
    from ali1688_spider.redis_server import RedisClient

logger = logging.getLogger(__name__)

FIRST_CALLS = 4
"""Calls that go ahead: few when credentials are wrong, and a slow one does not hold up the rest."""

FAILURES_TO_OPEN = 12
"""Calls that fail for the first time, with none that succeeds in between. A call that has failed
before says little about the gateway: what is left at the end of a crawl fails always."""
FAILURES_TO_SUSPECT = 3
"""Such failures from which on a call loses no try, once: it may be the last one that it has, and
the breaker is about to open."""
MOST_REMEMBERED = 100_000
"""Calls of which it is remembered that they have failed."""
FAILURES_AT_START = 2
"""Tries of the first calls that fail when none of them succeeds."""

PROBES = Backoff(base=0.25, cap=10.0)
"""Time between two probes."""
PROBE_SECONDS = 45.0
"""Time after which a probe without an outcome is taken for lost; longer than any response takes."""
ASK_AGAIN_SECONDS = 1.0
"""Time after which a waiting worker looks again whether another one has found the gateway back."""

EXCUSES = 10
"""Uncounted tries of one call in one outage, where the call itself may be what fails."""


class MemoryOutage:
    """The outage as one process knows it; ``lua/outage.lua`` does the same for all workers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_known = False
        self._failed_probes = 0
        self._next_probe = 0.0

    def is_known(self) -> bool:
        """Whether it is known that the gateway is away."""
        return self._is_known

    def begin(self) -> None:
        """Note that the gateway is away, unless that is known."""
        if not self._is_known:
            self._is_known, self._failed_probes = True, 0
            self._next_probe = self._clock() + PROBES.ceiling(1)

    def ask(self) -> float | None:
        """Ask to make the next probe.

        Returns:
            0 when the caller is to make it; else the seconds until it is worth asking again. None
            without an outage.
        """
        if not self._is_known:
            return None
        wait = self._next_probe - self._clock()
        if wait > 0:
            return wait
        self._next_probe = self._clock() + PROBE_SECONDS
        return 0.0

    def probe_failed(self) -> None:
        """Note that a probe has failed."""
        self._failed_probes += 1
        self._next_probe = self._clock() + PROBES.ceiling(self._failed_probes + 1)

    def end(self) -> None:
        """Note that the gateway is back."""
        self._is_known = False


class RedisOutage:
    """The outage as all workers of an app know it; the methods of :class:`MemoryOutage`.

    The methods block and raise :class:`redis.exceptions.RedisError`.

    ``{ali1688:quota:<app key>}:outage`` HASH with expiry
        ``probes`` (how many have failed) and ``next_probe`` (microseconds since 1970). It exists
        only while the gateway is away, and expires when nobody asks for ten minutes.
    """

    def __init__(self, server: RedisClient, app_key: str) -> None:
        self.key = f"{{ali1688:quota:{app_key}}}:outage"
        self._scripts = LuaScripts(server, [self.key], __package__)

    def ask(self) -> float | None:
        """See :meth:`MemoryOutage.ask`."""
        wait: int = self._run("ask")
        return None if wait < 0 else wait / 1_000_000

    def _run(self, action: str) -> Any:
        times = (PROBES.base, PROBES.cap, PROBE_SECONDS)
        return self._scripts.run("outage", action, *(round(each * 1_000_000) for each in times))

    is_known = partialmethod(_run, "is_known")
    begin = partialmethod(_run, "begin")
    probe_failed = partialmethod(_run, "probe_failed")
    end = partialmethod(_run, "end")


class CircuitBreaker:
    """Decides when a call may go to the gateway, by the outcomes of the calls before it.

    All methods belong to one event loop.

    Args:
        outage: Where an outage is known. While it cannot be reached, this process decides alone.
        run: Runs a blocking function in a thread.
        count: Called with a statistic's name and a number.
        clock: Returns seconds of a clock that never jumps.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        outage: MemoryOutage | RedisOutage,
        *,
        run: RunInThread = asyncio.to_thread,
        count: Callable[[str, int], object] = lambda _name, _number: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shared = outage
        self._run = run
        self._count = count
        self._clock = clock
        self._sleep = sleep
        self._places = FIRST_CALLS
        self._first_calls_over = asyncio.Event()
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
        return not self._first_calls_over.is_set() or self._outage is not None

    @property
    def outage(self) -> tuple[str, float] | None:
        """What is away (``The gateway``), and for how many seconds; None when nothing is."""
        if self._outage is None:
            return None
        subject, since = self._outage
        return subject, self._clock() - since

    async def enter(self) -> bool:
        """Wait until a call may be made; return whether it is a probe."""
        if not self._first_calls_over.is_set():
            if self._places > 0:
                self._places -= 1
                return False
            await self._first_calls_over.wait()
        if self._outage is None:
            return False
        async with self._turn:
            return await self._become_probe()

    async def succeeded(self, *, probe: bool = False) -> None:
        """Note that a gateway that works has answered a call.

        Args:
            probe: What :meth:`enter` returned: only a probe ends an outage, not a call that was in
                flight when it began.
        """
        self._succeeded = True
        self._failures = self._new_failures = 0
        if probe and self._outage is not None:
            self._close()
            await self._ask(self._shared.end, None)
        self._first_calls_over.set()

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
            probe: What :meth:`enter` returned.
            blameless: The call cannot be the cause, so that one such failure is enough.
        """
        self._note_failure(call)
        fails_as_a_whole = self._outage is None and (blameless or await self._fails_as_a_whole())
        if fails_as_a_whole and self._outage is None:  # another call may have been quicker
            self._open(subject, reason)
            await self._ask(self._shared.begin, None)
        elif probe and self._outage is not None:
            await self._ask(self._shared.probe_failed, None)
        if probe:
            self._probe_ended.set()
        if self._outage is None:
            is_suspect = self._succeeded and self._new_failures >= FAILURES_TO_SUSPECT
            self._excuses[call] += is_suspect
            return is_suspect and self._excuses[call] == 1
        self._first_calls_over.set()
        self._excuses[call] += 1
        return blameless or self._excuses[call] <= EXCUSES

    def _note_failure(self, call: str) -> None:
        self._failures += 1
        if call not in self._failed_before:
            self._new_failures += 1
            if len(self._failed_before) >= MOST_REMEMBERED:
                self._failed_before.clear()
            self._failed_before.add(call)
        if not self._first_calls_over.is_set():
            self._places = min(FIRST_CALLS, self._places + 1)  # for its next try

    async def _fails_as_a_whole(self) -> bool:
        if self._succeeded and self._new_failures >= FAILURES_TO_OPEN:
            return True
        if not self._succeeded and self._failures >= FAILURES_AT_START:
            return self._places == FIRST_CALLS  # else one of them may still succeed
        return bool(await self._ask(self._shared.is_known, False))  # by another worker

    async def _become_probe(self) -> bool:
        """Return True when it is this call's turn to try, False when the outage has ended."""
        while self._outage is not None:
            await self._probe_ended.wait()
            outage = self._outage
            wait = await self._ask(self._shared.ask, ASK_AGAIN_SECONDS)
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

    def _open(self, subject: str, reason: str) -> None:
        self._outage = (subject, self._clock())
        self._count("ali1688/gateway/outages", 1)
        logger.warning(
            "%s takes no calls; they wait and lose no try, one at a time tries whether it is back "
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
        self._failures = self._new_failures = 0
        self._probe_ended.set()
        seconds = self._clock() - since
        self._count("ali1688/gateway/outage_seconds", round(seconds))
        logger.info("%s is back after %.1f s", subject, seconds)

    async def _ask(self, question: Callable[[], Any], unknown: object) -> Any:
        """Return what is known of the outage, *unknown* while Redis is away."""
        async with self._asking:  # in order: no question may overtake what was noted before it
            try:
                return await self._run(question)
            except RedisError as error:
                logger.debug("Redis does not say whether the gateway is away: %s", error)
                return unknown
