"""The gateway's clock, which may run ahead of or behind this machine's."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ali1688_spider.sandbox.options import Options

CHINA = timezone(timedelta(hours=8))
TOLERANCE_SECONDS = 600
_DAY_SECONDS = 86_400
_CHINA_SECONDS = 8 * 3600


class Clock:
    """The time as the gateway sees it: this machine's and the option ``clock_skew``."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def now(self) -> float:
        """Return the seconds since 1970 (UTC)."""
        return time.time() + self._options.clock_skew

    def http_date(self) -> str:
        """Return the value of a ``Date`` header."""
        return formatdate(self.now(), usegmt=True)

    def day(self) -> int:
        """Return the number of the current day in China."""
        return int((self.now() + _CHINA_SECONDS) // _DAY_SECONDS)

    def seconds_left_today(self) -> int:
        """Return the seconds until midnight in China, at least 1."""
        passed = (self.now() + _CHINA_SECONDS) % _DAY_SECONDS
        return max(1, math.ceil(_DAY_SECONDS - passed))

    def is_current(self, seconds: float) -> bool:
        """Whether a call stamped with this time is neither too old nor too early."""
        return abs(self.now() - seconds) <= TOLERANCE_SECONDS

    def platform_text(self, *, later: float = 0) -> str:
        """Return the time, *later* seconds from now, as ``20261010164552223+0800``."""
        return platform_text(self.now() + later)


def platform_text(seconds: float) -> str:
    """Return a time in seconds since 1970 as the platform writes it: ``20181213201638000+0800``."""
    moment = datetime.fromtimestamp(seconds, CHINA)
    return f"{moment:%Y%m%d%H%M%S}{moment.microsecond // 1000:03d}+0800"
