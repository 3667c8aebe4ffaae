"""The scheduler and its worker between a real Redis and what they need of Scrapy's engine."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from scrapy import Request
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy_redis.scheduler import Scheduler

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.scheduling import lease as lease_module
from ali1688_spider.scheduling import source
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.spiders.product import ProductSpider
from ali1688_spider.spiders.search import SearchSpider
from tests.scheduling.conftest import reasons, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ali1688_spider.scheduling.scheduler import RedisScheduler
    from tests.scheduling.conftest import Open


def produce(scheduler: RedisScheduler, *product_ids: int) -> None:
    scheduler.server.lpush(scheduler.queue.keys.start, *product_ids)


async def test_it_is_scrapy_redis_s_scheduler_and_what_spiders_expect(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    assert isinstance(scheduler, Scheduler)
    assert scheduler.persist
    assert scheduler.has_pending_requests()


async def test_a_message_becomes_a_request_that_is_acknowledged(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, 7)
    request = await until(scheduler.next_request)
    assert isinstance(request, ApiRequest)
    assert (request.call, request.attempt, request.delay) == (ApiCall.product(7), 1, 0)
    assert scheduler.next_request() is None
    request.leases[0].ack()
    await until(lambda: scheduler.stats.get_value("ali1688/leases/acked"))
    assert scheduler.queue.counts().calls == 0


async def test_a_later_try_waits_in_redis(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, 7)
    request = await until(scheduler.next_request)
    assert scheduler.enqueue_request(request.retried(3600))
    await until(lambda: scheduler.queue.counts().delayed)
    assert scheduler.queue.counts().leased == 0


SEVERAL = {
    "ALI1688_PROTOCOL": "param2",
    "ALI1688_PRODUCT_API": "com.alibaba.fenxiao:alibaba.pifatuan.product.detail.list-1",
}


async def test_products_are_joined_into_one_call(open_scheduler: Open) -> None:
    scheduler = await open_scheduler(SEVERAL)
    scheduler.queue.push(QueueEntry(ApiCall.product(number)) for number in range(1, 61))
    requests = [await until(scheduler.next_request), await until(scheduler.next_request)]
    assert [len(request.call.product_ids) for request in requests] == [50, 10]
    for request in requests:
        ids = [lease.call.product_ids[0] for lease in request.leases]
        assert ids == list(request.call.product_ids)
        for lease in request.leases:
            lease.ack()
    await until(lambda: scheduler.queue.counts().calls == 0)


async def test_a_search_is_not_joined_with_products(open_scheduler: Open) -> None:
    scheduler = await open_scheduler(SEVERAL, spider=SearchSpider)
    search = ApiCall.search(keyword="x", page=1, page_size=50)
    calls = [ApiCall.product(7), search, ApiCall.product(8)]
    scheduler.queue.push(QueueEntry(call) for call in calls)
    requests = [await until(scheduler.next_request) for _ in range(3)]
    assert [request.call for request in requests] == calls


async def test_a_later_try_of_several_calls_waits_call_by_call(open_scheduler: Open) -> None:
    scheduler = await open_scheduler(SEVERAL)
    produce(scheduler, 7, 8)
    await until(lambda: scheduler.worker.buffered == 2)
    together = scheduler.next_request()
    assert together is not None
    assert sorted(together.call.product_ids) == [7, 8]
    assert scheduler.enqueue_request(together.retried(3600))
    await until(lambda: scheduler.queue.counts().delayed == 2)
    assert scheduler.queue.counts().leased == 0


async def test_a_retry_after_a_recovery_is_made_at_once(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, 7)
    request = await until(scheduler.next_request)
    retry = request.retry_now("token")
    assert scheduler.enqueue_request(retry)
    assert scheduler.next_request() is retry
    assert scheduler.queue.counts().leased == 1


async def test_no_more_are_in_flight_than_may_be_on_the_wire_or_wait_for_the_database(
    open_scheduler: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "MOST_UNSTORED", 2)
    scheduler = await open_scheduler({"CONCURRENT_REQUESTS": 2})
    produce(scheduler, *range(1, 9))
    requests = [await until(scheduler.next_request) for _ in range(4)]
    await until(lambda: len(scheduler) == 4)
    assert scheduler.next_request() is None
    requests[0].leases[0].ack()
    assert scheduler.next_request() is not None


async def test_what_the_crawl_begins_with_is_queued_and_then_it_ends(open_scheduler: Open) -> None:
    scheduler = await open_scheduler(ids="7,8")
    for _ in range(2):
        request = await until(scheduler.next_request)
        assert scheduler.has_pending_requests()
        request.leases[0].ack()
    await until(lambda: not scheduler.has_pending_requests())
    await until(lambda: reasons(scheduler) == ["finished"])


async def test_a_source_that_cannot_be_read_to_its_end_is_incomplete(
    open_scheduler: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def calls(_: ProductSpider) -> AsyncIterator[tuple[ApiCall, int]]:
        yield ApiCall.product(7), 0
        raise OSError("the disk is gone")

    monkeypatch.setattr(ProductSpider, "calls", calls)
    scheduler = await open_scheduler(ids="7,8")
    await until(lambda: reasons(scheduler) == ["incomplete"])
    assert "What the crawl begins with cannot be read to its end" in caplog.text


@pytest.mark.parametrize("readable", [True, False])
async def test_what_redis_forgot_is_read_again_where_that_can_be(
    open_scheduler: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    readable: bool,
) -> None:
    monkeypatch.setattr(source, "REMEMBERED_ENTRIES", 1)
    monkeypatch.setattr(ProductSpider, "can_read_again", lambda _: readable)
    scheduler = await open_scheduler(ids="7,8,9")
    request = await until(scheduler.next_request)
    scheduler.server.flushall()
    request.leases[0].ack()
    # What was leased is no longer; Redis says so with the next lease.
    await until(lambda: len(scheduler) == 0)
    if not readable:
        await until(lambda: reasons(scheduler) == ["incomplete"])
        assert "from entry number 1 on, and it cannot be read a second time" in caplog.text
        return
    made = set()
    while len(made) < 3:
        request = await until(scheduler.next_request)
        made.add(request.call.params["product_id"])
        request.leases[0].ack()
    assert made == {7, 8, 9}
    await until(lambda: reasons(scheduler) == ["finished"])
    assert scheduler.stats.get_value("ali1688/queue/sources_read_again") == 1


async def test_an_idle_worker_ends_when_it_is_told_to(open_scheduler: Open) -> None:
    scheduler = await open_scheduler(idle="0.2")
    produce(scheduler, 7)
    request = await until(scheduler.next_request)
    request.leases[0].ack()
    await until(lambda: reasons(scheduler) == ["finished"])


async def test_closing_gives_back_what_is_not_done(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, *range(1, 10))
    done, _ = [await until(scheduler.next_request) for _ in range(2)]
    await until(lambda: len(scheduler) == 7)
    done.leases[0].ack()
    await maybe_deferred_to_future(scheduler.close("shutdown"))
    counts = scheduler.queue.counts()
    assert (counts.ready, counts.leased) == (8, 0)
    assert scheduler.stats.get_value("ali1688/leases/released") == 8


async def test_what_is_buffered_is_given_back_as_soon_as_the_crawl_closes(
    open_scheduler: Open,
) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, *range(1, 10))
    in_flight = await until(scheduler.next_request)
    await until(lambda: len(scheduler) == 8)
    scheduler.crawler.engine._slot.closing = object()  # type: ignore[union-attr]
    await until(lambda: scheduler.queue.counts().ready == 8)
    assert scheduler.queue.counts().leased == 1
    in_flight.leases[0].ack()
    await until(lambda: scheduler.queue.counts().leased == 0)


async def test_it_takes_no_pickles(open_scheduler: Open) -> None:
    with pytest.raises(ConfigurationError, match="SCHEDULER_SERIALIZER"):
        await open_scheduler({"SCHEDULER_SERIALIZER": "scrapy_redis.picklecompat"})


async def test_only_calls_can_be_queued(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    with pytest.raises(TypeError, match="only leased calls can be queued again, not <GET"):
        scheduler.enqueue_request(Request("https://gw.api.1688.com"))


async def test_a_defect_closes_the_crawl_instead_of_standing_still(
    open_scheduler: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = await open_scheduler()

    def lease(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(scheduler.queue, "lease", lease)
    await until(lambda: reasons(scheduler) == ["queue_failed"])
    name = "ali1688_spider.scheduling.worker"
    expected = (name, logging.ERROR, "The queue cannot be worked on any further")
    assert expected in caplog.record_tuples
