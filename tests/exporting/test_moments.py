from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.moments import moment

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00+08:00", datetime(2026, 11, 1, 2, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 16, 12, 30, tzinfo=UTC)),
        ("24h", datetime(2026, 11, 22, 12, 30, tzinfo=UTC)),
        ("0h", NOW),
    ],
)
def test_moment(text: str, expected: datetime) -> None:
    assert moment(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-7d", "2026-13-01", "999999d"])
def test_no_moment(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        moment(text, now=NOW)
    assert str(caught.value) == (
        f"{text!r} is no time: write a date such as 2026-11-23, a time such as "
        "2026-11-23T10:00:00Z, or an age such as 7d or 24h"
    )
