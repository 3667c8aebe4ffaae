"""``scrapy unwatch``: takes products out of the watch, which may run; their stored data stays."""

from __future__ import annotations

import argparse
from contextlib import closing
from itertools import islice

from ali1688_spider.project_command import FILE_HELP, ProductIds, ProjectCommand
from ali1688_spider.spiders.watch import open_watch_store

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
        with closing(open_watch_store(self.settings)) as store:
            while batch := list(islice(product_ids, AT_ONCE)):
                asked += len(batch)
                removed += store.remove(batch)
        print(f"{removed:,} products are watched no longer, {asked - removed:,} were not watched.")
        ids.check_all_read()
