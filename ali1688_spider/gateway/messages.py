"""The messages by which the platform says that a product has changed, and the calls around them.

A message is a hint: it says *that* something of a product has changed; what is true now, a call for
the product tells. It is asked for (:func:`undelivered`, then :func:`confirmation`) or posted to an
address (:func:`read_callback`). Some topics tell only of products that the app has listed
(:func:`listing`) or follows (:func:`following`).

Source: the pages of the message topics and of ``push.*`` on the 1688 Open Platform.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.calls import MAX_PRODUCT_ID, ServiceCall
from ali1688_spider.gateway.fields import section
from ali1688_spider.gateway.response import load_json

QUERY_API = "cn.alibaba.open:push.query.messageList-1"
CONFIRM_API = "cn.alibaba.open:push.message.confirm-1"
LIST_API = "com.alibaba.product.push:alibaba.cross.syncProductListPushed-1"
FOLLOW_API = "com.alibaba.product:alibaba.product.follow.crossborder-1"

PAGE_SIZE = 200
"""Messages that a page has at most."""

MOST_LISTED = 20
"""Products that one call puts on the listing list."""

SIGNATURE = "_aop_signature"

_MOST_TOPIC = 100  # characters; a longer one is cut
_SEPARATORS = re.compile(r"[\s,，;；、]+")
_DIGITS = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class PlatformMessage:
    """A message, as far as it can be read.

    Attributes:
        message_id: Its ``msgId``: a message that comes again has the same one.
        topic: Its ``type``, such as ``PRODUCT_RELATION_VIEW_PRODUCT_EXPIRE``.
        product_ids: The products that it says have changed, each once.
        is_known: Whether the topic is one of those that tell of products.
        problem: What is wrong with the data of a known topic; empty when all of it was read.
    """

    message_id: str
    topic: str
    product_ids: tuple[int, ...] = ()
    is_known: bool = False
    problem: str = ""


def read_message(value: Any) -> PlatformMessage:
    """Return the message that a decoded JSON object is.

    Raises:
        MalformedMessageError: It has no id or no topic, so that it is no message.
    """
    if not isinstance(value, dict):
        raise MalformedMessageError("it is no JSON object")
    message_id = _number(value.get("msgId"))
    if message_id is None:
        raise MalformedMessageError("it has no msgId")
    topic = value.get("type")
    if not isinstance(topic, str) or not topic:
        raise MalformedMessageError("it has no type")
    if topic not in _FIND_IDS:
        shown = "".join(char if char.isprintable() else "?" for char in topic[:_MOST_TOPIC])
        return PlatformMessage(str(message_id), shown)
    ids, problem = _read_ids(topic, value.get("data"))
    return PlatformMessage(str(message_id), topic, ids, is_known=True, problem=problem)


def read_callback(form: Mapping[str, str]) -> PlatformMessage:
    """Return the message of a callback, whose signature was checked; raises as the above."""
    if "message" not in form:
        raise MalformedMessageError("the form has no field message")
    try:
        value = load_json(form["message"].encode("utf-8", "surrogatepass"))
    except ValueError:
        raise MalformedMessageError("the field message is no JSON") from None
    return read_message(value)


def undelivered(page: int = 1) -> ServiceCall:
    """Return the call for a page of the messages that nobody has taken yet; it confirms nothing."""
    return ServiceCall.of(QUERY_API, page=page, pageSize=PAGE_SIZE)


def read_page(data: Any) -> tuple[list[Any], int]:
    """Return the messages in the response to :func:`undelivered`, and how many there are in all."""
    page = section(data, "pushMessagePage")
    rows, total = page.get("datas"), _number(page.get("totalCount"))
    found = rows if isinstance(rows, list) else []
    return found, max(len(found), total or 0)


def confirmation(message_ids: Sequence[str]) -> ServiceCall:
    """Return the call that confirms messages, which then wait no longer."""
    return ServiceCall.of(CONFIRM_API, msgIdList=f"[{','.join(message_ids)}]")


def listing(product_ids: Sequence[int]) -> ServiceCall:
    """Return the call that puts up to :data:`MOST_LISTED` products on the app's listing list."""
    return ServiceCall.of(LIST_API, productIdList=json.dumps(list(product_ids)))


def following(product_ids: Sequence[int]) -> ServiceCall:
    """Return the call that follows the one product."""
    (product_id,) = product_ids
    return ServiceCall.of(FOLLOW_API, productId=product_id)


def _read_ids(topic: str, data: Any) -> tuple[tuple[int, ...], str]:
    """Return the products that a message's data name, and what is wrong with the data."""
    if isinstance(data, str):
        try:
            data = load_json(data.encode("utf-8", "surrogatepass"))
        except ValueError:
            return (), "data is no JSON"
    if not isinstance(data, dict):
        return (), "data is no object"
    found = list(_FIND_IDS[topic](data))
    ids = [number for each in found if (number := _number(each))]
    problem = "" if len(ids) == len(found) else "data has an id that is no number"
    return tuple(dict.fromkeys(ids)), problem if ids else "data names no product"


def _number(value: Any) -> int | None:
    """Return a whole number from 0, or that of a text; None for anything else."""
    text = str(value).strip() if isinstance(value, int | str) else ""
    number = int(text) if _DIGITS.fullmatch(text) else None
    return number if number is not None and number <= MAX_PRODUCT_ID else None


def _listed(name: str) -> Callable[[dict[str, Any]], Iterator[Any]]:
    """Return what finds the ids of a field: a text with commas, a list, or one id."""

    def find(data: dict[str, Any]) -> Iterator[Any]:
        value = data.get(name)
        for each in value if isinstance(value, list) else [value]:
            yield from filter(None, _SEPARATORS.split(each)) if isinstance(each, str) else [each]

    return find


def _of_inventory(data: dict[str, Any]) -> Iterator[Any]:
    rows = data.get("OfferInventoryChangeList")
    for row in rows if isinstance(rows, list) else [rows]:
        yield row.get("offerId") if isinstance(row, dict) else None


_VIEW = "PRODUCT_RELATION_VIEW_PRODUCT_"
_FIND_IDS: dict[str, Callable[[dict[str, Any]], Iterator[Any]]] = {
    **{
        f"{_VIEW}{part}": _listed("productIds")
        for part in ("EXPIRE", "NEW_OR_MODIFY", "DELETE", "REPOST", "AUDIT", "CHANGE")
    },
    "PRODUCT_PRODUCT_INVENTORY_CHANGE": _of_inventory,
    "FENXIAO_PRICE_CHANGE": _listed("productId"),
    "PRODUCT_PFT_OFFER_PRICE_MODIFY": _listed("offerId"),
    "PRODUCT_PFT_OFFER_QUIT": _listed("offerId"),
    "CROSSBOARD_XYT_PLATFORM_OFFER_CHANGE": _listed("productIds"),
}
TOPICS = frozenset(_FIND_IDS)
"""Topics that say that products have changed."""
