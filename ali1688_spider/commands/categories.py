"""``scrapy categories``: prints the platform's categories, whose ids searches take."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ali1688_spider.config import Config
from ali1688_spider.context import client_for, redis_client
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway import fields
from ali1688_spider.gateway.errors import CallError, ErrorAction
from ali1688_spider.project_command import ProjectCommand
from ali1688_spider.quota.limits import MemoryQuota, RedisQuota

if TYPE_CHECKING:
    from ali1688_spider.gateway.client import Client

CATEGORY_API = "com.alibaba.fenxiao.crossborder:category.translation.getById-1"
ROOT = 0
LONG_WAIT = 60.0
"""Seconds from which on the user decides whether to wait."""


class Command(ProjectCommand):
    usage = "[ID] [--depth N]"
    summary = "Print the platform's categories"
    description = (
        "Print the categories below the one with this ID, or the topmost ones: their ids, which "
        "-a category_id= takes, and their names. Each category that is opened takes one call."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--depth", type=int, default=1, metavar="N", help="levels to print (default: 1)")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) > 1 or not all(each.isdecimal() for each in args):
            raise ConfigurationError("say one category by its number, or none for the topmost ones")
        if opts.depth < 1:
            raise ConfigurationError("--depth is below 1: say how many levels to print")
        config = Config.from_settings(self.settings)
        if config.protocol != "param2":
            raise ConfigurationError("categories are known to param2 only: set ALI1688_PROTOCOL")
        redis = redis_client(config, self.settings)
        limits = (config.qps, config.daily_quota)
        quota = RedisQuota(redis, config.app_key, *limits) if redis else MemoryQuota(*limits)
        client = client_for(config, redis)
        for level, category in _below(client, quota, int(args[0]) if args else ROOT, opts.depth):
            names = dict.fromkeys((category.get("chineseName"), category.get("translatedName")))
            shown = "  ".join(name for name in names if isinstance(name, str))
            print(f"{'  ' * level}{category.get('categoryId')}  {shown}")


def _below(
    client: Client, quota: MemoryQuota | RedisQuota, category_id: int, depth: int, level: int = 0
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the level, from 0, and each category below another, in the platform's order."""
    _wait_for_slot(quota)
    params = {"language": client.apis.country, "categoryId": category_id}
    try:
        found = fields.section(client.request(CATEGORY_API, params), "result", "result")
    except CallError as error:
        advice = f". {error.advice.rstrip('.')}" if error.action is ErrorAction.CLOSE else ""
        raise ConfigurationError(
            f"category {category_id} cannot be opened: {error}{advice}"
        ) from None
    children = fields.listed(found.get("children"))
    for child in children if isinstance(children, list) else []:
        if isinstance(child, dict):
            yield level, child
            child_id = fields.told_count(child.get("categoryId"))
            if child_id and level + 1 < depth and not fields.is_true(child.get("leaf")):
                yield from _below(client, quota, child_id, depth, level + 1)


def _wait_for_slot(quota: MemoryQuota | RedisQuota) -> None:
    while True:
        slot = quota.reserve(1)
        if slot.wait_seconds > LONG_WAIT:
            raise ConfigurationError(
                f"no call may be made for {slot.wait_seconds / 60:.0f} minutes, by the quota of "
                "the app: run this again then"
            )
        time.sleep(slot.wait_seconds)
        if slot.count:
            return
