"""Whether a call may pass: permission, rate, ban and the day's quota."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

from ali1688_spider.sandbox.apis import bare_name
from ali1688_spider.sandbox.refusals import RefusedError

if TYPE_CHECKING:
    from ali1688_spider.sandbox.clock import Clock
    from ali1688_spider.sandbox.counters import Counters
    from ali1688_spider.sandbox.options import Options


class Admission:
    """Keeps to the options ``deny``, ``qps``, ``ban`` and ``daily_quota``.

    The rate is that of the calls let through in the last second, at any moment; a refused call
    does not count. Days are China's, by the gateway's clock, as are bans.

    Attributes:
        used_today: Calls let through on the current day.
    """

    def __init__(self, options: Options, clock: Clock, counters: Counters) -> None:
        self._options = options
        self._clock = clock
        self._counters = counters
        self.reset()

    def reset(self) -> None:
        """Forget all calls and bans."""
        self._last_second: deque[float] = deque()
        self._banned_until = -math.inf
        self._day = self._clock.day()
        self.used_today = 0

    def admit(self, api_name: str) -> None:
        """Let a call of an API through.

        Raises:
            RefusedError: It may not pass.
        """
        denied = self._options.deny
        if denied and (api_name in denied or bare_name(api_name) in denied):
            raise RefusedError("permission")
        self._check_ban()
        self._check_rate()
        self._check_quota()

    def _check_ban(self) -> None:
        left = self._banned_until - self._clock.now()
        if left > 0:
            self._counters.refused_rate += 1
            raise RefusedError("ban", ban_message(left))

    def _check_rate(self) -> None:
        qps, ban = self._options.qps, self._options.ban
        if not qps:
            return
        now, recent = time.monotonic(), self._last_second
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) < qps:
            recent.append(now)
            return
        self._counters.refused_rate += 1
        if not ban:
            raise RefusedError("rate-limit")
        self._banned_until = self._clock.now() + ban
        raise RefusedError("ban", ban_message(ban))

    def _check_quota(self) -> None:
        day = self._clock.day()
        if day != self._day:
            self._day, self.used_today = day, 0
        quota = self._options.daily_quota
        if quota and self.used_today >= quota:
            raise RefusedError("daily-limit", ban_message(self._clock.seconds_left_today()))
        self.used_today += 1


def ban_message(seconds: float) -> str:
    """Return the platform's sentence about a ban, in whole seconds."""
    return f"This ban will last for {math.ceil(seconds)} more seconds"
