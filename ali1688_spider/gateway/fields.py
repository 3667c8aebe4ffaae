"""What all families of responses share: single values, lists of them, attributes.

Each reading of a value turns what it understands into the record's type, and ``None`` and the empty
string into ``None``. What it does not understand it gives back as it came, for validation to
refuse; the readings whose names begin with ``told_`` take it for not told instead: no product is
refused because of its seller's score.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
"""Fields of the product record by name; one that is not set in the data is absent."""

IMAGE_HOST = "https://cbu01.alicdn.com/"
"""Where the platform's relative image paths start."""

PICTURE_HOST = "alicdn.com"
"""Where the platform keeps pictures, on many hosts."""

UNLIMITED = 2_147_483_646
"""The stock by which the platform says "unlimited"; it stays in the record as it came."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_IN_UTF_8 = re.compile(r"[^\0\ud800-\udfff]*")
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?([/?#]\S*)?")
_INT_LIMIT = Decimal(10) ** 40
_MAX_COUNT = 2**63 - 1
_MAX_AMOUNT = Decimal(10) ** 16
_MAX_DECIMALS = 18
_MAX_TEXT = 64
_CHINA = timezone(timedelta(hours=8))
_COMPACT_TIME = re.compile(r"(\d{14})(\d{3})?([+-]\d{4})?")


def first(source: dict[str, Any], *names: str) -> Any:
    """Return the first value under one of *names* that is neither ``None`` nor ``""``.

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
        if not isinstance(source, dict):
            return {}
        source = source.get(name)
    return source if isinstance(source, dict) else {}


def section_of(source: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the first object under one of *names*; an empty one if there is none."""
    return next((found for name in names if (found := section(source, name))), {})


def listed(value: Any) -> Any:
    """Return a list: ``None`` is an empty one, a lone object one of one element."""
    if value is None or value == "":
        return []
    return [value] if isinstance(value, dict) else value


def set_fields(**fields: Any) -> Fields:
    """Return the fields that are not ``None``."""
    return {name: value for name, value in fields.items() if value is not None}


def amount(value: Any) -> Any:
    """Read an amount of money (CNY) as ``Decimal``."""
    if value is None:
        return None
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
    if value is None or isinstance(value, int):
        return value
    number = amount(value)
    if isinstance(number, Decimal) and number.is_finite() and number.copy_abs() < _INT_LIMIT:
        return int(number) if number == number.to_integral_value() else value
    return None if number is None else value


def text(value: Any) -> Any:
    """Read text; a number is taken for its digits."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    return value


def is_true(value: Any) -> bool:
    """Whether *value* is ``True`` or ``"true"``, as the platform writes it."""
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
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return value
    return [url for url in map(image_url, value) if url is not None]


def told_amount(value: Any) -> Decimal | None:
    """Read an amount above 0; the platform writes 0 where there is none."""
    if value is None:
        return None
    number = amount(value)
    if not isinstance(number, Decimal) or not number.is_finite() or not 0 < number < _MAX_AMOUNT:
        return None
    exponent = number.as_tuple().exponent
    return number if isinstance(exponent, int) and exponent >= -_MAX_DECIMALS else None


def told_count(value: Any) -> int | None:
    """Read a whole number from 0 on."""
    if value is None:
        return None
    number = count(value)
    is_count = isinstance(number, int) and not isinstance(number, bool)
    return number if is_count and 0 <= number <= _MAX_COUNT else None


def told_ids(*values: Any) -> list[int] | None:
    """Read ids, leaving out what is none; None if nothing is left."""
    return [number for number in map(told_count, values) if number] or None


def told_number(value: Any) -> float | None:
    """Read a number, also a percentage: ``13%`` is 0.13."""
    is_percentage = isinstance(value, str) and value.strip().endswith("%")
    number = amount(value.strip()[:-1] if is_percentage else value)
    if (
        not isinstance(number, Decimal)
        or not number.is_finite()
        or number.copy_abs() >= _MAX_AMOUNT
    ):
        return None
    return float(number / 100 if is_percentage else number)


def told_share(value: Any) -> float | None:
    """Read a part of a whole, from 0 to 1: ``13%`` or ``0.13``."""
    number = told_number(value)
    return number if number is not None and 0 <= number <= 1 else None


def told_text(value: Any) -> str | None:
    """Read text that can be stored; a number is taken for its digits."""
    if value is None:
        return None
    read = text(value)
    return read if isinstance(read, str) and _IN_UTF_8.fullmatch(read) else None


def told_moment(value: Any) -> datetime | None:
    """Read a time as UTC; without a zone it is one in China.

    Its forms are ``20181213201638000+0800`` and ``2024-04-20 08:00:00``.

    Source: the API pages of the 1688 Open Platform, of productInfo and of keywordQuery.
    """
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        return None
    written = value.strip()
    try:
        if match := _COMPACT_TIME.fullmatch(written):
            digits, milliseconds, zone = match.groups()
            written = f"{digits[:8]}T{digits[8:]}.{milliseconds or '000'}{zone or '+0800'}"
        moment = datetime.fromisoformat(written)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=_CHINA)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def platform_time(written: str) -> str:
    """Return a time in ISO 8601, without a zone one in China, as the platform's parameters have it.

    Raises:
        ValueError: It is no such time.
    """
    moment = told_moment(written)
    if moment is None:
        raise ValueError(f"{written!r} is no time in ISO 8601")
    return f"{moment.astimezone(_CHINA):%Y%m%d%H%M%S}000+0800"


def told_urls(*values: Any) -> list[str] | None:
    """Read addresses, absolute or beginning with ``//``; None if there is none."""
    texts = filter(None, map(told_text, values))
    urls = [f"https:{path}" if path.startswith("//") else path for path in texts]
    return list(dict.fromkeys(url for url in urls if _URL.fullmatch(url))) or None


def told_scores(raw: Any) -> dict[str, float] | None:
    """Return the numbers of an object of scores by the platform's names; None if there is none."""
    scores = {told_text(name): told_number(value) for name, value in section(raw).items()}
    return {name: each for name, each in scores.items() if name and each is not None} or None


NAMES = ("attributeName", "attributeDisplayName", "attributeID", "attributeId")
VALUES = ("attributeValue", "value")


def read_pairs(
    raw: Any, names: tuple[str, ...] = NAMES, values: tuple[str, ...] = VALUES
) -> list[tuple[str, Any]] | None:
    """Return name and value of each attribute; None if *raw* is no list of attributes.

    Where an attribute has no name, its id is one; without either, or a value, it is left out.
    """
    entries = listed(raw)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    pairs = [(text(first(entry, *names)), text(first(entry, *values))) for entry in entries]
    known = [(name, value) for name, value in pairs if name is not None and value is not None]
    return known if all(isinstance(name, str) for name, _ in known) else None


def read_attributes(raw: Any) -> Any:
    """Return ``{name: [values]}``; an attribute repeats once for each of its values."""
    pairs = None if raw is None else read_pairs(raw)
    if pairs is None:
        return raw
    attributes: dict[str, list[Any]] = {}
    for name, value in pairs:
        values = attributes.setdefault(name, [])
        if value not in values:
            values.append(value)
    return attributes


def read_translated(raw: Any) -> dict[str, list[str]] | None:
    """Return likewise the attributes' translations; None where there is none."""
    if not raw:
        return None
    pairs = read_pairs(raw, ("attributeNameTrans",), ("valueTrans", "attributeValueTrans")) or ()
    attributes: dict[str, list[str]] = {}
    for name, value in ((told_text(name), told_text(value)) for name, value in pairs):
        if name and value and value not in attributes.setdefault(name, []):
            attributes[name].append(value)
    return attributes or None
