"""Watched products in Redis, shared by all workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.redis_server import LuaScripts
from ali1688_spider.watching.watched_product import LARGEST, Hint, NextFetch, WatchedProduct

if TYPE_CHECKING:
    from ali1688_spider.scheduling.queue import LeaseQueue

AT_ONCE = 1000

WATCHED_KEY = "{watch:start_urls}:watched"
LOOKS_KEY = "{watch:start_urls}:looks"
ROWS_KEY = "{watch:start_urls}:rows"
SHOPS_KEY = "{watch:start_urls}:shops"


class RedisWatchStore:
    """Keys beside the queue of the spider ``watch``, which knows when each product is due.

    ``{watch:start_urls}:watched`` HASH product id → state
        A product is added by its first fetch.
    ``{watch:start_urls}:looks`` HASH call → state of a look at a page
    ``{watch:start_urls}:rows`` HASH product id → what pages have shown of it
    ``{watch:start_urls}:shops`` HASH shop → its watched products, between commas
        A shop is the digest of its seller's id.

    Args:
        queue: The queue of the spider.
        parts: Keys and types of its parts that a product leaves when it is unwatched: ready,
            delayed, leased, scores, attempts, leases and losses.

    Attributes:
        queue: The queue.
    """

    def __init__(self, queue: LeaseQueue, parts: Mapping[str, str]) -> None:
        types = ["hash", *parts.values()]
        self.queue = queue
        self._looks = LuaScripts(
            queue.server, [LOOKS_KEY, ROWS_KEY, SHOPS_KEY], __package__, types=["hash"] * 3
        )
        self._scripts = LuaScripts(queue.server, [WATCHED_KEY, *parts], __package__, types=types)

    def load(self, product_ids: Sequence[int]) -> list[str]:
        """Return the text of each product's state, empty for a product that has none."""
        return [_text(text or b"") for text in self._scripts.run("load", *product_ids)]

    def save(self, states: Sequence[tuple[int, str, float]]) -> None:
        """Keep id and state of products that are still watched; the delay is the queue's."""
        self._scripts.run(
            "save", *(part for product_id, text, _ in states for part in (product_id, text))
        )

    def hint(self, hints: Sequence[Hint]) -> tuple[int, list[int]]:
        """Keep that these products, some hundreds, have changed, and have them fetched.

        One that is fetched at this moment is fetched once more. Returns how many are watched, and
        those whose state has changed meanwhile, of which nothing is kept.
        """
        states = (part for hint in hints for part in hint[:3])
        changed = {int(each) for each in self._scripts.run("mark", *states)}
        # Marked first: a process that is killed in between is to hint again.
        kept = [hint for hint in hints if hint.product_id not in changed]
        calls = {ApiCall.product(hint.product_id): hint.priority for hint in kept}
        return self.queue.expedite(calls), list(changed)

    def load_look(self, call: str, product_ids: Sequence[int]) -> tuple[str, list[str]]:
        """Return the state of the look at a page, and what is known of the products' rows."""
        look, *rows = self._looks.run("load_look", call, *product_ids)
        return _text(look or b""), [_text(row or b"") for row in rows]

    def save_look(self, call: str, state: str, delay: float, rows: Mapping[int, str]) -> None:
        """Keep the state of a look, and what is known of rows; have it made in *delay* seconds.

        A call that is made at this moment is the queue's to repeat.
        """
        flat = (part for row in rows.items() for part in row)
        self._looks.run("save_look", call, state, *flat)
        self.queue.push_later(ApiCall.decode(call), delay)

    def end_look(self, call: str, state: str) -> None:
        """Keep the state of a look that is not made again."""
        self._looks.run("save_look", call, state)

    def looks(self, most: int) -> tuple[int, list[str]]:
        """Return how many looks there are, and the states of some, drawn without preference."""
        number, *texts = self._looks.run("sample", most)
        return number, [_text(text) for text in texts]

    def join_shops(self, members: Sequence[tuple[str, int | None]]) -> list[int]:
        """Keep which watched products shops have, each a shop and one; return how many it has."""
        flat = (part for shop, each in members for part in (shop, "" if each is None else each))
        counts: list[int] = self._looks.run("join_shops", *flat)
        return counts

    def remove(self, product_ids: Sequence[int]) -> int:
        """Watch these products no longer, hash and queue in one step; return how many were."""
        firsts = range(0, len(product_ids), AT_ONCE)
        batches = (product_ids[first : first + AT_ONCE] for first in firsts)
        return sum(self._scripts.run("remove", *batch) for batch in batches)

    def resume(self, longest: float) -> None:
        """Let no product be due in more than *longest* seconds."""
        while self._scripts.run("hasten", round(longest * 1000), AT_ONCE) == AT_ONCE:
            pass

    def sample(self, size: int) -> tuple[int, list[str]]:
        """Return the number of products that were fetched, and the states of some."""
        watched, *texts = self._scripts.run("sample", size)
        return watched, [_text(text) for text in texts]

    def upcoming(self, most: int) -> tuple[int, list[NextFetch]]:
        """Return how many products are watched, about, and up to *most*, the next one first."""
        found: dict[int, NextFetch] = {}
        first = total = 0
        while len(found) < most and first <= total:
            total, parts = self._scripts.run("list", first, AT_ONCE)
            for text, due, state in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
                # Others may have written any number.
                seconds = max(0.0, min(float(due) / 1000, LARGEST)) if due else None
                product = WatchedProduct.decode(_text(state))
                found.setdefault(int(text), NextFetch(int(text), seconds, product))
            first += AT_ONCE
        return max(total, len(found)), list(found.values())[:most]

    def close(self) -> None:
        """Do nothing: the client belongs to the crawl."""


def _text(value: bytes) -> str:
    # What others wrote into the hash may be no text at all.
    return value.decode(errors="replace")
