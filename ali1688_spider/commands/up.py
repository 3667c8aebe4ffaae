"""``scrapy up``: starts Redis and MongoDB on this machine, with data in a folder of the user's."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.local_servers import LocalServers
from ali1688_spider.private_files import env_file, set_in_env_file
from ali1688_spider.project_command import SERVER_FOLDER, ProjectCommand


class Command(ProjectCommand):
    usage = "[--folder DIR] [--write]"
    summary = "Start Redis and MongoDB on this machine"
    description = (
        "Start a Redis and a server of MongoDB's protocol that listen on this machine alone, keep "
        "their data in a folder, and go on until scrapy down. Prints the settings that let crawls "
        "use them."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--folder", type=Path, default=SERVER_FOLDER, help="for their data (%(default)s)")
        add("--write", action="store_true", help="write the settings into .env without asking")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        servers = LocalServers(opts.folder)
        started, crashed = servers.start()
        for name in crashed:
            print(f"{name} had ended without scrapy down; it has its data again.")
        runs = f"{' and '.join(started)} started" if started else "Redis and MongoDB run already"
        print(f"{runs}, with the data in {servers.folder}; scrapy down stops them.\n")
        for name, url in servers.settings.items():
            print(f"{name}={url}")
        self._offer(servers.settings, write=opts.write)

    def _offer(self, settings: dict[str, str], *, write: bool) -> None:
        """Write the settings into ``.env``, if the user wants it, as far as they are not there."""
        if all(self.settings[name] == url for name, url in settings.items()):
            print("\nCrawls here use them.")
            return
        path = env_file() or Path(".env").resolve()
        if not write and not _agrees(f"\nWrite both lines into {path}? [y/N] "):
            print(f"\nPut both lines into {path}, or run scrapy up --write.")
            return
        try:
            set_in_env_file(path, settings)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
        print(f"\nBoth lines are in {path}.")
        for name in settings.keys() & os.environ.keys():
            print(f"The {name} of the environment wins over it: unset {name}")


def _agrees(question: str) -> bool:
    """Ask the user, if there is one."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    print(question, end="", flush=True)  # input() may write to standard error
    try:
        return input().strip().lower() in {"y", "yes"}
    except EOFError:
        return False
