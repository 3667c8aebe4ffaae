"""``scrapy sandbox``: a local gateway for the demo, the tests and one's own trials."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from ali1688_spider.sandbox import DESCRIPTION

if TYPE_CHECKING:
    from ali1688_spider.sandbox.options import Options

ENV_PORT = 8080
QPS = 200  # where the gateway has no limit
PATHS = {"param2": "/openapi", "router": "/router/json", "top": "/router/rest"}

ENV = """\
# A trial on the local gateway: start it with scrapy sandbox --port {port}
ALI1688_APP_KEY={options.app_key}
ALI1688_APP_SECRET={options.app_secret}
ALI1688_ACCESS_TOKEN={options.access_token}
ALI1688_REFRESH_TOKEN={options.refresh_token}
ALI1688_PROTOCOL={protocol}
ALI1688_GATEWAY=http://{host}:{port}{path}
ALI1688_QPS={qps}
ALI1688_DAILY_QUOTA={options.daily_quota}
# A change is seen by the very next crawl
ALI1688_CACHE_TTL=0
# scrapy up --write fills these in
MONGO_URI=
REDIS_URL="""


class Command(ScrapyCommand):
    requires_project = False
    requires_crawler_process = False

    def short_desc(self) -> str:
        return DESCRIPTION

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        from ali1688_spider.sandbox.options import Options

        super().add_options(parser)
        Options.add_arguments(parser)
        text = f"print a .env for a gateway with these options (port {ENV_PORT}), and end"
        parser.add_argument("--env", action="store_true", help=text)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        from ali1688_spider.sandbox.options import Options
        from ali1688_spider.sandbox.server import run

        if args:
            raise UsageError(f"unknown argument {args[0]}", print_help=False)
        try:
            options = Options.from_arguments(opts)
            if opts.env:
                print(_env(options))
            else:
                asyncio.run(run(options))
        except (ValueError, OSError) as error:
            raise UsageError(str(error), print_help=False) from error


def _env(options: Options) -> str:
    """Return a ``.env`` by which crawls reach the gateway."""
    protocol = next(each for each in PATHS if each in options.protocol)
    return ENV.format(
        options=options,
        protocol=protocol,
        host="127.0.0.1" if options.host == "0.0.0.0" else options.host,  # noqa: S104
        port=options.port or ENV_PORT,
        path=PATHS[protocol],
        qps=options.qps or QPS,
    )
