"""``scrapy unwatch``: takes products out of the watch."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from scrapy_redis import connection

from ali1688_spider.config import read_setting
from ali1688_spider.context import data_folder
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.project_command import ProjectCommand
from ali1688_spider.spiders.ids import IdentifierSource, place
from ali1688_spider.spiders.watch import open_redis_store
from ali1688_spider.watching.sqlite_store import FILE_NAME, SqliteWatchStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from scrapy.settings import Settings

    from ali1688_spider.watching.watcher import WatchStore

AT_ONCE = 1000


class Command(ProjectCommand):
    """Takes products out of the schedule of ``scrapy crawl watch``, which may run meanwhile.

    Their stored data stays.
    """

    def syntax(self) -> str:
        return "[ID ...] [--file FILE]"

    def short_desc(self) -> str:
        return "Watch products no longer"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "--file", default="", help="a file of one id or product URL a line; - = standard input"
        )

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        source = IdentifierSource(" ".join(args), opts.file)
        source.check()
        if not source:
            raise ConfigurationError("say which products: ids, or --file FILE")
        self._unreadable = asked = removed = 0
        product_ids = self._read(source)
        store = _open(self.settings)
        try:
            while batch := list(islice(product_ids, AT_ONCE)):
                asked += len(batch)
                removed += store.remove(batch)
        except RedisError as error:
            raise ConfigurationError(f"Redis does not answer ({error}): check REDIS_URL") from None
        finally:
            store.close()
        print(f"{removed:,} products are watched no longer, {asked - removed:,} were not watched.")
        if self._unreadable:
            raise ConfigurationError(f"{self._unreadable:,} lines, named above, are no product")

    def _read(self, source: IdentifierSource) -> Iterator[int]:
        for line_number, entry in source.entries():
            if isinstance(entry, int):
                yield entry
            else:
                self._unreadable += 1
                print(f"{place(line_number)}: {entry}", file=sys.stderr)


def _open(settings: Settings) -> WatchStore:
    if read_setting(settings, "REDIS_URL"):
        return open_redis_store(connection.from_settings(settings))
    path = data_folder() / FILE_NAME
    if not path.exists():
        raise ConfigurationError(
            f"nothing is watched here, there is no {path}: run this where scrapy crawl watch runs, "
            "or set REDIS_URL to the Redis of its workers"
        )
    return SqliteWatchStore(path)
