"""Lenient readings of single values.

Each reading turns what it understands into the record's type, ``None`` and the empty string into
``None`` (not told), and gives back anything else as it came, for validation to refuse.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
"""Fields of the product record by name; one that the answer does not tell is absent."""

IMAGE_HOST = "https://cbu01.alicdn.com/"
"""Where the platform's relative image paths start."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_INT_LIMIT = Decimal(10) ** 40


def first(source: dict[str, Any], *names: str) -> Any:
    """Return the first value under one of *names* that tells something.

    ``""`` when all that is there is empty, ``None`` when nothing is there.
    """
    found = None
    for name in names:
        value = source.get(name)
        if value == "":
            found = ""
        elif value is not None:
            return value
    return found


def section(source: Any, *path: str) -> dict[str, Any]:
    """Return the object at *path* below *source*; an empty one if there is none."""
    for name in path:
        source = source.get(name) if isinstance(source, dict) else None
    return source if isinstance(source, dict) else {}


def listed(value: Any) -> Any:
    """Return a list: ``None`` is an empty one, a lone object one of one element."""
    if value is None or value == "":
        return []
    return [value] if isinstance(value, dict) else value


def told(**fields: Any) -> Fields:
    """Return the fields that are not ``None``."""
    return {name: value for name, value in fields.items() if value is not None}


def amount(value: Any) -> Any:
    """Read an amount of money (CNY) as ``Decimal``."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        return Decimal(text) if _NUMBER.fullmatch(text) else value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return value


def count(value: Any) -> Any:
    """Read a whole number (a count, an id) as ``int``."""
    if isinstance(value, int):
        return value
    number = amount(value)
    if (
        isinstance(number, Decimal)
        and number.is_finite()
        and number.copy_abs() < _INT_LIMIT
        and number == number.to_integral_value()
    ):
        return int(number)
    return value if number is not None else None


def text(value: Any) -> Any:
    """Read text; a number is taken for its digits."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    return value


def is_true(value: Any) -> bool:
    """Whether *value* is true: ``True`` or ``"true"``, as the platform writes it."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def image_url(value: Any) -> Any:
    """Read an image's address as an absolute one."""
    if not isinstance(value, str):
        return value
    path = value.strip()
    if not path:
        return None
    if path.startswith("//"):
        return f"https:{path}"
    return path if _SCHEME.match(path) else IMAGE_HOST + path.lstrip("/")


def image_urls(value: Any) -> Any:
    """Read a list of images' addresses; empty ones are left out."""
    if value is None:
        return None
    images = [value] if isinstance(value, str) else value
    if not isinstance(images, list):
        return value
    return [url for url in map(image_url, images) if url is not None]
