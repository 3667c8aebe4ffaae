"""Watched products in Redis, shared by all workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ali1688_spider.scheduling.scripts import LuaScripts
from ali1688_spider.watching.store import Entry
from ali1688_spider.watching.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.watching.product import WatchedProduct
    from ali1688_spider.watching.store import Change


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
        self._client = client
        self._entries, self._sums = f"{tag}:watched", f"{tag}:watch_sums"
        self._scripts = LuaScripts(client, [self._entries, self._sums], __package__)

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
    return value.decode() if isinstance(value, bytes) else value or ""


def _texts(differences: dict[str, float]) -> dict[str, str]:
    # Lua would write a number with 14 digits only.
    return {name: f"{difference:.17g}" for name, difference in differences.items()}
