"""Watched products in Redis, shared by all workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ali1688_spider.scheduling.keys import QUEUE_KEY, QueueKeys
from ali1688_spider.scheduling.scripts import LuaScripts
from ali1688_spider.watching.store import Entry
from ali1688_spider.watching.totals import Totals, differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.watching.product import WatchedProduct
    from ali1688_spider.watching.store import Change

AT_ONCE = 1000


class RedisWatchStore:
    """Two hashes beside the queue of the spider ``watch``.

    ``{watch:start_urls}:watched`` HASH product id → entry;
    ``{watch:start_urls}:watch_sums`` HASH name → sum. A product
    is added by its first fetch; when it is due, the queue knows.

    Args:
        client: Client of Redis.
        spider_name: Whose products they are.
    """

    def __init__(self, client: Any, spider_name: str = "watch") -> None:
        tag = f"{{{spider_name}:start_urls}}"
        queue = QueueKeys.of(QUEUE_KEY % {"spider": spider_name})
        self._client = client
        self._entries, self._sums = own = (f"{tag}:watched", f"{tag}:watch_sums")
        places = (queue.ready, queue.delayed, queue.leased)
        details = (queue.scores, queue.attempts, queue.leases, queue.losses)
        self._scripts = LuaScripts(client, own, __package__)
        self._removal = LuaScripts(client, (*own, *places, *details), __package__)
        self._schedule = LuaScripts(client, [queue.delayed], __package__)

    def load(self, product_ids: Sequence[int]) -> list[str]:
        """Return the text of each entry."""
        texts = self._client.hmget(self._entries, [str(each) for each in product_ids])
        return [_text(text) for text in texts]

    def save(self, changes: Sequence[Change]) -> None:
        """Keep the changes in one step."""
        packed = [
            [str(each.product_id), each.old, each.new, _texts(each.differences)] for each in changes
        ]
        self._scripts.run("save", json.dumps(packed))

    def remove(self, product_ids: Sequence[int]) -> int:
        """Watch these products no longer; each leaves hashes and queue in one step."""
        removed, left = 0, list(product_ids)
        while left:
            some, left = left[:AT_ONCE], left[AT_ONCE:]
            packed = [
                [str(product_id), text, _texts(differences(Entry.decode(text).product, None))]
                for product_id, text in zip(some, self.load(some), strict=True)
            ]
            count, *changed = self._removal.run("remove", json.dumps(packed))
            removed += count
            left += map(int, changed)
        return removed

    def resume(self, longest: float) -> None:
        """Let no product be due in more than *longest* seconds."""
        while self._schedule.run("hasten", round(longest * 1000), AT_ONCE) == AT_ONCE:
            pass

    def totals(self) -> Totals:
        """Return the sums."""
        sums = self._client.hgetall(self._sums)
        watched = int(self._client.hlen(self._entries))
        return Totals(watched, {_text(name): float(value) for name, value in sums.items()})

    def sample(self, size: int) -> list[WatchedProduct]:
        """Return the states of some products."""
        pairs = self._client.hrandfield(self._entries, size, withvalues=True) or []
        return [Entry.decode(_text(text)).product for text in pairs[1::2]]

    def close(self) -> None:
        """Do nothing: the client belongs to the crawl."""


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _texts(sums: dict[str, float]) -> dict[str, str]:
    # Lua would write a number with 14 digits only.
    return {name: f"{difference:.17g}" for name, difference in sums.items()}
