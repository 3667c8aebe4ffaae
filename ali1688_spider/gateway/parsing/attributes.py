"""The attributes of a product and of its SKUs."""

from __future__ import annotations

from typing import Any

from ali1688_spider.gateway.parsing.values import first, listed, text

_NAMES = ("attributeName", "attributeDisplayName", "attributeID", "attributeId")


def read_pairs(raw: Any) -> list[tuple[str, Any]] | None:
    """Return name and value of each attribute; None if *raw* is no list of attributes.

    Where an attribute has no name, its id is one; without either, or without a value, it tells
    nothing and is left out.
    """
    entries = listed(raw)
    if not isinstance(entries, list):
        return None
    pairs = []
    for entry in entries:
        if not isinstance(entry, dict):
            return None
        name = text(first(entry, *_NAMES))
        value = text(first(entry, "attributeValue", "value"))
        if name is None or value is None:
            continue
        if not isinstance(name, str):
            return None
        pairs.append((name, value))
    return pairs


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
