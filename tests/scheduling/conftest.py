"""Queues in a real Redis, and time that passes when a test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class NamedSpider:
    name = "product"


class Clock:
    """Lets the moments come that are written in Redis."""

    def __init__(self, queue: LeaseQueue) -> None:
        self._client: Any = queue.server
        self._keys = queue.keys

    def delays_end(self) -> None:
        self._make_past(self._keys.delayed)

    def leases_run_out(self) -> None:
        self._make_past(self._keys.workers)

    def crawls_grow_old(self) -> None:
        self._make_past(self._keys.crawl_expiry)

    def _make_past(self, key: str) -> None:
        for member in self._client.zrange(key, 0, -1):
            self._client.zadd(key, {member: 0})


@pytest.fixture(params=[False, True], ids=["bytes", "decoded"])
def client(redis_url: str, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A client of either kind that scrapy-redis's settings may ask for."""
    client = redis.Redis.from_url(redis_url, decode_responses=request.param)
    yield client
    client.close()


@pytest.fixture
def make_queue(client: redis.Redis) -> Callable[..., LeaseQueue]:
    """Make queues over the same keys, each a worker of its own."""

    def make(**settings: Any) -> LeaseQueue:
        return LeaseQueue(client, NamedSpider, QUEUE_KEY, **settings)

    return make


@pytest.fixture
def queue(make_queue: Callable[..., LeaseQueue]) -> LeaseQueue:
    return make_queue()


@pytest.fixture
def clock(queue: LeaseQueue) -> Clock:
    return Clock(queue)
