"""How tests wait for what another process does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.05
"""Seconds between two looks: those at a server cost it, and the test, processor time."""


def eventually(condition: Callable[[], T], seconds: float = 60.0) -> T:
    """Return what *condition* returns as soon as it is true.

    Raises:
        AssertionError: It has not become true within *seconds*.
    """
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {condition.__qualname__}")
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 1.2 * pause)
    return value
