"""What is kept of a watched product between two fetches, and what fetches and hints add to it.

Each fetch shows whether the product changed since the one before; what is kept is the evidence of
how often that is, from which :mod:`~ali1688_spider.watching.schedule` makes rates and intervals.
"""

from __future__ import annotations

import enum
import json
import logging
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

DAY = 86400.0  # seconds

MEMORY = 100.0
"""Fetches after which an observation counts 1/e: rates drift, and old evidence must not bind."""

HINT_SECONDS = 600.0
"""Hints of a product within so long are one: one change may have several messages."""

BEFORE_HINTS = 30 * DAY
"""So much of the time before its first hint counts as time in which none came."""

LARGEST = 1e11  # seconds; more than any number of a state

_CHANGED_PART = 0.15  # of an interval with changes; exact for six, tried in the simulator


class Outcome(enum.Enum):
    """What a fetch found."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class WatchedProduct:
    """What is kept of one watched product between two fetches.

    Attributes:
        fingerprint: Of the last response, see :func:`ali1688_spider.watching.watcher.fingerprint`;
            empty before the first.
        fetched_at: Time of the last fetch (UTC, seconds since the epoch), None before the first.
        removals: How many fetches in a row found the product removed from the platform.
        changes: How many fetches found a change of which no hint had told; old ones fade.
        seconds: Observed time in which these changes happened; it fades likewise.
        hints: How many hints came, those within :data:`HINT_SECONDS` as one; they fade likewise.
        hint_seconds: Time in which they came; it fades likewise. 0 before the first one.
        unseen_seconds: The part of it in which there may have been more changes than hints, as a
            look at a page tells of one at most; it fades likewise.
        hinted_at: Time of the first hint since the last fetch (UTC, seconds since the epoch); None
            when there was none.
        last_hint_at: Time of the last hint ever, 0 before the first.
        new_hints: How many there were since the last fetch.
        new_unseen_seconds: What they add to the unseen seconds.
    """

    fingerprint: str = ""
    fetched_at: float | None = None
    removals: int = 0
    changes: float = 0.0
    seconds: float = 0.0
    hints: float = 0.0
    hint_seconds: float = 0.0
    unseen_seconds: float = 0.0
    hinted_at: float | None = None
    last_hint_at: float = 0.0
    new_hints: int = 0
    new_unseen_seconds: float = 0.0

    def hinted(self, now: float, within: float = 0.0) -> WatchedProduct:
        """Return the state after a hint that came *now* (UTC, seconds since the epoch).

        The change happened *within* so many seconds before.
        """
        if self.new_hints and now - self.last_hint_at < HINT_SECONDS:
            return self
        return replace(
            self,
            hinted_at=now if self.hinted_at is None else self.hinted_at,
            last_hint_at=now,
            new_hints=self.new_hints + 1,
            new_unseen_seconds=self.new_unseen_seconds + (1 - _CHANGED_PART) * within,
        )

    def hint_evidence(self, now: float) -> tuple[float, float, float]:
        """Return how many hints came until *now*, in how many seconds, and the unseen ones."""
        seconds = self.hint_seconds or min(self.seconds, BEFORE_HINTS)
        age = 0.0 if self.fetched_at is None else max(0.0, now - self.fetched_at)
        unseen = self.unseen_seconds + self.new_unseen_seconds
        return self.hints + self.new_hints, seconds + age, min(unseen, seconds + age)

    def fetched(self, fingerprint: str | None, now: float) -> tuple[Outcome, WatchedProduct]:
        """Return what a fetch found, and the state after it.

        The first fetch shows no change, as there is nothing to compare with. Nothing is observed by
        the fetch that finds a removed product again, nor by one not later than the one before. A
        change that a hint told of says nothing about how often there are others.

        Args:
            fingerprint: Of the response; None when the product was removed from the platform.
            now: Time of the fetch (UTC, seconds since the epoch).
        """
        before = now if self.fetched_at is None else self.fetched_at
        latest = max(before, now)
        if fingerprint is None:
            gone = replace(self._without_hint(), fetched_at=latest, removals=self.removals + 1)
            return Outcome.REMOVED, gone
        is_changed = self.fingerprint not in {"", fingerprint}
        changes, seconds = self.changes, self.seconds
        hints, hint_seconds, unseen_seconds = self.hint_evidence(now)
        if now > before and not self.removals:
            # Of a change that a hint told of, nothing is known of others before it.
            is_untold = is_changed and self.hinted_at is None
            part = 1.0 if not is_changed else _CHANGED_PART if is_untold else 0.0
            kept = 1 - 1 / MEMORY
            changes, seconds = kept * changes + is_untold, kept * seconds + part * (now - before)
            hints, hint_seconds = kept * hints, kept * hint_seconds
            unseen_seconds *= kept
        if not hints:
            hint_seconds = unseen_seconds = 0.0
        outcome = Outcome.CHANGED if is_changed else Outcome.UNCHANGED
        evidence = changes, seconds, hints, hint_seconds, unseen_seconds
        last = self.last_hint_at
        return outcome, WatchedProduct(fingerprint, latest, 0, *evidence, last_hint_at=last)

    def _without_hint(self) -> WatchedProduct:
        return replace(self, hinted_at=None, new_hints=0, new_unseen_seconds=0.0)

    def encode(self) -> str:
        """Return the state after a fetch as text.

        That is the fingerprint, then a list of the numbers, the last four only where hints came,
        then what is known of hints since.
        """
        numbers = f"{self.removals},{self.changes:.6g},{self.seconds:.6g}"
        if self.hints or self.last_hint_at:
            numbers += f",{self.hints:.6g},{self.hint_seconds:.6g},{self.unseen_seconds:.6g}"
            numbers += f",{self.last_hint_at:.0f}"
        text = f"{self.fingerprint}[{self.fetched_at or 0:.15g},{numbers}]"
        if self.hinted_at is None:
            return text
        hint = f"{self.hinted_at:.0f},{self.last_hint_at:.0f}"
        return f"{text}{hint},{self.new_hints},{self.new_unseen_seconds:.0f}"

    @classmethod
    def decode(cls, text: str) -> WatchedProduct:
        """Return the state of :meth:`encode`; a new one for an empty text.

        A text that cannot be read gives a new one too, with a warning: the product is still
        watched, and no other is affected.
        """
        fingerprint, _, rest = text.partition("[")
        numbers, _, hint = rest.rpartition("]")
        try:
            return cls(fingerprint, *_read_numbers(numbers, hint)) if text else cls()
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            logger.warning("The state of a watched product is unreadable, starting over: %s", error)
            return cls()


class Hint(NamedTuple):
    """That a watched product has changed.

    Attributes:
        product_id: The product.
        before: The text of its state, empty before the first fetch.
        state: The text of its state with the hint.
        priority: Of its fetch; below 0 after all that is due.
    """

    product_id: int
    before: str
    state: str
    priority: int


class NextFetch(NamedTuple):
    """When a watched product is fetched next.

    Attributes:
        product_id: The product.
        due: When (UTC, seconds since the epoch); None for as soon as it can be.
        product: What is known of it.
    """

    product_id: int
    due: float | None
    product: WatchedProduct

    @property
    def interval(self) -> float | None:
        """Seconds from the last fetch to this one; None when either is unknown."""
        if self.due is None or self.product.fetched_at is None:
            return None
        return max(0.0, self.due - self.product.fetched_at)


def _read_numbers(numbers: str, hint: str) -> tuple[Any, ...]:
    """Return what follows the fingerprint, in the order of the attributes.

    Raises:
        ValueError, TypeError, ArithmeticError, RecursionError: The texts are anything else.
    """
    state, told = json.loads(f"[{numbers}]"), json.loads(f"[{hint}]")
    if any(type(number) not in {int, float} for number in state + told):
        raise ValueError(f"{numbers[:100]!r} is no list of numbers")
    if not all(0 <= number < LARGEST for number in state + told):
        raise ValueError(f"{numbers[:100]!r} has a number out of bounds")
    if len(state) not in {4, 8} or len(told) not in {0, 4}:
        raise ValueError(f"{numbers[:100]!r} has too few numbers, or too many")
    fetched_at, removals, *evidence = map(float, state)
    *evidence, last_hint_at = evidence if len(state) == 8 else [*evidence, 0.0, 0.0, 0.0, 0.0]
    if not told:
        return fetched_at or None, int(removals), *evidence, None, last_hint_at
    first, last, number, unseen = told
    since = float(first), float(last), int(number), float(unseen)
    return fetched_at or None, int(removals), *evidence, *since
