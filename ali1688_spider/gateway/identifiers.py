"""Product ids as people have them: bare, or in the address of a product page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, urlsplit

from ali1688_spider.gateway.calls import MAX_PRODUCT_ID

_DIGITS = re.compile(r"[0-9]+")
_OFFER_PATH = re.compile(r"/offer/([0-9]+)\.html?", re.IGNORECASE)
_SITE = "1688.com"
# What editors and spreadsheets put around a line: byte order mark, zero-width, full-width space.
_AROUND = " \t\r\n\f\v\ufeff\u200b\u3000\xa0"


def product_url(product_id: int) -> str:
    """Return the address of a product's page."""
    return f"https://detail.1688.com/offer/{product_id}.html"


def parse_product_id(text: str) -> int:
    """Return the product id in *text*.

    That is a bare id (``610000000001``, in the digits 0 to 9) or an address of 1688.com, with or
    without ``https://``, that has the id in its path (``/offer/610000000001.html``) or as its
    parameter ``offerId``.

    Raises:
        ValueError: There is no product id in *text*; the message says why.
    """
    text = text.strip(_AROUND)
    digits = text if _DIGITS.fullmatch(text) else _digits_of_url(text)
    if digits is None:
        raise ValueError(f"{text[:80]!r} is neither a product id nor a product's URL on {_SITE}")
    significant = digits.lstrip("0")
    if not significant or len(significant) > 19 or int(significant) > MAX_PRODUCT_ID:
        raise ValueError(f"{digits[:80]!r} is out of range: a product id is from 1 to 2^63 - 1")
    return int(significant)


def read_identifiers(
    lines: Iterable[str], seen: set[int] | None = None, first: int = 1
) -> Iterator[tuple[int, int | ValueError]]:
    """Yield the line number and the product id of each line, or why it has none.

    Lines are read one by one as they are asked for. Blank lines and those that start with ``#``
    are skipped, and so is an id in *seen*, to which the ids are added. *first* is the number of
    the first line.
    """
    seen = set() if seen is None else seen
    for number, line in enumerate(lines, start=first):
        content = line.strip(_AROUND)
        if not content or content.startswith("#"):
            continue
        try:
            product_id = parse_product_id(content)
        except ValueError as error:
            yield number, error
            continue
        if product_id not in seen:
            seen.add(product_id)
            yield number, product_id


def _digits_of_url(text: str) -> str | None:
    try:
        url = urlsplit(text if "//" in text else f"//{text}", scheme="https")
        host = url.hostname or ""
    except ValueError:  # brackets in the host that are no IPv6 address
        return None
    if url.scheme not in ("http", "https") or not f".{host}".endswith(f".{_SITE}"):
        return None
    if match := _OFFER_PATH.fullmatch(url.path):
        return match[1]
    offer_ids = [value for name, value in parse_qsl(url.query) if name.lower() == "offerid"]
    return next(filter(_DIGITS.fullmatch, offer_ids), None)
