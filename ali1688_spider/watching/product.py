"""What is remembered of one watched product between two fetches."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.watching.change_rate import Observations, Tally


@dataclass(frozen=True, slots=True)
class WatchedProduct:
    """The state of one watched product; its text has about 60 bytes.

    Attributes:
        category: The platform's category id, 0 while unknown.
        observations: What the fetches said.
        fetched_at: Time of the last fetch (UTC, seconds since the epoch), None before the first.
        interval: Seconds from then until the next fetch is due, 0 before the first.
        removals: How many fetches in a row found the product removed from the platform.
    """

    category: int = 0
    observations: Observations = field(default_factory=Observations)
    fetched_at: float | None = None
    interval: float = 0.0
    removals: int = 0

    @property
    def demand(self) -> float:
        """Calls per second that the product asks for."""
        return 1 / self.interval if self.interval else 0.0

    def late(self, now: float) -> float:
        """Return for how many seconds the product has been due at ``now``.

        0 before the first fetch: that a product is new says nothing about the schedule.
        """
        if self.fetched_at is None:
            return 0.0
        return max(0.0, now - self.fetched_at - self.interval)

    def encode(self) -> str:
        """Return the state as JSON text: a list of numbers.

        Category, time of the last fetch, interval and removals, then count and seconds of the
        observations without a change and of each group of those with one.
        """
        seen = self.observations
        fields = [self.category, self.fetched_at, self.interval, self.removals]
        for each in (seen.unchanged, *seen.changed):
            fields += each.count, each.seconds
        return f"[{','.join('null' if each is None else f'{each:.15g}' for each in fields)}]"

    @classmethod
    def decode(cls, text: str | bytes) -> WatchedProduct:
        """Return the state that :meth:`encode` wrote.

        Raises:
            MalformedMessageError: The text is anything else.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise MalformedMessageError("the state of a watched product is not JSON") from error
        if not isinstance(fields, list) or len(fields) < 6 or len(fields) % 2:
            raise MalformedMessageError("the state of a watched product is not a list of pairs")
        category, fetched_at, interval, removals, *sums = fields
        if type(category) is not int or type(removals) is not int:
            raise MalformedMessageError("the state of a watched product has a wrong whole number")
        times = [interval] if fetched_at is None else [interval, fetched_at]
        if not all(_is_amount(each) for each in (removals, *times, *sums)):
            raise MalformedMessageError("the state of a watched product has a wrong number")
        unchanged, *changed = (Tally(*pair) for pair in zip(sums[::2], sums[1::2], strict=True))
        if not all(each.count and each.seconds for each in changed):
            raise MalformedMessageError("the state of a watched product has an empty tally")
        return cls(
            category, Observations(unchanged, tuple(changed)), fetched_at, interval, removals
        )


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
