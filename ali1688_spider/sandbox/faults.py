"""Faults that are asked for: which call gets which.

A specification is a list of names, ``500,html,slow:3``; the number after a colon is the fault's
own: seconds of ``slow``, of the ``Retry-After`` of an HTTP status, and of the ban that a platform
error speaks of; MiB of ``huge``.

Transport (:mod:`ali1688_spider.sandbox.transport`): ``reset``, ``cut-connection``, ``429``,
``500``, ``502``, ``503``, ``504``, ``html``, ``truncated``, ``empty``, ``slow``, ``bare-string``,
``null``, ``list``, ``redirect``, ``huge``.

Business errors inside HTTP 200: ``business-false`` (``result`` without success),
``business-error`` (``errorCode``, ``errorMessage``), ``string-false`` (``"success":"false"``).

Platform: every name of :data:`ali1688_spider.sandbox.refusals.REFUSALS`.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from ali1688_spider.sandbox.options import Options

STATUSES = ("429", "500", "502", "503", "504")
TRANSPORT = frozenset(STATUSES) | {
    "reset",
    "cut-connection",
    "html",
    "truncated",
    "empty",
    "slow",
    "bare-string",
    "null",
    "list",
    "redirect",
    "huge",
}
BUSINESS: dict[str, dict[str, Any]] = {
    "business-false": {"result": {"success": False, "code": "500", "message": "系统异常"}},
    "business-error": {"success": False, "errorCode": "500_2", "errorMessage": "系统异常"},
    "string-false": {"success": "false"},
}

_GOLDEN = 2_654_435_769
_RANGE = 2**32


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and its number, None for the usual one."""

    name: str
    number: float | None = None


def parse_faults(names: str | Iterable[str]) -> tuple[Fault, ...]:
    """Return the faults of a specification: names between commas, or one by one.

    Raises:
        ValueError: A name is unknown or its number is none; the text is one sentence.
    """
    texts = names.split(",") if isinstance(names, str) else names
    return tuple(_parse_fault(text.strip()) for text in texts if text.strip())


def _parse_fault(text: str) -> Fault:
    name, colon, number = text.partition(":")
    if name not in TRANSPORT and name not in BUSINESS and name not in REFUSALS:
        known = ", ".join(sorted(TRANSPORT | set(BUSINESS) | set(REFUSALS)))
        raise ValueError(f"there is no fault {name!r}: give some of {known}")
    if not colon:
        return Fault(name)
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"the fault {text!r} has no number after its colon")
    return Fault(name, value)


class Faults:
    """Deals out faults: first those queued for a product or an API, then those of the options.

    Of the options' faults a product is struck or not, always the same; a struck one fails its
    first ``fault_times`` tries, beginning with another fault than its neighbour.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.reset()

    def reset(self) -> None:
        """Forget the tries and the queues."""
        self._tries: Counter[Hashable] = Counter()
        self._queues: dict[int | str, deque[Fault]] = {}
        self.load()

    def load(self) -> None:
        """Take over changed options; tries are counted anew."""
        self._faults = parse_faults(self._options.faults)
        self._tries.clear()

    def queue(self, target: int | str, faults: Iterable[Fault]) -> None:
        """Let the next calls of a product (its id) or an API (its name) fail, one for each fault.

        They replace what was queued before.
        """
        self._queues[target] = deque(faults)

    def take_queued(self, target: int | str) -> Fault | None:
        """Return the next fault that is queued for a product or an API, None when there is none."""
        queue = self._queues.get(target)
        return queue.popleft() if queue else None

    def take(self, subject: Hashable, index: int) -> Fault | None:
        """Return the fault that the options have for a try, None when it succeeds.

        Args:
            subject: What is tried: a product or a page.
            index: Its number, which decides whether and with which fault it is struck.
        """
        if not self._faults:
            return None
        # Multiples of the golden ratio spread evenly: of any range the right share is struck.
        if index * _GOLDEN % _RANGE >= self._options.fault_rate * _RANGE:
            return None
        tries = self._tries[subject]
        if self._options.fault_times and tries >= self._options.fault_times:
            return None
        self._tries[subject] += 1
        return self._faults[(index + tries) % len(self._faults)]
