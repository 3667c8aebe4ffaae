"""How long to wait before a call is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

_MAX_DOUBLINGS = 64  # beyond any cap; keeps the power within what a float holds


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter.

    Full jitter draws the whole wait at random, so calls that failed together do not come back
    together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Attributes:
        base: Longest wait after the first failed attempt, in seconds; doubles with each further.
        cap: Longest wait ever drawn, in seconds.
        random: Returns a number from 0 up to, not including, 1.
    """

    base: float = 1.0
    cap: float = 60.0
    random: Callable[[], float] = random.random

    def ceiling(self, attempt: int) -> float:
        """Return the longest wait after failed attempt number ``attempt`` (from 1), in seconds."""
        return min(self.cap, self.base * 2.0 ** min(max(attempt, 1) - 1, _MAX_DOUBLINGS))

    def delay(self, attempt: int, *, not_before: float | None = None) -> float:
        """Return the wait after failed attempt number ``attempt`` (from 1), in seconds.

        It is *not_before*, the seconds that the platform asked for, and the jitter on top: nobody
        is early, and calls that were asked for the same time do not return together.
        """
        return (not_before or 0.0) + self.random() * self.ceiling(attempt)
