"""What a worker leases, settles, records and gives back, seen in Redis and in its statistics."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from ali1688_spider.addon import context_of
from ali1688_spider.scheduling import lease as lease_module
from ali1688_spider.scheduling import worker as module
from ali1688_spider.scheduling.lease import Heartbeat, lease_limits
from ali1688_spider.scheduling.queue import POISON_CRASHES, LeaseBatch, LeaseQueue
from ali1688_spider.storage.failed_calls import KEY as FAILED_CALLS
from ali1688_spider.storage.failed_calls import RedisFailedCallStore
from tests.scheduling.conftest import reasons, until
from tests.scheduling.leases import products

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ali1688_spider.scheduling.lease import Lease
    from ali1688_spider.scheduling.scheduler import RedisScheduler
    from ali1688_spider.scheduling.worker import QueueWorker
    from ali1688_spider.storage.failed_calls import FailedCall
    from tests.scheduling.conftest import Clock, Open

    MakeQueue = Callable[..., LeaseQueue]


@pytest.fixture
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker does only what it has a reason for."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600)
    monkeypatch.setattr(module, "IDLE_SECONDS", 3600)


@pytest.fixture
def silent(no_polling: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:  # noqa: ARG001
    """The settings of a worker that is silent, while it does nothing, for longer than it may."""
    monkeypatch.setattr(Heartbeat, "start", lambda _: None)
    return {"ALI1688_LEASE_SECONDS": "1"}


async def next_lease(scheduler: RedisScheduler) -> Lease:
    (lease,) = await until(scheduler.worker.next_leases)
    return lease


def number(lease: Lease) -> int:
    return int(lease.message)


def stat(scheduler: RedisScheduler, name: str) -> Any:
    return scheduler.stats.get_value(f"ali1688/{name}")


async def failed_calls(scheduler: RedisScheduler) -> list[FailedCall]:
    return [failed async for failed in context_of(scheduler.crawler).failed_calls.list()]


@pytest.mark.usefixtures("no_polling")
async def test_it_keeps_the_buffer_filled(
    open_scheduler: Open, queue: LeaseQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "MOST_UNSTORED", 0)
    queue.push(products(*range(1, 21)))
    scheduler = await open_scheduler()
    worker = scheduler.worker
    await until(lambda: worker.buffered == 8)
    leases = [await next_lease(scheduler) for _ in range(4)]
    assert [number(lease) for lease in leases] == [1, 2, 3, 4]
    # Half of it is left: more are leased at once.
    await until(lambda: worker.buffered == 8)
    assert (worker.in_flight, worker.next_leases()) == (4, [])
    assert len(worker.leases) == stat(scheduler, "leases/taken") == 12
    leases[0].ack()
    assert worker.in_flight == 3
    assert number(await next_lease(scheduler)) == 5


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[LeaseBatch]:
    """What Redis has replied each time that a worker asked for leases."""
    batches: list[LeaseBatch] = []
    lease = LeaseQueue.lease

    def note(queue: LeaseQueue, *arguments: Any, **options: Any) -> LeaseBatch:
        batches.append(lease(queue, *arguments, **options))
        return batches[-1]

    monkeypatch.setattr(LeaseQueue, "lease", note)
    return batches


async def ask_for_calls(worker: QueueWorker, queue: LeaseQueue) -> None:
    """Do what the engine does, for as long as fifty requests for leases would take."""
    for _ in range(50):
        assert worker.next_leases() == []
        await asyncio.to_thread(queue.server.ping)


@pytest.mark.usefixtures("no_polling")
@pytest.mark.parametrize("at_once", [1, 50])
async def test_of_calls_that_may_kill_a_worker_it_makes_one_and_then_asks_for_the_next(
    open_scheduler: Open,
    *,
    queue: LeaseQueue,
    make_queue: MakeQueue,
    clock: Clock,
    asked: list[LeaseBatch],
    at_once: int,
) -> None:
    queue.push(products(1, 2))
    for _ in range(POISON_CRASHES):
        make_queue().lease(2)
        clock.leases_run_out()
    worker = (await open_scheduler()).worker
    (first,) = await until(lambda: worker.next_leases(at_once))
    await until(lambda: asked[-1].is_denied)
    before = len(asked)
    await ask_for_calls(worker, queue)
    assert len(asked) <= before + 1  # for what it has handed out
    first.ack()
    (second,) = await until(lambda: worker.next_leases(at_once))
    assert (number(first), number(second)) == (1, 2)


@pytest.mark.usefixtures("no_polling")
async def test_while_the_queue_is_paused_it_does_not_ask_again_and_again(
    open_scheduler: Open, queue: LeaseQueue, asked: list[LeaseBatch]
) -> None:
    queue.push(products(1))
    queue.steering.pause("me@here")
    scheduler = await open_scheduler()
    await until(lambda: asked and asked[-1].is_denied and scheduler.worker._listener.is_listening)
    before = len(asked)
    await ask_for_calls(scheduler.worker, queue)
    assert len(asked) <= before + 1  # once it listens, it looks whether all is as it was
    queue.steering.resume()
    assert number(await next_lease(scheduler)) == 1


async def test_a_higher_priority_passes_what_is_buffered(
    open_scheduler: Open, queue: LeaseQueue
) -> None:
    queue.push([*products(1, 2, priority=5), *products(3)])
    scheduler = await open_scheduler()
    await until(lambda: scheduler.worker.buffered == 3)
    queue.push([*products(4, priority=7), *products(5, priority=5), *products(6, priority=-1)])
    await until(lambda: scheduler.worker.buffered == 6)
    order = []
    for _ in range(6):
        lease = await next_lease(scheduler)
        order.append(number(lease))
        lease.ack()
    assert order == [4, 1, 2, 5, 3, 6]


def test_calls_for_several_products_have_no_more_that_wait_for_the_database() -> None:
    assert lease_limits(32, 0, 50) == (32 * 50 + 200, 100)
    assert lease_limits(32, 2, 50) == (6 * 50, 100)


@pytest.mark.parametrize(
    ("qps", "in_flight", "buffered"),
    [(0, 232, 64), (2, 6, 3), (0.5, 2, 2), (10, 30, 11), (40, 120, 41), (1000, 232, 64)],
)
def test_as_few_are_leased_as_the_rate_is_low(qps: float, in_flight: int, buffered: int) -> None:
    assert lease_limits(32, qps) == (in_flight, buffered)


@pytest.mark.usefixtures("no_polling")
async def test_settled_leases_are_settled_in_redis(open_scheduler: Open, queue: LeaseQueue) -> None:
    queue.push(products(1, 2, 3))
    scheduler = await open_scheduler()
    first, second, _ = [await next_lease(scheduler) for _ in range(3)]
    first.ack()
    second.retry(3600)
    await until(lambda: len(scheduler.worker.leases) == 1)
    counts = queue.counts()
    assert (counts.ready, counts.delayed, counts.leased) == (0, 1, 1)
    assert (stat(scheduler, "leases/acked"), stat(scheduler, "leases/stale")) == (1, 0)


async def test_a_watched_call_is_queued_again_when_it_is_acknowledged(
    open_scheduler: Open, queue: LeaseQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.push(products(1))
    scheduler = await open_scheduler()
    monkeypatch.setattr(scheduler.spider, "repeat_in", lambda _: 420.0)
    (await next_lease(scheduler)).ack()
    await until(lambda: stat(scheduler, "leases/acked"))
    counts = queue.counts()
    assert counts.delayed == 1
    assert counts.next_due == pytest.approx(420, abs=20)


async def test_what_others_have_by_now_is_not_begun_and_changes_nothing(
    open_scheduler: Open,
    silent: dict[str, str],
    *,
    queue: LeaseQueue,
    make_queue: MakeQueue,
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue.push(products(1, 2, 3))
    scheduler = await open_scheduler(silent)
    in_flight = await next_lease(scheduler)
    other = make_queue()
    await until(lambda: other.lease(9).reclaimed == 3)
    assert queue.counts().leased == 3
    assert scheduler.worker.next_leases() == []
    await until(lambda: stat(scheduler, "leases/lost") == 3)
    assert len(scheduler.worker.leases) == len(scheduler) == 0
    assert "it was silent for too long" in caplog.text
    in_flight.ack()
    assert stat(scheduler, "leases/stale") == 1
    assert queue.counts().leased == 3


async def test_a_lease_that_is_settled_too_late_is_stale(
    open_scheduler: Open, queue: LeaseQueue, make_queue: MakeQueue, silent: dict[str, str]
) -> None:
    queue.push(products(1))
    scheduler = await open_scheduler(silent)
    lease = await next_lease(scheduler)
    await until(lambda: make_queue().lease(9).reclaimed)
    lease.ack()
    await until(lambda: stat(scheduler, "leases/stale") == 1)
    assert not stat(scheduler, "leases/acked")
    assert queue.counts().leased == 1


async def test_after_silence_nothing_is_begun_until_redis_knows_the_leases(
    open_scheduler: Open, queue: LeaseQueue, silent: dict[str, str]
) -> None:
    queue.push(products(1))
    scheduler = await open_scheduler(silent)
    await until(lambda: scheduler.worker.buffered)
    await until(lambda: scheduler.worker.is_in_doubt)
    assert scheduler.next_request() is None
    assert number(await next_lease(scheduler)) == 1


async def test_a_call_that_was_taken_out_of_the_queue_says_nothing_of_silence(
    open_scheduler: Open, queue: LeaseQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.push(products(1, 2))
    scheduler = await open_scheduler()
    await until(lambda: scheduler.worker.buffered == 2)
    pipeline = queue.server.pipeline()
    pipeline.zrem(queue.keys.leased, "1").hdel(queue.keys.leases, "1").execute()
    await until(lambda: stat(scheduler, "leases/withdrawn") == 1)
    assert number(await next_lease(scheduler)) == 2
    assert stat(scheduler, "leases/lost") is None
    assert "silent" not in caplog.text


async def test_calls_of_silent_workers_are_taken_over(
    open_scheduler: Open, queue: LeaseQueue, clock: Clock
) -> None:
    queue.push(products(1, 2))
    queue.lease(2)
    clock.leases_run_out()
    scheduler = await open_scheduler()
    assert (await next_lease(scheduler)).attempt == 2
    assert stat(scheduler, "leases/expired") == 2


async def test_after_an_outage_other_workers_have_time_to_be_heard(
    open_scheduler: Open,
    *,
    queue: LeaseQueue,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    queue.push(products(1, 2))
    held = queue.lease(2).leases
    failures, rounds = [RedisConnectionError("refused")], []
    lease = LeaseQueue.lease

    def lease_once_redis_is_back(
        queue: LeaseQueue, count: int, held: Collection[Lease] = (), *, reclaim: bool = True
    ) -> LeaseBatch:
        if failures:
            raise failures.pop()
        rounds.append(reclaim)
        return lease(queue, count, held, reclaim=reclaim)

    monkeypatch.setattr(LeaseQueue, "lease", lease_once_redis_is_back)
    clock.leases_run_out()
    scheduler = await open_scheduler()
    await until(lambda: len(rounds) > 1)
    assert not any(rounds)
    assert scheduler.worker.buffered == 0
    assert queue.find_lost(held) == []
    assert stat(scheduler, "redis/errors") == 1
    away = "Redis is unavailable; retrying, nothing is lost. Redis does not answer (refused)"
    assert away in caplog.messages
    assert "Redis is back after" in caplog.text


async def test_leases_that_the_worker_knows_nothing_of_are_given_back(
    open_scheduler: Open, queue: LeaseQueue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    scheduler = await open_scheduler()
    queue.push(products(1, 2))
    scheduler.queue.lease(1)
    await until(lambda: "Gave back 1 leases that this worker knows nothing of" in caplog.text)
    assert {
        (number(lease), lease.attempt)
        for lease in [await next_lease(scheduler), await next_lease(scheduler)]
    } == {(1, 1), (2, 1)}


@pytest.mark.parametrize("repeat_in", [None, 3600.0])
async def test_calls_that_were_tried_too_often_are_kept_and_done_with(
    open_scheduler: Open,
    *,
    queue: LeaseQueue,
    clock: Clock,
    repeat_in: float | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue.push(products(1))
    queue.lease(1)
    clock.leases_run_out()
    queue.server.set(FAILED_CALLS, "what nobody can add to")
    scheduler = await open_scheduler({"ALI1688_MAX_ATTEMPTS": "1"})
    monkeypatch.setattr(scheduler.spider, "repeat_in", lambda _: repeat_in)
    await until(lambda: stat(scheduler, "failed_calls/unavailable"))
    assert queue.counts().leased == 1
    queue.server.delete(FAILED_CALLS)
    await until(lambda: not scheduler.worker.leases)
    counts = queue.counts()
    assert (counts.calls, counts.delayed) == ((0, 0) if repeat_in is None else (1, 1))
    (failed,) = await failed_calls(scheduler)
    assert (failed.spider, failed.call, failed.attempts) == ("product", "1", 1)
    assert failed.params == {"product_id": 1}
    assert failed.error.startswith("tried 1 times without success; 1 of the workers")
    assert stat(scheduler, "failed_calls") == 1
    assert "given up: tried 1 times without success" in caplog.text


async def test_messages_are_read_and_the_malformed_ones_kept(
    open_scheduler: Open, queue: LeaseQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.server.lpush(queue.keys.start, "1", "nonsense", "1", "2", b"\xff" * 5000)
    scheduler = await open_scheduler()
    assert [number(await next_lease(scheduler)) for _ in range(2)] == [1, 2]
    await until(lambda: queue.counts().messages == 0)
    nonsense, long = await failed_calls(scheduler)
    assert (nonsense.call, nonsense.api, nonsense.attempts) == ("nonsense", "", 0)
    assert "neither a product id nor" in nonsense.error
    assert long.call == r"\xff" * 4096
    assert stat(scheduler, "messages/read") == 5
    assert stat(scheduler, "messages/queued") == 2
    assert stat(scheduler, "messages/malformed") == 2
    assert "2 messages ask for no call; they are kept among the failed calls" in caplog.text


async def test_while_failures_cannot_be_recorded_the_rest_goes_on(
    open_scheduler: Open, queue: LeaseQueue
) -> None:
    """They stay in Redis: a worker that is killed meanwhile leaves them to the next one."""
    queue.server.set(FAILED_CALLS, "what nobody can add to")
    queue.server.lpush(queue.keys.start, "nonsense", "1")
    queue.server.zadd(queue.keys.ready, {"refuse": 0})
    scheduler = await open_scheduler()
    (await next_lease(scheduler)).ack()
    queue.push(products(2))
    assert number(await next_lease(scheduler)) == 2
    await until(lambda: stat(scheduler, "failed_calls/unavailable"))
    await until(lambda: (queue.counts().messages, queue.counts().leased) == (1, 2))
    queue.server.delete(FAILED_CALLS)
    await until(lambda: (queue.counts().messages, queue.counts().leased) == (0, 1))
    assert {failed.call for failed in await failed_calls(scheduler)} == {"refuse", "nonsense"}


async def test_a_defect_of_recording_closes_the_crawl(
    open_scheduler: Open, queue: LeaseQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object, __: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(RedisFailedCallStore, "keep_all", fail)
    queue.server.zadd(queue.keys.ready, {"refuse": 0})
    scheduler = await open_scheduler()
    await until(lambda: reasons(scheduler) == ["queue_failed"])


async def test_what_is_no_list_of_messages_is_set_aside(
    open_scheduler: Open, queue: LeaseQueue
) -> None:
    queue.push(products(1))
    queue.server.set(queue.keys.start, "1")
    scheduler = await open_scheduler()
    await next_lease(scheduler)
    assert stat(scheduler, "queue/keys_set_aside") == 1
    queue.server.lpush(queue.keys.start, "2")
    assert number(await next_lease(scheduler)) == 2


async def test_calls_that_the_queue_lost_track_of_are_brought_back(
    open_scheduler: Open, queue: LeaseQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.server.hset(queue.keys.scores, "7", "0")
    scheduler = await open_scheduler()
    assert number(await next_lease(scheduler)) == 7
    assert "Brought back 1 calls that the queue had lost track of" in caplog.text
