"""Plain values as text: exact, in UTF-8, and harmless in a spreadsheet."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

FORMULA_STARTS = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
"""What makes a spreadsheet read a text as a formula.

OWASP, "CSV Injection"; the last four are the full-width forms of the first four, which East Asian
versions read alike.
"""


def decimal_text(value: Decimal) -> str:
    """Return all digits of *value*, never with an exponent: ``12.50``."""
    return f"{value:f}"


def time_text(value: datetime) -> str:
    """Return a time as ISO 8601 in UTC, in whole seconds: ``2026-11-23T10:00:00Z``."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_value(value: Any) -> Any:
    """Return a plain value as JSON can hold it; decimals and times as their text."""
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, dict):
        return {str(name): json_value(part) for name, part in value.items()}
    if isinstance(value, list):
        return [json_value(part) for part in value]
    return value


def cell_text(value: Any) -> str:
    """Return a plain value as the text of one cell, before :func:`harmless`.

    What is not there is empty; a list of addresses is joined by spaces, which no address has; what
    is nested otherwise is compact JSON.
    """
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(map(_is_address, value)):
        return " ".join(value)
    value = json_value(value)
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def harmless(text: str) -> str:
    """Return *text*, with an apostrophe before it where a spreadsheet would run it as a formula.

    For texts only: a number that is negative stays a number.
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and " " not in value
