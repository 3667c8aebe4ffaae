"""``scrapy sandbox``: a local gateway for the demo, the tests and one's own trials."""

from __future__ import annotations

import argparse
import asyncio

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from ali1688_spider.sandbox import DESCRIPTION
from ali1688_spider.sandbox.options import Options
from ali1688_spider.sandbox.server import run


class Command(ScrapyCommand):
    requires_project = False
    requires_crawler_process = False

    def short_desc(self) -> str:
        return DESCRIPTION

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        Options.add_arguments(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if args:
            raise UsageError(f"unknown argument {args[0]}", print_help=False)
        try:
            asyncio.run(run(Options.from_arguments(opts)))
        except (ValueError, OSError) as error:
            raise UsageError(str(error), print_help=False) from error
