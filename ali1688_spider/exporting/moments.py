"""Points in time as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ali1688_spider.exceptions import ConfigurationError

_AGO = re.compile(r"(\d{1,6})([dh])")


def moment(text: str, *, now: datetime) -> datetime:
    """Return the time that *text* names, in UTC.

    Args:
        text: ``2026-11-23``, ``2026-11-23T10:00:00Z`` or any other ISO 8601 form (without a zone:
            UTC), or how long ago: ``7d`` (days), ``24h`` (hours).
        now: What an age is counted from.

    Raises:
        ConfigurationError: It is none of these.
    """
    try:
        if match := _AGO.fullmatch(text):
            number, unit = int(match[1]), match[2]
            return now - (timedelta(days=number) if unit == "d" else timedelta(hours=number))
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{text!r} is no time: write a date such as 2026-11-23, a time such as "
            "2026-11-23T10:00:00Z, or an age such as 7d or 24h"
        ) from None
