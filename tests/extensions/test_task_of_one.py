from __future__ import annotations

import math

import pytest
from scrapy.exceptions import NotConfigured
from scrapy.utils.test import get_crawler

from ali1688_spider.extensions.message_poller import MessagePoller
from ali1688_spider.extensions.product_follower import ProductFollower
from ali1688_spider.extensions.task_of_one import BURST, CallShare
from ali1688_spider.spiders.product import ProductSpider
from ali1688_spider.spiders.watch import WatchSpider

CREDENTIALS = {
    "ALI1688_APP_KEY": "1000000",
    "ALI1688_APP_SECRET": "the-app-secret",
    "ALI1688_PROTOCOL": "param2",
    "REDIS_URL": "",
    "MONGO_URI": "",
}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_share_bounds_the_calls_of_a_day() -> None:
    clock = Clock()
    share = CallShare(0.05, clock)
    calls = 0
    end = clock.now + 86_400
    while clock.now < end:
        clock.now += share.wait_seconds
        share.spend()
        calls += 1
    assert BURST + 0.05 * 86_400 - 2 <= calls <= BURST + 0.05 * 86_400 + 2


def test_what_is_not_used_adds_up_to_a_burst() -> None:
    clock = Clock()
    share = CallShare(1.0, clock)
    clock.now += 1e6
    for _ in range(int(BURST)):
        assert share.wait_seconds == 0
        share.spend()
    assert share.wait_seconds == pytest.approx(1.0)


def test_without_a_limit_nothing_waits() -> None:
    share = CallShare(math.inf, Clock())
    for _ in range(1000):
        share.spend()
    assert share.wait_seconds < 0.01


@pytest.mark.parametrize(
    ("spider", "settings", "arguments", "wanted"),
    [
        (ProductSpider, {"ALI1688_MESSAGES": "poll"}, {"ids": "1"}, []),
        (WatchSpider, {}, {}, []),
        (WatchSpider, {"ALI1688_MESSAGES": "poll"}, {}, [MessagePoller]),
        (WatchSpider, {}, {"follow": "1"}, [ProductFollower]),
    ],
)
def test_they_are_there_when_they_are_asked_for(
    spider: type[ProductSpider | WatchSpider],
    settings: dict[str, str],
    arguments: dict[str, str],
    wanted: list[type],
) -> None:
    from ali1688_spider import settings as project

    defaults = {name: getattr(project, name) for name in dir(project) if name.isupper()}
    crawler = get_crawler(spider, {**defaults, **CREDENTIALS, **settings})
    crawler.spider = crawler._create_spider(**arguments)
    made: list[type] = []
    for extension in (MessagePoller, ProductFollower):
        try:
            made.append(type(extension.from_crawler(crawler)))
        except NotConfigured:
            continue
    assert made == wanted
