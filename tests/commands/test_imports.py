"""A command imports no more than it needs: Scrapy imports all commands for each of them."""

from __future__ import annotations

import subprocess
import sys

OTHERS_NEED = {
    "ali1688_spider.dashboard.server",
    "ali1688_spider.monitoring.reading",
    "ali1688_spider.reporting.page",
    "ali1688_spider.sandbox.server",
    "aiohttp.web",
    "jinja2",
    "prometheus_client",
    "rich",
}

START = """
import sys
from scrapy.cmdline import execute
from scrapy.settings import Settings
try:
    execute(["scrapy", "crawl", "-h"], Settings({"COMMANDS_MODULE": "ali1688_spider.commands"}))
finally:
    print(*sys.modules, file=sys.stderr)
"""


def test_a_crawl_does_not_import_what_other_commands_need() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, check=True
    )
    loaded = set(ended.stderr.split())
    assert loaded >= {"ali1688_spider.commands.crawl", "ali1688_spider.commands.report"}
    assert loaded & OTHERS_NEED == set()
