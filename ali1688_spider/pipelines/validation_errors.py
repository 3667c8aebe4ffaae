"""Why a record is rejected, in plain words."""

from __future__ import annotations

from decimal import Decimal
from reprlib import Repr
from typing import TYPE_CHECKING, Any

from ali1688_spider.items import KEY_PATTERN, URL_PATTERN

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

MAX_ERRORS = 100

_MEANINGS = {
    "dict_type": "not an object",
    "finite_number": "not a finite number",
    "decimal_max_places": "more than {decimal_places} decimal places",
    "extra_forbidden": "no field of the record",
    "greater_than": "not above {gt}",
    "greater_than_equal": "below {ge}",
    "int_type": "not a whole number",
    "is_instance_of": "not an amount",
    "less_than": "not below {lt}",
    "list_type": "not a list",
    "missing": "missing",
    "string_too_short": "empty",
    "string_type": "not text",
    "string_unicode": "holds half a surrogate pair, which no encoding can store",
}

_PATTERNS = {
    KEY_PATTERN: "holds a NUL character, which ends a key in BSON",
    URL_PATTERN: "not an absolute http(s) URL",
}
_LONGEST = 60
_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = _LONGEST


def validation_errors(error: ValidationError) -> list[str]:
    """Return a printable line for each rule that the record breaks, at most 100 and how many more.

    It says where, what is wrong, and which value came.
    """
    details = error.errors(include_url=False)
    sentences = [_sentence(detail) for detail in details[:MAX_ERRORS]]
    if len(details) > MAX_ERRORS:
        sentences.append(f"and {len(details) - MAX_ERRORS} more")
    return sentences


def _sentence(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "string_pattern_mismatch":
        words = _PATTERNS[context["pattern"]]
    else:
        words = _MEANINGS[kind].format_map(context) if kind in _MEANINGS else detail["msg"]
    came = "" if kind == "missing" else f" ({_shown(detail['input'])} came)"
    return f"{_place(detail['loc'])}: {words}{came}"


def _place(location: tuple[int | str, ...]) -> str:
    """Return ``skus[2].attributes['a b']`` for the parts of it."""
    place = ""
    for part in location:
        if isinstance(part, str) and part.isidentifier() and len(part) <= _LONGEST:
            place += f".{part}" if place else part
        elif part != "[key]":  # pydantic's mark for a key that is wrong itself
            place += f"[{_short.repr(part)}]"
    return place


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        text = str(value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return _short.repr(value)
