from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from scrapy.utils.test import get_crawler

from ali1688_spider import settings as defaults
from ali1688_spider.spiders.watch import WatchSpider
from ali1688_spider.watching.sqlite_store import SqliteWatchStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest

CREDENTIALS = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"}


async def test_the_ids_of_a_file_are_added_in_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "ids"
    file.write_text("".join(f"{product_id}\n" for product_id in range(1, 5001)))
    add, sizes = SqliteWatchStore.add, []

    def counting(store: SqliteWatchStore, product_ids: Iterable[int]) -> int:
        added = list(product_ids)
        sizes.append(len(added))
        return add(store, added)

    monkeypatch.setattr(SqliteWatchStore, "add", counting)
    settings = {"ADDONS": defaults.ADDONS, **CREDENTIALS}
    crawler = get_crawler(WatchSpider, settings)
    spider = WatchSpider.from_crawler(crawler, ids_file=str(file))
    due = set()
    async with aclosing(spider.calls()) as calls:
        async for call, _ in calls:
            due.add(call.product_ids[0])
            if len(due) == 5000:
                break
    await spider.watcher.close()
    assert due == set(range(1, 5001))
    assert sum(sizes) == 5000
    assert len(sizes) < 50
