"""Watched products in Redis, shared by all workers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.redis_server import LuaScripts
from ali1688_spider.watching.schedule import LARGEST, NextFetch, WatchedProduct

if TYPE_CHECKING:
    from ali1688_spider.scheduling.queue import LeaseQueue

AT_ONCE = 1000

WATCHED_KEY = "{watch:start_urls}:watched"


class RedisWatchStore:
    """A hash beside the queue of the spider ``watch``.

    ``{watch:start_urls}:watched`` HASH product id → state. A product is added by its first fetch;
    when it is due, the queue knows.

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
        self._scripts = LuaScripts(queue.server, [WATCHED_KEY, *parts], __package__, types=types)

    def load(self, product_ids: Sequence[int]) -> list[str]:
        """Return the text of each product's state, empty for a product that has none."""
        return [_text(text or b"") for text in self._scripts.run("load", *product_ids)]

    def save(self, states: Sequence[tuple[int, str, float]]) -> None:
        """Keep id and state of products that are still watched; the delay is the queue's."""
        self._scripts.run(
            "save", *(part for product_id, text, _ in states for part in (product_id, text))
        )

    def hint(self, priorities: Mapping[int, int | None]) -> int:
        """Note that these products, some hundreds, have changed; return how many are watched.

        Those with a priority are fetched at once, as are those that are fetched at this moment.
        """
        self._scripts.run("mark", int(time.time()), *priorities)
        # Marked first: a process that is killed in between is to hint again.
        calls = {ApiCall.product(each): priority for each, priority in priorities.items()}
        return self.queue.expedite(calls)

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
