"""Watched products in Redis, shared by all workers."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ali1688_spider.redis_server import LuaScripts
from ali1688_spider.scheduling.keys import QUEUE_KEY, TYPES, QueueKeys
from ali1688_spider.watching.store import Entry
from ali1688_spider.watching.totals import Totals, differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.watching.product import WatchedProduct
    from ali1688_spider.watching.store import Change

AT_ONCE = 1000
QUEUE_PARTS = ("ready", "delayed", "leased", "scores", "attempts", "leases", "losses")
"""The keys of the queue that a product leaves when it is unwatched."""
RAW = "surrogateescape"
"""What somebody wrote into an entry need be no text; it is compared as it is."""


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
        keys = [f"{tag}:watched", f"{tag}:watch_sums"]
        keys += [getattr(queue, part) for part in QUEUE_PARTS]
        types = ["hash", "hash", *(getattr(TYPES, part) for part in QUEUE_PARTS)]
        self._scripts = LuaScripts(client, keys, __package__, prelude="sums", types=types)

    def load(self, product_ids: Sequence[int]) -> list[str]:
        """Return the text of each entry."""
        texts = self._scripts.run("load", *map(str, product_ids))
        return [_text(text or b"") for text in texts]

    def save(self, changes: Sequence[Change]) -> None:
        """Keep the changes in one step."""
        packed: list[str | bytes] = []
        for each in changes:
            texts = (each.old.encode(errors=RAW), each.new, _texts(each.differences))
            packed += (str(each.product_id), *texts)
        self._scripts.run("save", *packed)

    def remove(self, product_ids: Sequence[int]) -> int:
        """Watch these products no longer; each leaves hashes and queue in one step."""
        removed, left = 0, list(product_ids)
        while left:
            some, left = left[:AT_ONCE], left[AT_ONCE:]
            packed: list[str | bytes] = []
            for product_id, text in zip(some, self.load(some), strict=True):
                changes = differences(Entry.decode(text).product, None)
                packed += (str(product_id), text.encode(errors=RAW), _texts(changes))
            count, *changed = self._scripts.run("remove", *packed)
            removed += count
            left += map(int, changed)
        return removed

    def resume(self, longest: float) -> None:
        """Let no product be due in more than *longest* seconds."""
        while self._scripts.run("hasten", round(longest * 1000), AT_ONCE) == AT_ONCE:
            pass

    def totals(self) -> Totals:
        """Return the sums."""
        watched, *sums = self._scripts.run("totals")
        pairs = zip(sums[::2], sums[1::2], strict=True)
        return Totals(watched, {_text(name): _amount(value) for name, value in pairs})

    def sample(self, size: int) -> list[WatchedProduct]:
        """Return the states of some products."""
        return [Entry.decode(_text(text)).product for text in self._scripts.run("sample", size)]

    def close(self) -> None:
        """Do nothing: the client belongs to the crawl."""


def _text(value: bytes) -> str:
    return value.decode(errors=RAW)


def _texts(sums: dict[str, float]) -> str:
    # Lua would write a number with 14 digits only.
    return json.dumps({name: f"{difference:.17g}" for name, difference in sums.items()})


def _amount(text: bytes) -> float:
    """Return a sum; one that is no number counts as absent, as in the scripts."""
    try:
        amount = float(text)
    except ValueError:
        return 0.0
    return amount if math.isfinite(amount) else 0.0
