"""The days that a report is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, in UTC.

    Attributes:
        start: The midnight that it begins with.
        end: Its last moment.
    """

    start: datetime
    end: datetime

    @classmethod
    def last_days(cls, days: int, now: datetime) -> Period:
        """Return the last *days* times 24 hours, and what there was before them on that day."""
        first = (now.astimezone(UTC) - timedelta(days=days)).date()
        return cls(datetime.combine(first, time.min, UTC), now)

    @property
    def days(self) -> list[date]:
        """The calendar days, the last of which may not be over."""
        first = self.start.date()
        return [first + timedelta(n) for n in range((self.end.date() - first).days + 1)]
