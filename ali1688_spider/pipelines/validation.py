"""Lets through what can be a product, and keeps the rest with the reasons."""

from __future__ import annotations

import logging
from decimal import Decimal
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem
from scrapy.statscollectors import StatsCollector

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.calls import MAX_PRODUCT_ID
from ali1688_spider.gateway.identifiers import product_url
from ali1688_spider.items import (
    KEY_PATTERN,
    PUBLISHED,
    REMOVED,
    URL_PATTERN,
    ParsedProduct,
    Product,
)

if TYPE_CHECKING:
    from ali1688_spider.storage.rejections import RejectionStore

logger = logging.getLogger(__name__)

MAX_LOGGED_ERRORS = 5
_SET_LATER = {"first_seen_at", "changed_at", "image_files"}
# A promotion of None says that there is none, which not every API can tell; a description is kept
# only on request, and a crawl that does not want it erases none.
_SET_WHEN_TOLD = {"promotion_price", "description"}
_UNKNOWN = {
    name: field.default
    for name, field in Product.model_fields.items()
    if not field.is_required() and name not in _SET_LATER | _SET_WHEN_TOLD
}


class ValidationPipeline:
    """Turns each :class:`ParsedProduct` into a :class:`Product`; other items pass untouched.

    A response that breaks a rule is kept with every reason, logged as one WARNING line, counted as
    ``ali1688/items/rejected`` and dropped. Without a database there is the log only.
    """

    def __init__(self, stats: StatsCollector, rejections: RejectionStore | None) -> None:
        self._stats = stats
        self._rejections = rejections

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the pipeline."""
        return cls(crawler.stats, context_of(crawler).rejections)

    async def process_item(self, item: Any) -> Any:
        """Return the product that *item* describes, or drop what cannot be one."""
        if not isinstance(item, ParsedProduct):
            return item
        checked = check(item)
        if isinstance(checked, Product):
            if checked.status == REMOVED:
                self._stats.inc_value("ali1688/items/gone")
                logger.info("Product %d is gone", checked.product_id)
            return checked
        logged = "; ".join(checked[:MAX_LOGGED_ERRORS])
        more = len(checked) - MAX_LOGGED_ERRORS
        logger.warning("Rejected %s: %s%s", item, logged, f"; {more} more" if more > 0 else "")
        self._stats.inc_value("ali1688/items/rejected")
        if self._rejections is not None:
            await self._rejections.keep(_product_id(item), checked, item.payload, item.fetched_at)
        raise DropItem("rejected by validation", log_level="DEBUG")  # the reasons are logged


def check(parsed: ParsedProduct) -> Product | list[str]:
    """Return the product, or every reason why it cannot be one."""
    if parsed.fields.keys() <= {"product_id"}:
        return ["no product in the response"]
    record = _record(parsed)
    errors = ["name: missing"] if "name" in record and record["name"] is None else []
    try:
        product = Product.model_validate(record)
    except ValidationError as error:
        return errors + validation_errors(error)
    if not parsed.complete:
        product.model_fields_set.discard("images")  # see Product
    return errors or product


def _record(parsed: ParsedProduct) -> dict[str, Any]:
    """Return the record to check: of a complete response every field, else those that it has."""
    is_whole = parsed.complete and parsed.fields.get("status") != REMOVED
    product_id = _product_id(parsed)
    status = parsed.fields.get("status")
    availability = {"available": status == PUBLISHED} if isinstance(status, str) else {}
    return {
        **(_UNKNOWN if is_whole else {}),
        "currency": "CNY",
        "url": None if product_id is None else product_url(product_id),
        **availability,
        **parsed.fields,
        "source_api": parsed.source_api,
        "fetched_at": parsed.fetched_at,
    }


def _product_id(parsed: ParsedProduct) -> int | None:
    product_id = parsed.fields.get("product_id")
    if isinstance(product_id, int) and not isinstance(product_id, bool):
        return product_id if 0 < product_id <= MAX_PRODUCT_ID else None
    return None


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
