from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from scrapy.utils.test import get_crawler

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.courier import Courier
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.leased_calls import LeasedCall, done, retry
from ali1688_spider.scheduling.outage import Outage
from ali1688_spider.scheduling.seeding import Seeding
from ali1688_spider.scheduling.stock import Stock
from ali1688_spider.storage.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrapy.statscollectors import StatsCollector

    from ali1688_spider.scheduling.intake import MalformedMessage, MessageBatch
    from ali1688_spider.scheduling.leased_calls import RefusedCall
    from ali1688_spider.scheduling.queue import LeaseQueue
    from tests.scheduling.conftest import Clock


class Recorder:
    """Notes what it is to keep; away as often as it is told."""

    def __init__(self) -> None:
        self.refused: list[RefusedCall] = []
        self.malformed: list[MalformedMessage] = []
        self.away = 0

    async def record_refused(self, refused: Sequence[RefusedCall]) -> None:
        self._check()
        self.refused += refused

    async def record_malformed(self, batch: MessageBatch) -> None:
        self._check()
        self.malformed += batch.malformed

    def _check(self) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("away")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def stats() -> StatsCollector:
    return get_crawler().stats


@pytest.fixture
def stock() -> Stock:
    return Stock(most_in_hand=100, wanted=4)


@pytest.fixture
def deliveries() -> list[int]:
    return []


@pytest.fixture
def make_courier(
    queue: LeaseQueue,
    stock: Stock,
    recorder: Recorder,
    stats: StatsCollector,
    deliveries: list[int],
) -> Callable[..., Courier]:
    def make(seeding: Seeding | None = None, repeat_in: float | None = None) -> Courier:
        return Courier(
            queue,
            stock,
            recorder,
            Outage(stats, Backoff(base=0.001, cap=0.001)),
            stats,
            seeding=seeding,
            on_delivery=lambda: deliveries.append(len(stock)),
            repeat_in=lambda _: repeat_in,
            backoff=Backoff(base=0.001, cap=0.001),
        )

    return make


@pytest_asyncio.fixture
async def courier(make_courier: Callable[..., Courier]) -> Courier:
    return make_courier()


def push(queue: LeaseQueue, *product_ids: int) -> None:
    queue.push(QueueEntry(ApiCall.product(number)) for number in product_ids)


def be_silent(queue: LeaseQueue) -> None:
    queue._held._confirmed_at -= 60


def take(stock: Stock) -> LeasedCall:
    entry = stock.take()
    assert isinstance(entry, LeasedCall)
    return entry


async def exchange(courier: Courier) -> None:
    """Exchange, and wait until what cannot be made is recorded."""
    courier.wake()
    await courier.exchange()
    if courier._recording is not None:
        await courier._recording


async def test_it_keeps_the_stock_filled(
    courier: Courier, queue: LeaseQueue, stock: Stock, stats: StatsCollector, deliveries: list[int]
) -> None:
    push(queue, *range(1, 8))
    await exchange(courier)
    assert deliveries == [4]
    await exchange(courier)
    assert deliveries == [4, 4]
    for _ in range(3):
        take(stock)
    await exchange(courier)
    assert deliveries == [4, 4, 4]
    assert stats.get_value("ali1688/leases/taken") == 7
    assert courier.counts is not None
    assert (courier.counts.ready, courier.counts.leased) == (0, 7)


async def test_it_fetches_at_once_when_the_stock_is_low(
    courier: Courier, queue: LeaseQueue, stock: Stock, deliveries: list[int]
) -> None:
    push(queue, *range(1, 20))
    await exchange(courier)
    next_round = asyncio.create_task(courier.exchange())
    take(stock)
    courier.took_one()
    await asyncio.sleep(0)
    assert not courier._wake.is_set()
    take(stock)
    courier.took_one()
    assert courier._wake.is_set()
    await next_round
    assert deliveries == [4, 4]


async def test_outcomes_are_told_together(
    courier: Courier, queue: LeaseQueue, stock: Stock, stats: StatsCollector
) -> None:
    push(queue, 1, 2, 3)
    await exchange(courier)
    courier.settle(done(take(stock)))
    courier.settle(retry(take(stock), 3600))
    assert courier.has_outcomes
    await courier.exchange()
    assert not courier.has_outcomes
    counts = queue.counts()
    assert (counts.ready, counts.delayed, counts.leased) == (0, 1, 1)
    assert stats.get_value("ali1688/leases/acked") == 1
    assert stats.get_value("ali1688/leases/stale") == 0


async def test_outcomes_of_lost_leases_change_nothing(
    courier: Courier,
    *,
    make_queue: Callable[..., LeaseQueue],
    queue: LeaseQueue,
    stock: Stock,
    stats: StatsCollector,
    clock: Clock,
) -> None:
    push(queue, 1, 2, 3)
    await exchange(courier)
    in_hand = take(stock)
    be_silent(queue)
    clock.leases_run_out()
    assert [leased.attempt for leased in make_queue().lease(9).calls] == [2, 2, 2]

    await exchange(courier)

    assert len(stock) == 0
    assert stats.get_value("ali1688/leases/lost") == 3
    courier.settle(done(in_hand))
    await courier.exchange()
    assert stats.get_value("ali1688/leases/stale") == 1
    assert stats.get_value("ali1688/leases/acked") == 0
    assert queue.counts().leased == 3


async def test_calls_of_silent_workers_are_taken_over(
    courier: Courier,
    *,
    make_queue: Callable[..., LeaseQueue],
    queue: LeaseQueue,
    stock: Stock,
    stats: StatsCollector,
    clock: Clock,
) -> None:
    push(queue, 1, 2)
    make_queue().lease(2)
    clock.leases_run_out()
    await exchange(courier)
    assert stats.get_value("ali1688/leases/expired") == 2
    assert take(stock).attempt == 2


async def test_after_an_outage_other_workers_have_time_to_be_heard(
    courier: Courier,
    *,
    make_queue: Callable[..., LeaseQueue],
    queue: LeaseQueue,
    stock: Stock,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    push(queue, 1, 2)
    other = make_queue()
    other.lease(2)
    clock.leases_run_out()
    lease, failures = queue.lease, [RedisConnectionError("refused")]

    def lease_once_redis_is_back(count: int, *, reclaim: bool = True) -> object:
        if failures:
            raise failures.pop()
        return lease(count, reclaim=reclaim)

    monkeypatch.setattr(queue, "lease", lease_once_redis_is_back)
    await exchange(courier)
    await exchange(courier)
    assert len(stock) == 0
    other.heartbeat()
    assert other.lease(0).lost == frozenset()
    assert queue.counts().leased == 2


@pytest.mark.parametrize("repeat_in", [None, 3600.0])
async def test_calls_that_were_tried_too_often_are_kept_and_done_with(
    make_queue: Callable[..., LeaseQueue],
    *,
    queue: LeaseQueue,
    recorder: Recorder,
    make_courier: Callable[..., Courier],
    clock: Clock,
    repeat_in: float | None,
) -> None:
    courier = make_courier(repeat_in=repeat_in)
    push(queue, 1)
    queue._max_attempts = 1
    make_queue().lease(1)
    clock.leases_run_out()
    recorder.away = 2
    await exchange(courier)
    assert [(refused.message, refused.attempt) for refused in recorder.refused] == [(b"1", 2)]
    assert queue.counts().leased == 1
    await exchange(courier)
    counts = queue.counts()
    assert (counts.calls, counts.delayed) == ((0, 0) if repeat_in is None else (1, 1))


async def test_messages_are_read_and_the_malformed_ones_kept(
    courier: Courier, queue: LeaseQueue, recorder: Recorder, stock: Stock, stats: StatsCollector
) -> None:
    queue.server.lpush(queue.keys.start, "1", "nonsense", "1", "2")
    recorder.away = 2
    await exchange(courier)
    assert stats.get_value("ali1688/failed_calls/unavailable") == 2
    assert [int(take(stock).message) for _ in range(2)] == [1, 2]
    assert [malformed.message for malformed in recorder.malformed] == [b"nonsense"]
    assert stats.get_value("ali1688/messages/read") == 4
    assert stats.get_value("ali1688/messages/queued") == 2
    assert queue.counts().messages == 0


async def test_what_is_no_list_of_messages_is_set_aside(
    courier: Courier, queue: LeaseQueue, stock: Stock, stats: StatsCollector
) -> None:
    push(queue, 1)
    queue.server.set(queue.keys.start, "1")
    await exchange(courier)
    assert len(stock) == 1
    assert stats.get_value("ali1688/queue/keys_set_aside") == 1
    queue.server.lpush(queue.keys.start, "2")
    await exchange(courier)
    await exchange(courier)
    assert len(stock) == 2


async def test_while_failures_cannot_be_recorded_the_rest_goes_on(
    courier: Courier, queue: LeaseQueue, recorder: Recorder, stock: Stock
) -> None:
    """They stay in Redis: a worker that is killed meanwhile leaves them to the next one."""
    recorder.away = 1_000_000
    queue.server.lpush(queue.keys.start, "nonsense", "1")
    queue.server.zadd(queue.keys.ready, {"refuse": 0})
    courier.wake()
    await courier.exchange()
    courier.settle(done(take(stock)))
    push(queue, 2)
    await courier.exchange()
    assert take(stock).message == b"2"
    counts = queue.counts()
    assert (counts.messages, counts.leased) == (1, 2)
    recorder.away = 0
    await exchange(courier)
    await exchange(courier)
    assert [refused.message for refused in recorder.refused] == [b"refuse"]
    assert [malformed.message for malformed in recorder.malformed] == [b"nonsense"]
    counts = queue.counts()
    assert (counts.messages, counts.leased) == (0, 1)


async def test_a_defect_of_the_recorder_is_not_swallowed(
    courier: Courier, queue: LeaseQueue, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(recorder, "record_refused", fail)
    queue.server.zadd(queue.keys.ready, {"refuse": 0})
    with pytest.raises(ZeroDivisionError):
        await exchange(courier)
    with pytest.raises(ZeroDivisionError):
        await exchange(courier)


async def test_a_call_that_was_taken_out_of_the_queue_says_nothing_of_silence(
    courier: Courier,
    *,
    queue: LeaseQueue,
    stock: Stock,
    stats: StatsCollector,
    caplog: pytest.LogCaptureFixture,
) -> None:
    push(queue, 1, 2)
    await exchange(courier)
    queue.server.zrem(queue.keys.leased, "1")
    queue.server.hdel(queue.keys.leases, "1")
    await exchange(courier)
    assert [take(stock).message] == [b"2"]
    assert stats.get_value("ali1688/leases/withdrawn") == 1
    assert stats.get_value("ali1688/leases/lost") is None
    assert "silent" not in caplog.text


async def test_it_queues_what_the_crawl_begins_with(
    make_courier: Callable[..., Courier], queue: LeaseQueue, stock: Stock
) -> None:
    seeding = Seeding(queue, "a")
    courier = make_courier(seeding)
    seeding.begin()
    seeding.add(QueueEntry(ApiCall.product(5)))
    await exchange(courier)
    assert take(stock).message == b"5"


async def test_before_it_ends_it_only_tells_outcomes_and_gives_back(
    courier: Courier, queue: LeaseQueue, stock: Stock, stats: StatsCollector
) -> None:
    push(queue, *range(1, 10))
    await exchange(courier)
    courier.settle(done(take(stock)))
    courier.lease_no_more()
    courier.give_back(stock.remove({b"2"}))
    await courier.exchange()
    counts = queue.counts()
    assert (counts.ready, counts.leased) == (6, 2)
    await courier.give_back_all()
    assert stats.get_value("ali1688/leases/released") == 3
    assert [leased.attempt for leased in queue.lease(9).calls] == [1] * 8
