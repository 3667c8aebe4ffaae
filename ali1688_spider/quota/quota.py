"""What every quota does, wherever its state lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

MARGIN_SECONDS = 0.03
"""How much longer than a second the calls of one second take.

The gateway counts the calls of any second that just passed. Calls are spread evenly, and each may
arrive up to this much later than those after it, without more of them than allowed in any second:
room for the network and for a busy worker. It costs 3 % of the rate.
"""

HORIZON_SECONDS = 5.0
"""Slots are given out so far ahead, no further: what is held back must not fill up with them."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Slots for calls, one after the other.

    Attributes:
        wait_seconds: Time until the first slot; with no slots, until it is worth to ask again.
        interval: Seconds from one slot to the next; 0 without a limit of the rate.
        count: How many slots there are: as many as were asked for, or fewer, or none.
        day: The day that they count for (days since 1970 in China), to give them back to.
    """

    wait_seconds: float
    interval: float
    count: int
    day: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What is used of a quota.

    Attributes:
        used: Calls of today, in China.
        daily_quota: Calls that a day has; 0 for no limit.
        lag_seconds: Time until the next free slot.
        reset_in: Seconds until the next day begins.
        paused_seconds: Time until the end of a pause; 0 when there is none.
    """

    used: int
    daily_quota: int
    lag_seconds: float
    reset_in: float
    paused_seconds: float


class Quota(Protocol):
    """The calls of one app: so many in any second, and so many in a day of China (GMT+8).

    Its methods may block and may be called from any thread.

    Attributes:
        qps: Calls per second; 0 for no limit. May be changed at any time.
        daily_quota: Calls per day; 0 for no limit. May be changed at any time.
    """

    qps: float
    daily_quota: int

    def reserve(self, count: int, lead_seconds: float = 0.0) -> Reservation:
        """Take up to *count* slots, none of them earlier than in *lead_seconds*.

        Raises:
            DailyQuotaExhaustedError: The day has no calls left.
            QuotaUnavailableError: The state cannot be reached.
        """

    def give_back(self, count: int, day: int) -> None:
        """Return calls of *day* that were reserved and not made; their slots are lost.

        Raises:
            QuotaUnavailableError: The state cannot be reached.
        """

    def pause(self, seconds: float) -> None:
        """Give out no slot of the next *seconds*, to no worker; 0 ends a pause.

        Raises:
            QuotaUnavailableError: The state cannot be reached.
        """

    def usage(self) -> Usage:
        """Return what is used.

        Raises:
            QuotaUnavailableError: The state cannot be reached.
        """


def slot_interval(qps: float) -> float:
    """Return the seconds from one slot to the next at *qps* calls per second; 0 for no limit."""
    return (1 + MARGIN_SECONDS) / qps if qps else 0.0
