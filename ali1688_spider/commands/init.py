"""``scrapy init``: writes a commented ``.env`` into the current folder."""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path
from typing import ClassVar

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.private_files import env_file, replacing
from ali1688_spider.project_command import ProjectCommand

NEXT_STEPS = """{path} is there, for you alone to read.

1. Put in ALI1688_APP_KEY and ALI1688_APP_SECRET of your app, from https://open.1688.com
2. scrapy auth --redirect-uri URL    authorises the app for your account
3. scrapy doctor                     checks everything that a crawl depends on

scrapy up starts a Redis and a MongoDB on this machine, if you want to keep a history.
scrapy sandbox --env prints a .env to try things without an account."""


class Command(ProjectCommand):
    usage = "[--force]"
    summary = "Write a commented .env"
    checks_names: ClassVar[bool] = False

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        text = "replace the .env of the current folder"
        parser.add_argument("--force", action="store_true", help=text)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        path, used = Path(".env").absolute(), env_file()
        if path.exists() and not opts.force:
            raise ConfigurationError(f"{path} is there already: scrapy init --force replaces it")
        try:
            with replacing(path) as file:
                file.write((resources.files("ali1688_spider") / "env.example").read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
        if used is not None and used != path:
            print(f"In this folder it takes the place of {used}.")
        print(NEXT_STEPS.format(path=path))
