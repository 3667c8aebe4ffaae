"""``scrapy down``: stops what ``scrapy up`` started; the data stays."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import ClassVar

from ali1688_spider.local_servers import LocalServers
from ali1688_spider.project_command import SERVER_FOLDER, ProjectCommand


class Command(ProjectCommand):
    usage = "[--folder DIR]"
    summary = "Stop the Redis and MongoDB of scrapy up"
    checks_names: ClassVar[bool] = False

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        text = "where their data is (%(default)s)"
        parser.add_argument("--folder", type=Path, default=SERVER_FOLDER, help=text)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        servers = LocalServers(opts.folder)
        if stopped := servers.stop():
            print(f"{' and '.join(stopped)} stopped; the data stays in {servers.folder}.")
        else:
            print(f"No server of {servers.folder} runs.")
