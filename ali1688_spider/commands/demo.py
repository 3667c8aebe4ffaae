"""``scrapy demo``: the main job from beginning to end, on servers that it starts itself."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.local_servers import start_mongo, start_redis, start_sandbox
from ali1688_spider.project_command import SETTINGS_MODULE, ProjectCommand

if TYPE_CHECKING:
    from rich.console import Console

FIRST_PRODUCT = 610000000001
DATABASE = "ali1688_demo"
SHOWN = 12
UNLIMITED_STOCK = 2_147_483_646  # the platform's word for it

NEXT_STEPS = """
As a spreadsheet: {folder}/products.csv

The same against the real gateway: put your app key and secret into .env
(scrapy init writes one), then

  scrapy doctor                                   checks what crawls depend on
  scrapy crawl product -a ids=ID,ID -O out.csv    collects into a spreadsheet
  scrapy crawl product -a ids_file=FILE           with MONGO_URI: into MongoDB
  scrapy sandbox --port 8080                      the local gateway, to try things on"""


class Command(ProjectCommand):
    usage = "[--products N] [--folder FOLDER]"
    summary = "Collect products from a local gateway, without account and servers"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--products", type=int, default=300, metavar="N", help="how many (default: 300)")
        add("--folder", type=Path, default="ali1688-demo", help="for its files (%(default)s)")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        from rich.console import Console

        if opts.products < 1:
            raise ConfigurationError("--products must be 1 or more")
        # SIGTERM ends it as Ctrl-C does, so that the servers are stopped too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        console = Console(highlight=False)
        folder: Path = opts.folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as servers:
            with console.status("Starting a local gateway, Redis and MongoDB …"):
                environment = _start_servers(servers, folder)
            console.print(f"Collecting {opts.products} products from the local gateway:")
            _crawl(environment, folder, opts.products)
            _show_products(console, environment["MONGO_URI"])
        console.print(NEXT_STEPS.format(folder=folder), soft_wrap=True)


def _start_servers(servers: ExitStack, folder: Path) -> dict[str, str]:
    sandbox = start_sandbox(folder / "sandbox", ["--drift", "0"])
    servers.callback(sandbox.stop)
    redis = start_redis(folder / "redis")
    servers.callback(redis.stop)
    if not (mongo_uri := os.environ.get("MONGO_URI", "")):
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
    ids_file, log_file = folder / "ids.txt", folder / "crawl.log"
    ids_file.write_text("".join(f"{FIRST_PRODUCT + number}\n" for number in range(products)))
    log_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "scrapy", "crawl", "product", "-a", f"ids_file={ids_file}"]
    command += ["-O", f"{folder}/products.csv", "--logfile", f"{log_file}"]
    command += ["-s", "ALI1688_PROGRESS=on", "-s", "ALI1688_LOG_FORMAT=text"]
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
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


def _show_products(console: Console, mongo_uri: str) -> None:
    from rich.table import Column, Table

    numbers = (Column(title, justify="right") for title in ("price (CNY)", "stock", "SKUs"))
    name = Column("name", overflow="ellipsis", no_wrap=True, max_width=40)
    table = Table("product_id", name, *numbers)
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        products = client[DATABASE]["products"]
        table.title = f"The first {SHOWN} of {products.count_documents({})} products"
        for product in products.find().sort("_id").limit(SHOWN):
            price, stock = product.get("price"), product.get("stock")
            table.add_row(
                str(product["_id"]),
                product.get("name") or f"({product.get('status')})",
                "private" if price is None else str(price),
                "unlimited" if stock == UNLIMITED_STOCK else "" if stock is None else f"{stock:,}",
                str(len(product.get("skus") or [])),
            )
    console.print(table)
