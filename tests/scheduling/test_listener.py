"""An idle worker is told of changes, and does not ask."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling import listener as listener_module
from ali1688_spider.scheduling import worker as worker_module
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.listener import QueueListener
from tests.harness import eventually
from tests.scheduling.conftest import until
from tests.scheduling.leases import products

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ali1688_spider.scheduling.queue import LeaseQueue
    from ali1688_spider.scheduling.scheduler import RedisScheduler
    from tests.scheduling.conftest import Clock, Open

NEVER = 3600


class News(list[bool]):
    """Whether the listener was listening, each time that it called."""

    def __init__(self, queue: LeaseQueue) -> None:
        self.queue = queue
        self.listener = QueueListener(
            queue.server, [queue.keys.start, queue.keys.ready], self.append_state
        )

    def append_state(self) -> None:
        self.append(self.listener.is_listening)

    def listen(self) -> None:
        """Return once it listens."""
        known = len(self)
        self.listener.listen()
        eventually(lambda: len(self) > known)
        assert self[known]


@pytest.fixture
def news(queue: LeaseQueue) -> Iterator[News]:
    news = News(queue)
    yield news
    news.listener.stop()
    if news.listener.ident is not None:
        news.listener.join()


def test_it_tells_once_of_a_change_by_anybody(news: News, client: redis.Redis) -> None:
    for change in (
        lambda: client.lpush(news.queue.keys.start, "610000000001"),
        lambda: news.queue.push(products(1)),
        lambda: client.delete(news.queue.keys.ready),
    ):
        news.listen()
        known = len(news)
        client.set("somebody:else", 1)
        assert news.listener.is_listening
        change()
        change()
        eventually(lambda known=known: len(news) > known)
        assert news[known:] == [False]


def test_it_listens_again_after_its_connection_broke(news: News, client: redis.Redis) -> None:
    news.listen()
    known = len(news)
    client.client_kill_filter(_type="normal", skipme=True)
    eventually(lambda: len(news) > known)
    assert news[-1] is False
    eventually(client.ping)
    news.listen()
    known = len(news)
    client.lpush(news.queue.keys.start, "610000000001")
    eventually(lambda: len(news) > known)


def test_a_redis_that_cannot_tell_is_asked(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with redis.Redis.from_url(redis_url, protocol=2) as old:
        told: list[int] = []
        listener = QueueListener(old, ["key"], lambda: told.append(1))
        with caplog.at_level(logging.INFO):
            listener.listen()
            eventually(lambda: told)
        listener.stop()
        listener.join()
    assert not listener.is_supported
    assert "REDIS_PARAMS sets another protocol than 3" in caplog.text


@pytest.fixture
def never_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an idle worker does, it was told to do."""
    monkeypatch.setattr(worker_module, "POLL_SECONDS", NEVER)
    monkeypatch.setattr(worker_module, "IDLE_SECONDS", NEVER)


async def idle_worker(open_scheduler: Open, **arguments: str) -> RedisScheduler:
    scheduler = await open_scheduler(**arguments)
    await until(lambda: scheduler.worker._listener.is_listening)
    return scheduler


def start_message(queue: LeaseQueue) -> None:
    queue.server.lpush(queue.keys.start, "5")


def start_message_in_a_set(queue: LeaseQueue) -> None:
    queue.server.sadd(queue.keys.start, "5")


def pushed_call(queue: LeaseQueue) -> None:
    queue.push(products(5))


def retry_of_another_worker(queue: LeaseQueue) -> None:
    queue.push([QueueEntry(ApiCall.product(5), 0, 0.05)])


@pytest.mark.usefixtures("never_asks")
@pytest.mark.parametrize(
    "change", [start_message, start_message_in_a_set, pushed_call, retry_of_another_worker]
)
async def test_an_idle_worker_begins_with_what_comes(
    open_scheduler: Open, queue: LeaseQueue, change: Callable[[LeaseQueue], None]
) -> None:
    scheduler = await idle_worker(open_scheduler)
    for _ in range(2):  # it listens again
        change(queue)
        (lease,) = await until(scheduler.worker.next_leases)
        assert lease.message == b"5"
        lease.ack()
        await until(lambda: scheduler.worker._listener.is_listening)


@pytest.mark.usefixtures("never_asks")
async def test_an_idle_worker_goes_on_when_the_queue_is_resumed(
    open_scheduler: Open, queue: LeaseQueue
) -> None:
    queue.steering.pause("a test", "")
    queue.push(products(5))
    scheduler = await idle_worker(open_scheduler)
    assert scheduler.worker.next_leases() == []
    queue.steering.resume()
    assert await until(scheduler.worker.next_leases)


@pytest.mark.usefixtures("never_asks")
async def test_an_idle_worker_takes_over_when_the_leases_of_another_run_out(
    open_scheduler: Open, queue: LeaseQueue, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.push(products(5))
    assert queue.lease(1).leases
    scheduler = await idle_worker(open_scheduler)
    takeover_in: Any = scheduler.worker._takeover_in
    assert 50 < takeover_in <= 60
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.5)
    assert scheduler.worker._listening_timeout() == 0.5 + takeover_in
    clock.leases_run_out()
    queue.server.rpush(queue.keys.start, "6")  # something else wakes it
    leases = [await until(scheduler.worker.next_leases) for _ in range(2)]
    assert {lease.message for (lease,) in leases} == {b"5", b"6"}


@pytest.mark.usefixtures("never_asks")
async def test_an_idle_worker_ends_in_time(open_scheduler: Open) -> None:
    scheduler = await open_scheduler(idle="0.3")
    await until(lambda: scheduler.worker.has_ended)


@pytest.mark.usefixtures("never_asks")
async def test_an_idle_worker_of_a_crawl_notices_its_end(
    open_scheduler: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "LISTEN_SECONDS", 0.01)
    working = await open_scheduler(ids="7")
    (lease,) = await until(working.worker.next_leases)
    idle = await open_scheduler(ids="7")
    await until(lambda: idle.worker._listener.is_listening)
    lease.ack()
    await until(lambda: idle.worker.has_ended and working.worker.has_ended)
