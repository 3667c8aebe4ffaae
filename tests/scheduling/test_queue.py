from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.lease import QueueEntry
from tests.scheduling.leases import again, done, lease_ids, lease_one, products, release, retry

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from ali1688_spider.scheduling.queue import LeaseQueue

    MakeQueue = Callable[..., LeaseQueue]


def test_calls_come_by_priority_and_then_in_order(queue: LeaseQueue) -> None:
    queue.push(products(5, 3, 4))
    queue.push(products(9, priority=-1000))
    queue.push(products(1, priority=1000))
    queue.push(products(8, 7, priority=7))

    assert lease_ids(queue) == [1, 8, 7, 5, 3, 4, 9]


def test_a_lease_says_what_it_is(queue: LeaseQueue) -> None:
    search = ApiCall.search(keyword="雨伞 \x00\"'", page=3, page_size=20)
    queue.push([QueueEntry(search, priority=-12)])

    leased = lease_one(queue)

    message = search.encode().encode()
    assert (leased.message, leased.call, leased.attempt) == (message, search, 1)
    assert (leased.priority, leased.crash_count, leased.refusal) == (-12, 0, "")


@pytest.mark.parametrize(("priority", "kept"), [(5000, 1000), (-5000, -1000), (999, 999)])
def test_priorities_are_clamped(queue: LeaseQueue, priority: int, kept: int) -> None:
    queue.push(products(1, priority=priority))

    assert lease_one(queue).priority == kept


def test_order_is_exact_at_the_end_of_the_sequence(queue: LeaseQueue, client: redis.Redis) -> None:
    client.set(queue.keys.sequence, 2**34 - 4)

    queue.push(products(3, 1, 2, priority=-1000))

    assert lease_ids(queue) == [3, 1, 2]


def test_a_queued_call_is_not_queued_again(queue: LeaseQueue) -> None:
    assert queue.push(products(1, 2, 2, 3)) == 3
    assert queue.push(products(3, 4)) == 1
    assert lease_ids(queue, 2) == [1, 2]
    assert queue.push(products(1, 2, 3, 4)) == 0
    assert queue.push(products(5, delay=60)) == 1
    assert queue.push(products(5)) == 0
    counts = queue.counts()
    assert (counts.ready, counts.delayed, counts.leased) == (2, 1, 2)
    assert len(queue) == 5


def test_a_call_that_is_done_may_be_queued_again(queue: LeaseQueue) -> None:
    queue.push(products(1))
    queue.settle([done(lease_one(queue))])

    assert len(queue) == 0
    assert queue.push(products(1)) == 1


def test_a_million_is_pushed_in_parts(queue: LeaseQueue) -> None:
    assert queue.push(entry for entry in products(*range(1, 2502))) == 2501
    assert lease_ids(queue, 3) == [1, 2, 3]


def test_a_higher_priority_moves_a_ready_call_forward(queue: LeaseQueue) -> None:
    queue.push(products(1, 2, 3))
    queue.push(products(3, priority=1))
    queue.push(products(2, priority=-1))

    assert lease_ids(queue) == [3, 1, 2]


def test_a_higher_priority_moves_a_delayed_call_when_it_is_due(
    queue: LeaseQueue, clock: Any
) -> None:
    queue.push(products(1))
    queue.push(products(2, delay=60))
    queue.push(products(2, priority=1))

    assert lease_ids(queue) == [1]
    queue.push(products(3))
    clock.delays_end()
    assert lease_ids(queue) == [2, 3]


def test_a_higher_priority_of_a_leased_call_holds_for_its_retry(queue: LeaseQueue) -> None:
    queue.push(products(1))
    leased = lease_one(queue)
    queue.push(products(2))
    queue.push(products(1, 3, priority=1))
    queue.settle([retry(leased, 0)])

    assert lease_ids(queue) == [1, 3, 2]


def test_the_highest_priority_in_one_batch_wins(queue: LeaseQueue) -> None:
    twice = products(3, priority=5) + products(3) + products(2) + products(2, priority=4)

    assert queue.push(products(1) + twice) == 3
    assert lease_ids(queue) == [3, 2, 1]


def test_a_ready_call_is_not_delayed_by_a_push(queue: LeaseQueue) -> None:
    queue.push(products(1))

    assert queue.push(products(1, delay=60)) == 0
    assert lease_ids(queue) == [1]


def test_delayed_calls_come_when_they_are_due(queue: LeaseQueue, clock: Any) -> None:
    queue.push(products(1, delay=3600))
    queue.push(products(2, delay=60))

    assert lease_ids(queue) == []
    assert queue.counts().next_due == pytest.approx(60, abs=5)
    queue.push(products(3))
    clock.delays_end()
    assert queue.counts().next_due == 0
    assert lease_ids(queue) == [3, 1, 2]
    assert queue.counts().next_due is None


def test_a_retry_keeps_its_place_and_its_attempts(queue: LeaseQueue, clock: Any) -> None:
    queue.push(products(1, 2))
    first = lease_one(queue)
    queue.settle([retry(first, 60)])

    assert queue.counts().delayed == 1
    clock.delays_end()
    second = lease_one(queue)
    assert (second.message, second.attempt) == (b"1", 2)
    queue.settle([retry(second, 0)])
    assert lease_one(queue).attempt == 3


def test_an_uncounted_retry_is_the_same_attempt(queue: LeaseQueue, clock: Any) -> None:
    queue.push(products(1))
    queue.settle([retry(lease_one(queue), 60, counted=False)])
    clock.delays_end()

    assert lease_one(queue).attempt == 1


def test_delayed_calls_are_expedited(queue: LeaseQueue) -> None:
    queue.push([*products(1, 2, delay=60), *products(3, 4)])
    calls = {ApiCall.product(each): priority for each, priority in ((1, 5), (2, None), (9, 5))}

    assert queue.expedite(calls) == 2
    assert queue.expedite({ApiCall.product(4): 7}) == 1

    counts = queue.counts()
    assert (counts.ready, counts.delayed) == (3, 1)
    leased = queue.lease(10).leases
    assert [(int(call.message), call.priority) for call in leased] == [(4, 7), (1, 5), (3, 0)]
    # Made once, they wait as all others do.
    queue.settle([again(call, 60) for call in leased])
    counts = queue.counts()
    assert (counts.ready, counts.delayed) == (0, 4)


@pytest.mark.parametrize("priority", [None, 5])
def test_what_is_expedited_while_it_is_leased_is_made_once_more(
    queue: LeaseQueue, priority: int | None
) -> None:
    queue.push(products(1, 2, 3, 4))
    first, second, third, fourth = queue.lease(4).leases
    assert queue.expedite({ApiCall.product(each): priority for each in (1, 2, 3)}) == 3
    queue.push(products(1, priority=1))  # which leaves it expedited

    assert queue.settle([again(first, 60), done(second), retry(third, 60), again(fourth, 60)]) == []

    assert (queue.counts().ready, queue.counts().delayed) == (1, 2)
    lease = lease_one(queue)
    assert (int(lease.message), lease.attempt) == (1, 1)
    queue.settle([again(lease, 60)])
    assert (queue.counts().ready, queue.counts().delayed) == (0, 3)


def test_an_expedited_lease_that_is_given_back_is_made_once(queue: LeaseQueue) -> None:
    queue.push(products(1))
    lease_one(queue)
    queue.expedite({ApiCall.product(1): 5})
    assert queue.give_back() == 1
    lease = lease_one(queue)
    assert lease.priority == 5
    queue.settle([again(lease, 60)])
    assert (queue.counts().ready, queue.counts().delayed) == (0, 1)


def test_a_call_whose_last_lease_it_is_is_not_expedited(queue: LeaseQueue) -> None:
    queue.push(products(1))
    lease = lease_one(queue)
    queue.steering.end_leases()
    queue.expedite({ApiCall.product(1): 5})
    queue.settle([again(lease, 0)])
    assert len(queue) == 0


@pytest.mark.parametrize("delay", [0, 60])
def test_again_begins_anew_behind_the_others(queue: LeaseQueue, clock: Any, delay: float) -> None:
    queue.push(products(1, priority=1))
    queue.settle([retry(lease_one(queue), 0)])
    second = lease_one(queue)
    queue.push(products(2, 3, priority=1))

    queue.settle([again(second, delay)])
    clock.delays_end()

    leased = queue.lease(10).leases
    assert [(int(call.message), call.attempt, call.priority) for call in leased] == [
        (2, 1, 1),
        (3, 1, 1),
        (1, 1, 0),  # its priority was for once
    ]


def test_a_released_call_goes_back_as_if_it_had_not_been_leased(queue: LeaseQueue) -> None:
    queue.push(products(1, 2, 3))
    first, second = queue.lease(2).leases

    queue.settle([release(second), release(first)])

    leased = queue.lease(3).leases
    assert [(call.message, call.attempt) for call in leased] == [(b"1", 1), (b"2", 1), (b"3", 1)]


def test_children_are_queued_along_with_the_end_of_their_parent(queue: LeaseQueue) -> None:
    queue.push(products(1, 2))
    parent = lease_one(queue)

    stale = queue.settle([done(parent, products(2, 3) + products(4, priority=9))])

    assert stale == []
    assert lease_ids(queue) == [4, 2, 3]


def test_a_call_may_lead_to_many_others(queue: LeaseQueue) -> None:
    queue.push(products(1, 2))
    first, second = queue.lease(2).leases

    settled = [
        done(first, products(*range(10, 9_010))),
        done(second, products(*range(9_000, 9_020))),
    ]
    assert queue.settle(settled) == []
    assert queue.counts().ready == 9_010
    assert lease_ids(queue, 2) == [10, 11]


def test_a_lease_ends_once(queue: LeaseQueue) -> None:
    queue.push(products(1))
    leased = lease_one(queue)
    second = done(leased)

    assert queue.settle([retry(leased, 0), second]) == [second]
    assert lease_ids(queue) == [1]


def test_many_outcomes_are_settled_in_parts(queue: LeaseQueue) -> None:
    queue.push(products(*range(1, 502)))
    leased = queue.lease(1000).leases
    queue.give_back(leaving=True)

    settled = [done(lease) for lease in leased]
    assert queue.settle(settled) == settled
    assert len(leased) == 501


def test_the_work_of_one_lease_is_bounded(
    make_queue: MakeQueue, queue: LeaseQueue, clock: Any
) -> None:
    queue.push(products(*range(1, 301)))
    assert len(lease_ids(queue, 300)) == 300
    clock.leases_run_out()
    other = make_queue()

    assert [other.lease(0).reclaimed for _ in range(4)] == [100, 100, 100, 0]

    queue.push(products(*range(1000, 1300), delay=60))
    clock.delays_end()
    assert [other.lease(0).counts.delayed for _ in range(4)] == [200, 100, 0, 0]


@pytest.mark.parametrize("entry", [b"\x80\x04\x95", b'{"url": "http://proxy"}', b"x" * 5000])
def test_what_is_no_call_is_refused(queue: LeaseQueue, client: redis.Redis, entry: bytes) -> None:
    client.zadd(queue.keys.ready, {entry: 0})
    queue.push(products(1))

    refused, call = sorted(queue.lease(10).leases, key=lambda lease: lease.message == b"1")

    assert (call.message, call.refusal) == (b"1", "")
    assert (refused.message, refused.call, refused.attempt) == (entry, None, 1)
    assert refused.refusal
    assert queue.settle([done(refused)]) == []


def test_nothing_is_left_of_calls_that_are_done(
    queue: LeaseQueue, clock: Any, client: redis.Redis
) -> None:
    queue.push(products(1, 2, 3))
    queue.settle(retry(call, 60) for call in queue.lease(3).leases)
    clock.delays_end()
    queue.settle(done(call) for call in queue.lease(3).leases)
    queue.give_back(leaving=True)

    left = {key if isinstance(key, str) else key.decode() for key in client.keys("*")}
    assert left == {queue.keys.sequence, queue.keys.times}


def test_clear_leaves_the_producers_list(queue: LeaseQueue, client: redis.Redis) -> None:
    client.lpush(queue.keys.start, "5")
    queue.push(products(1))
    lease_one(queue)

    queue.clear()

    assert client.keys("*") in ([queue.keys.start], [queue.keys.start.encode()])


def test_scripts_are_loaded_again_after_redis_forgot_them(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    queue.push(products(1))
    client.script_flush()

    assert lease_ids(queue) == [1]


def test_a_product_costs_little_memory(queue: LeaseQueue, client: redis.Redis) -> None:
    queue.push(products(*range(610_000_000_000, 610_000_010_000)))

    total = sum(client.memory_usage(key, samples=0) or 0 for key in queue.keys)
    assert total / 10_000 < 120
