"""``scrapy demo``: the main job from beginning to end, on servers that it starts itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
from rich.console import Console
from rich.table import Table

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.local_servers import start_mongo, start_redis, start_sandbox
from ali1688_spider.project_command import SETTINGS_MODULE, ProjectCommand

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from types import FrameType

FIRST_PRODUCT = 610000000001
DATABASE = "ali1688_demo"
SHOWN = 12
UNLIMITED_STOCK = 2_147_483_646  # the platform's word for it


class Command(ProjectCommand):
    """Starts a gateway, Redis and MongoDB, collects products, shows what was stored."""

    def syntax(self) -> str:
        return "[--products N] [--folder FOLDER]"

    def short_desc(self) -> str:
        return "Collect products from a local gateway, without account and servers"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "--products", type=int, default=300, metavar="N", help="how many (default: 300)"
        )
        parser.add_argument(
            "--folder",
            type=Path,
            default=Path("ali1688-demo"),
            help="where its files go (default: ali1688-demo)",
        )

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        if opts.products < 1:
            raise ConfigurationError("--products must be 1 or more")
        # A stop from outside takes the way of Ctrl-C, so that the servers are stopped too.
        signal.signal(signal.SIGTERM, _interrupt)
        console = Console(highlight=False)
        folder: Path = opts.folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as servers:
            with console.status("Starting a local gateway, Redis and MongoDB …"):
                environment = _start_servers(servers, folder)
            console.print(f"Collecting {opts.products} products from the local gateway:")
            _crawl(environment, folder, opts.products)
            client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
                environment["MONGO_URI"]
            )
            servers.callback(client.close)
            _show_products(console, client[DATABASE])
        _show_next_steps(console, folder)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _start_servers(servers: ExitStack, folder: Path) -> dict[str, str]:
    sandbox = start_sandbox(folder / "sandbox", ["--drift", "0"])
    servers.callback(sandbox.stop)
    redis = start_redis(folder / "redis")
    servers.callback(redis.stop)
    mongo_uri = os.environ.get("MONGO_URI", "")
    if not mongo_uri:
        mongo = start_mongo(folder / "mongo")
        servers.callback(mongo.stop)
        mongo_uri = mongo.url
    return {
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": "test123",
        "ALI1688_ACCESS_TOKEN": "",
        "ALI1688_REFRESH_TOKEN": "",
        "ALI1688_PROTOCOL": "param2",
        "ALI1688_GATEWAY": f"{sandbox.url}/openapi",
        "ALI1688_QPS": "200",
        "ALI1688_CACHE_TTL": "0",
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": DATABASE,
        "REDIS_URL": redis.url,
    }


def _crawl(environment: dict[str, str], folder: Path, products: int) -> None:
    ids_file = folder / "ids.txt"
    last = FIRST_PRODUCT + products
    ids_file.write_text("".join(f"{product_id}\n" for product_id in range(FIRST_PRODUCT, last)))
    log_file = folder / "crawl.log"
    log_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "scrapy", "crawl", "product", "-a", f"ids_file={ids_file}"]
    command += ["-O", str(folder / "products.csv"), "--logfile", str(log_file)]
    command += ["-s", "ALI1688_PROGRESS=on"]
    package_folder = str(Path(__file__).parents[2])
    paths = [package_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"SCRAPY_SETTINGS_MODULE": SETTINGS_MODULE, "PYTHONPATH": os.pathsep.join(paths)}
    crawl = subprocess.Popen(command, env=os.environ | environment | own)  # noqa: S603  # our own program
    try:
        exit_code = crawl.wait()
    except KeyboardInterrupt:
        crawl.terminate()
        crawl.wait()
        raise
    if exit_code:
        raise ConfigurationError(f"the crawl failed; {log_file} says why")


def _show_products(console: Console, database: pymongo.database.Database[dict[str, Any]]) -> None:
    table = Table(title=f"The first {SHOWN} of {database.products.count_documents({})} products")
    table.add_column("product_id")
    table.add_column("name", overflow="ellipsis", no_wrap=True, max_width=40)
    table.add_column("price (CNY)", justify="right")
    table.add_column("stock", justify="right")
    table.add_column("SKUs", justify="right")
    for product in database.products.find().sort("_id").limit(SHOWN):
        table.add_row(*_cells(product))
    console.print(table)


def _cells(product: dict[str, Any]) -> Iterator[str]:
    yield str(product["_id"])
    yield product.get("name") or f"({product.get('status')})"
    yield str(product["price"]) if product.get("price") is not None else "private"
    yield _stock(product.get("stock"))
    yield str(len(product.get("skus") or []))


def _stock(stock: int | None) -> str:
    if stock is None:
        return ""
    return "unlimited" if stock == UNLIMITED_STOCK else f"{stock:,}"


def _show_next_steps(console: Console, folder: Path) -> None:
    console.print(
        f"\nAs a spreadsheet: {folder / 'products.csv'}\n\n"
        "The same against the real gateway: put your app key and secret into .env (see\n"
        ".env.example), then\n\n"
        "  scrapy doctor                                   checks what crawls depend on\n"
        "  scrapy crawl product -a ids=ID,ID -O out.csv    collects into a spreadsheet\n"
        "  scrapy crawl product -a ids_file=FILE           with MONGO_URI: into MongoDB\n"
        "  scrapy sandbox --port 8016                      the local gateway, to try things on",
        soft_wrap=True,
    )
