"""The messages of the platform: which change makes which, who has taken them, and callbacks.

What happens to a product makes one message for each topic that tells of it:

* of products that the app has a relation to, however it was made:
  ``PRODUCT_RELATION_VIEW_PRODUCT_{EXPIRE,NEW_OR_MODIFY,DELETE,REPOST,AUDIT}``, and beside it
  ``PRODUCT_RELATION_VIEW_PRODUCT_CHANGE``;
* of those that it follows (``follow.crossborder`` or ``addRelation``; the listing list is not
  enough) also ``PRODUCT_PRODUCT_INVENTORY_CHANGE`` and ``FENXIAO_PRICE_CHANGE``, and of curated
  goods ``PRODUCT_PFT_OFFER_PRICE_MODIFY``.

With the option ``--messages all`` every product counts as followed. Shapes: the pages of the topics
on the 1688 Open Platform. Every third message has its ``data`` as JSON text.

Without an address for callbacks all messages wait until they are confirmed. With one, a message is
posted there until the answer is 204; it waits beside that once a post has failed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import aiohttp

from ali1688_spider.sandbox.shapes import Json, date_text, encode

if TYPE_CHECKING:
    from ali1688_spider.sandbox.options import Options
    from ali1688_spider.sandbox.products import Inventory
    from ali1688_spider.sandbox.sandbox_product import SandboxProduct

MEMBER = "b2b-1623492085"

_RELATION_VIEW = "PRODUCT_RELATION_VIEW_PRODUCT_"
_CALLBACK_SECONDS = 5.0  # for the answer to a callback
_LOOK_SECONDS = 0.1  # between looks for messages to post
# The topic's last part and the action that a status is told by; of any other, a modification.
_OF_STATUS = {
    "published": ("REPOST", "repost"),
    **dict.fromkeys(("expired", "auto expired", "member expired"), ("EXPIRE", "member_expired")),
    **dict.fromkeys(("deleted", "member deleted"), ("DELETE", "member_delete")),
    **dict.fromkeys(("TBD", "approved", "auditing", "untread"), ("AUDIT", "audit")),
}
_MODIFIED = ("NEW_OR_MODIFY", "modify")
_PRICES = ("price", "price_max", "retail_price", "promotion_price", "dropship_price")


@dataclass(slots=True)
class Message:
    """A message that nobody has taken yet; ``failures`` counts the posts that failed."""

    number: int  # its ``msgId``, unless another was set
    body: Json
    born: float  # seconds since 1970
    failures: int = 0
    post_at: float = 0.0  # on the loop's clock


class MessageBox:
    """The messages that nobody has taken yet, the oldest first.

    *counts* are those of the status: ``made``, ``confirmed``, ``callbacks`` (posts) and ``taken``
    (posts that were answered with 204).
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._waiting: dict[int, Message] = {}
        # No number of a message comes twice, not from a sandbox that is started later either.
        self._ids = itertools.count(round(time.time() * 1000))
        self.counts: Counter[str] = Counter()

    def tell(
        self,
        before: SandboxProduct | None,
        after: SandboxProduct | None,
        product_id: int,
        *,
        followed: bool,
        curated: bool,
    ) -> None:
        """Make the messages of a change of a product that the app has a relation to.

        None stands for a product that does not exist.
        """
        for topic, data in _topics(before, after, product_id, self._options.now()):
            is_view = topic.startswith(_RELATION_VIEW)
            is_of_curated = topic.startswith("PRODUCT_PFT_")
            if is_view or (followed and (curated or not is_of_curated)):
                self.add({"type": topic, "data": data})

    def add(self, fields: Json) -> Json:
        """Keep a message with these fields, and the usual ones where they say nothing."""
        number, now = next(self._ids), self._options.now()
        topic = str(fields.get("type", ""))
        group, _, name = topic.partition("_")
        body: Json = {
            "msgId": number,
            "type": topic,
            "userInfo": MEMBER,
            "data": {},
            "gmtBorn": int(now * 1000),
            "topicGroup": group,
            "topicName": name,
            "appKey": self._options.app_key,
            **fields,
        }
        if number % 3 == 0 and isinstance(body.get("data"), dict):
            body["data"] = json.dumps(body["data"], ensure_ascii=False)
        self._waiting[number] = Message(number, body, now)
        self.counts["made"] += 1
        return body

    def undelivered(
        self,
        topic: str = "",
        user: str = "",
        created: tuple[float | None, float | None] = (None, None),
    ) -> list[Json]:
        """Return the messages of a topic and a user that were not delivered, the oldest first."""
        start, end = created
        return [
            each.body
            for each in self._waiting.values()
            if (each.failures or not self._options.callback)
            and topic in ("", each.body["type"])
            and user in ("", each.body["userInfo"])
            and (start is None or start <= each.born)
            and (end is None or each.born <= end)
        ]

    def confirm(self, message_ids: Iterable[int]) -> None:
        """Let messages wait no longer; ids of others are ignored, as the platform does."""
        wanted = set(message_ids)
        confirmed = [n for n, each in self._waiting.items() if each.body["msgId"] in wanted]
        for number in confirmed:
            del self._waiting[number]
        self.counts["confirmed"] += len(confirmed)

    def to_post(self, now: float) -> list[Message]:
        """Return the messages to be posted at *now*, on the loop's clock."""
        due = [each for each in self._waiting.values() if each.post_at <= now]
        return due[::-1] if "disorder" in self._options.callback_faults else due

    def posted(self, message: Message, now: float, *, taken: bool) -> None:
        """Note how a post was answered at *now*, on the loop's clock."""
        self.counts["callbacks"] += 1
        if taken:
            self.counts["taken"] += 1
            self._waiting.pop(message.number, None)
        else:
            message.failures += 1
            message.post_at = now + self._options.callback_retry


async def post_messages(present: Callable[[], tuple[Options, Inventory]]) -> None:
    """Post messages while the options have an address; *present* returns what there is."""
    loop, timeout = asyncio.get_running_loop(), aiohttp.ClientTimeout(total=_CALLBACK_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while (options := present()[0]).callback:
            box = present()[1].messages()
            for message in box.to_post(loop.time()):
                taken = await _post(session, options, message.body)
                if "duplicates" in options.callback_faults:
                    box.counts["callbacks"] += 1
                    await _post(session, options, message.body)
                box.posted(message, loop.time(), taken=taken)
            await asyncio.sleep(_LOOK_SECONDS)


async def _post(session: aiohttp.ClientSession, options: Options, body: Json) -> bool:
    """Post a message; return whether it was taken."""
    form = {"message": encode(body).decode()}
    signature = callback_signature(form, options.app_secret)
    is_lower = int(body["msgId"]) % 2
    form["_aop_signature"] = signature.lower() if is_lower else signature
    try:
        async with session.post(options.callback, data=form, allow_redirects=False) as answer:
            return answer.status == 204
    except (aiohttp.ClientError, TimeoutError):
        return False


def callback_signature(form: Json, secret: str) -> str:
    """Return the ``_aop_signature`` of a callback: HMAC-SHA1 over the sorted pairs, no path."""
    pairs = sorted(f"{name}{value}" for name, value in form.items() if name != "_aop_signature")
    return hmac.new(secret.encode(), "".join(pairs).encode(), hashlib.sha1).hexdigest().upper()


def _topics(
    before: SandboxProduct | None, after: SandboxProduct | None, product_id: int, now: float
) -> Iterator[tuple[str, Json]]:
    """Yield topic and data of each message about a change."""
    if before is None and after is None:
        return
    sent = {"msgSendTime": date_text(now)}
    moved_price = before and after and _prices(before) != _prices(after)
    kind = _kind(before, after, is_modified=bool(moved_price))
    if kind is not None:
        part, action = kind
        ids = {"productIds": str(product_id), "memberId": MEMBER}
        status = f"RELATION_VIEW_PRODUCT_{part}"
        yield f"{_RELATION_VIEW}{part}", {**ids, "status": status, **sent}
        yield f"{_RELATION_VIEW}CHANGE", {**ids, "action": action, **sent}
    if before is None or after is None:
        return
    if stock := list(_stock_changes(before, after, now)):
        yield "PRODUCT_PRODUCT_INVENTORY_CHANGE", {"OfferInventoryChangeList": stock}
    if moved_price:
        yield "FENXIAO_PRICE_CHANGE", {"productId": str(product_id), "memberId": MEMBER, **sent}
        fen = _fen(after.price)
        if fen is not None:
            data: Json = {"offerId": product_id, "minPrice": fen, "activeTime": int(now * 1000)}
            if after.skus:
                sku, old = after.skus[0], before.skus[0]
                infos = {"skuId": sku.sku_id, "historyRetailPrice": _fen(old.price)}
                data["skuUpdateInfos"] = infos
            yield "PRODUCT_PFT_OFFER_PRICE_MODIFY", data


def _kind(
    before: SandboxProduct | None, after: SandboxProduct | None, *, is_modified: bool
) -> tuple[str, str] | None:
    """Return the topic's last part and the action of a change; None for one of stock alone."""
    if after is None:
        return "DELETE", "member_delete"
    if before is None:
        return "NEW_OR_MODIFY", "new"
    if before.status != after.status:
        return _OF_STATUS.get(str(after.status), _MODIFIED)
    return _MODIFIED if is_modified or before.name != after.name else None


def _stock_changes(before: SandboxProduct, after: SandboxProduct, now: float) -> Iterator[Json]:
    """Yield the rows of an inventory message: one for each SKU whose stock moved, or one in all.

    A stock that is no count is told by no row.
    """
    if before.stock == after.stock or not _are_counts(before.stock, after.stock):
        return
    row: Json = {"offerId": after.product_id, "offerOnSale": after.stock}
    if not after.skus:
        yield row | {"quantity": after.stock - before.stock, "bizTime": str(int(now * 1000))}
    for old, new in zip(before.skus, after.skus, strict=True):
        if new.stock != old.stock:
            sku = {"skuId": new.sku_id, "skuOnSale": new.stock, "quantity": new.stock - old.stock}
            yield row | sku | {"bizTime": str(int(now * 1000))}


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int for value in values)


def _prices(product: SandboxProduct) -> Sequence[Any]:
    return [getattr(product, name) for name in _PRICES]


def _fen(price: Any) -> int | None:
    """Return an amount (CNY) in fen; None of what is no amount."""
    return int(price * 100) if isinstance(price, Decimal) else None
