"""The time that the gateway believes in."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache

CHINA = timezone(timedelta(hours=8), "GMT+8")
"""The platform's time zone, whatever the host's; without summer time."""

TOLERANCE = 3.0
"""Seconds of skew that are not corrected: ``Date`` is coarse, and the gateway allows minutes."""


@lru_cache(maxsize=16)  # many responses of one second
def http_date(value: str | None) -> datetime | None:
    """Return an HTTP date as an aware time, or None for what is missing or makes no sense."""
    try:
        moment = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):  # what it raises for malformed dates
        return None
    if moment.tzinfo is None:  # "-0000", which is read as a time without zone
        moment = moment.replace(tzinfo=UTC)
    return moment if 2000 <= moment.year < 2200 else None


class GatewayClock:
    """The host's clock, corrected by what the gateway's ``Date`` headers say.

    Attributes:
        skew_seconds: How far the gateway is ahead of the host, in seconds; negative if behind.
        measured_skew: The same as the latest response had it; None before the first.
    """

    def __init__(self, host_time: Callable[[], float] = time.time) -> None:
        self._host_time = host_time
        self.skew_seconds = 0.0
        self.measured_skew: float | None = None

    def learn(self, date: str | None, *, round_trip: float = 0.0, refused: bool = False) -> None:
        """Correct the clock by a response that has just arrived.

        ``Date`` counts whole seconds and was written somewhere within the round trip: half a
        second is added and half of the round trip taken off. Differences that this uncertainty
        explains change nothing, so the clock does not jitter.

        Args:
            date: The header; a missing or unreadable one teaches nothing.
            round_trip: Seconds between sending the call and receiving the response.
            refused: The response refuses the timestamp, so even a small difference counts.
        """
        sent_at = http_date(date)
        if sent_at is None:
            return
        self.measured_skew = skew = sent_at.timestamp() + 0.5 - self._host_time() + round_trip / 2
        if refused or abs(skew - self.skew_seconds) > TOLERANCE + round_trip / 2:
            self.skew_seconds = skew

    def now(self) -> datetime:
        """Return the gateway's time, aware, in UTC."""
        return datetime.fromtimestamp(self._host_time() + self.skew_seconds, UTC)

    def timestamp(self) -> str:
        """Return the gateway's time as ``yyyy-MM-dd HH:mm:ss`` in China (``timestamp``)."""
        return self.now().astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")

    def milliseconds(self) -> int:
        """Return the gateway's time in milliseconds since 1970 (``_aop_timestamp``)."""
        return int((self._host_time() + self.skew_seconds) * 1000)
