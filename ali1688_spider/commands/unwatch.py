"""``scrapy unwatch``: takes products out of the watch, which may run; their stored data stays."""

from __future__ import annotations

import argparse
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from scrapy.settings import Settings
from scrapy_redis import connection

from ali1688_spider.config import read_setting
from ali1688_spider.context import data_folder
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.project_command import FILE_HELP, ProductIds, ProjectCommand
from ali1688_spider.spiders.watch import open_redis_store
from ali1688_spider.watching.sqlite_store import FILE_NAME, SqliteWatchStore

if TYPE_CHECKING:
    from ali1688_spider.watching.redis_store import RedisWatchStore

AT_ONCE = 1000


class Command(ProjectCommand):
    usage = "[ID ...] [--file FILE]"
    summary = "Watch products no longer"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--file", default="", help=FILE_HELP)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        ids = ProductIds(args, opts.file)
        asked = removed = 0
        product_ids = iter(ids)
        with closing(_open(self.settings)) as store:
            while batch := list(islice(product_ids, AT_ONCE)):
                asked += len(batch)
                removed += store.remove(batch)
        print(f"{removed:,} products are watched no longer, {asked - removed:,} were not watched.")
        ids.check_all_read()


def _open(settings: Settings) -> RedisWatchStore | SqliteWatchStore:
    if read_setting(settings, "REDIS_URL"):
        return open_redis_store(connection.from_settings(settings))
    path = data_folder() / FILE_NAME
    if not path.exists():
        raise ConfigurationError(
            f"nothing is watched here, there is no {path}: run this where scrapy crawl watch runs, "
            "or set REDIS_URL to the Redis of its workers"
        )
    return SqliteWatchStore(path)
