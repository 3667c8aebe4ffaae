from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.lease import Lease, QueueEntry
from ali1688_spider.scheduling.steering import QueueCounts
from tests.scheduling.leases import again, done, products, release, retry

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from ali1688_spider.scheduling.queue import LeaseQueue

    MakeQueue = Callable[..., LeaseQueue]


def lease_ids(queue: LeaseQueue, count: int = 100) -> list[int]:
    return [int(leased.message) for leased in queue.lease(count).leases]


def lease_one(queue: LeaseQueue) -> Lease:
    (leased,) = queue.lease(1).leases
    return leased


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


def test_a_lost_lease_changes_nothing(make_queue: MakeQueue, queue: LeaseQueue, clock: Any) -> None:
    other = make_queue()
    queue.push(products(1))
    lost = lease_one(queue)
    clock.leases_run_out()
    taken = lease_one(other)

    settled = [done(lost, products(7)), retry(lost, 0), again(lost, 0), release(lost)]
    assert queue.settle(settled) == settled
    assert queue.counts() == QueueCounts(0, 0, 0, 1, None)
    assert other.settle([done(taken)]) == []


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


def test_a_silent_workers_calls_go_to_others(
    make_queue: MakeQueue, queue: LeaseQueue, clock: Any
) -> None:
    other = make_queue()
    queue.push(products(1, 2, 3))
    assert lease_ids(queue, 2) == [1, 2]
    assert lease_ids(other, 1) == [3]
    clock.leases_run_out()
    assert other.heartbeat() is False

    answer = other.lease(10)

    assert [(int(call.message), call.attempt) for call in answer.leases] == [(1, 2), (2, 2)]
    assert answer.reclaimed == 2
    assert answer.counts == QueueCounts(0, 0, 0, 3, None)


def test_a_heartbeat_keeps_the_leases(
    make_queue: MakeQueue, queue: LeaseQueue, clock: Any, client: redis.Redis
) -> None:
    queue.push(products(1))
    queue.heartbeat()
    assert lease_ids(queue) == [1]
    assert queue.heartbeat() is True
    clock.leases_run_out()
    assert queue.heartbeat() is False
    assert queue.heartbeat() is True

    assert make_queue().lease(1).reclaimed == 0
    expiry = client.zscore(queue.keys.workers, str(queue.worker))
    assert isinstance(expiry, float)
    assert expiry - client.time()[0] * 1000 == pytest.approx(60_000, abs=5_000)


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


def test_a_call_that_kills_its_workers_is_refused(make_queue: MakeQueue, clock: Any) -> None:
    queue = make_queue(max_attempts=2)
    queue.push(products(1))
    for attempt in (1, 2):
        assert lease_one(queue).attempt == attempt
        clock.leases_run_out()
        queue = make_queue(max_attempts=2)
    for attempt in (3, 4):
        (refused,) = queue.lease(1).leases
        assert (refused.message, refused.call) == (b"1", ApiCall.product(1))
        assert refused.attempt == attempt
        assert refused.refusal == (
            f"tried {attempt - 1} times without success; "
            f"{attempt - 1} of the workers that tried fell silent"
        )
        clock.leases_run_out()
        queue = make_queue(max_attempts=2)
    (refused,) = queue.lease(1).leases
    assert queue.settle([done(refused)]) == []
    assert len(queue) == 0


@pytest.mark.parametrize("entry", [b"\x80\x04\x95", b'{"url": "http://proxy"}', b"x" * 5000])
def test_what_is_no_call_is_refused(queue: LeaseQueue, client: redis.Redis, entry: bytes) -> None:
    client.zadd(queue.keys.ready, {entry: 0})
    queue.push(products(1))

    refused, call = sorted(queue.lease(10).leases, key=lambda lease: lease.message == b"1")

    assert (call.message, call.refusal) == (b"1", "")
    assert (refused.message, refused.call, refused.attempt) == (entry, None, 1)
    assert refused.refusal
    assert queue.settle([done(refused)]) == []


def test_leases_whose_answer_was_lost_are_given_back(queue: LeaseQueue) -> None:
    queue.push(products(1, 2, 3, 4))
    held = queue.lease(1).leases
    queue.lease(2, held)

    batch = queue.lease(1, held)
    assert [int(lease.message) for lease in batch.leases] == [4]
    assert batch.surplus == 2
    assert queue.give_back([*held, *batch.leases]) == 2
    leases = queue.lease(10, [*held, *batch.leases]).leases
    assert [(int(lease.message), lease.attempt) for lease in leases] == [(2, 1), (3, 1)]


def test_leases_that_a_crash_of_redis_brought_back_are_given_back(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    queue.push(products(1, 2))
    first, second = queue.lease(2).leases
    before = {key: client.dump(key) for key in (queue.keys.leased, queue.keys.leases)}
    assert queue.settle([done(first)]) == []
    for key, value in before.items():
        client.restore(key, 0, value, replace=True)  # type: ignore[arg-type]

    assert queue.lease(9, [second]).surplus == 1
    assert queue.give_back([second]) == 1
    assert lease_ids(queue) == [1]
    assert queue.settle([done(second)]) == []


def test_a_worker_that_leaves_gives_all_back(queue: LeaseQueue, client: redis.Redis) -> None:
    queue.push(products(1, 2, 3))
    assert lease_ids(queue, 2) == [1, 2]

    assert queue.give_back(leaving=True) == 2
    assert queue.give_back(leaving=True) == 0
    assert client.zcard(queue.keys.workers) == 0
    leased = queue.lease(3).leases
    assert [(call.message, call.attempt) for call in leased] == [(b"1", 1), (b"2", 1), (b"3", 1)]


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


def test_a_worker_learns_which_of_its_calls_others_have(
    queue: LeaseQueue, make_queue: MakeQueue, clock: Any
) -> None:
    queue.push(products(1, 2, 3))
    held = queue.lease(2).leases
    clock.leases_run_out()
    other = make_queue()
    assert lease_ids(other, 1) == [1]

    assert queue.lease(0, held).surplus == -2
    assert queue.find_lost(held) == list(held)
    assert lease_ids(queue) == [2, 3]
    assert queue.find_lost(held) == list(held)


def test_calls_of_silent_workers_can_be_left_to_them(
    queue: LeaseQueue, make_queue: MakeQueue, clock: Any
) -> None:
    queue.push(products(1))
    queue.lease(1)
    clock.leases_run_out()
    other = make_queue()

    assert other.lease(1, reclaim=False).leases == ()
    assert other.lease(1).reclaimed == 1


def test_of_calls_that_may_kill_workers_a_worker_has_one_at_most(
    queue: LeaseQueue, make_queue: MakeQueue, clock: Any
) -> None:
    queue.push(products(1, 2, 3))
    for _ in range(2):
        make_queue().lease(9)
        clock.leases_run_out()
    queue.push(products(4, 5))

    (candidate, *others) = queue.lease(9).leases
    assert (int(candidate.message), candidate.attempt, candidate.crash_count) == (1, 3, 2)
    assert [(int(leased.message), leased.crash_count) for leased in others] == [(4, 0), (5, 0)]
    assert queue.lease(9, [candidate]).leases == ()
    assert lease_ids(make_queue()) == [2]
    queue.settle([done(candidate)])
    assert lease_ids(queue) == [3]


@pytest.mark.parametrize("max_attempts", [2, 3, 5])
def test_a_call_that_kills_workers_takes_no_other_with_it(
    make_queue: MakeQueue, clock: Any, max_attempts: int
) -> None:
    queue = make_queue(max_attempts=max_attempts)
    queue.push(products(*range(1, 8)))
    made, deaths = set(), 0
    while True:
        worker = make_queue(max_attempts=max_attempts)
        leases = worker.lease(9).leases
        while all(int(lease.message) != 4 for lease in leases):
            made |= {int(lease.message) for lease in leases}
            worker.settle(map(done, leases))
            leases = worker.lease(9).leases
        if any(lease.refusal for lease in leases):
            break
        deaths += 1
        clock.leases_run_out()

    assert deaths == max_attempts
    (refused,) = [lease for lease in leases if lease.refusal]
    assert (int(refused.message), refused.attempt) == (4, max_attempts + 1)
    made |= {int(lease.message) for lease in leases if lease is not refused}
    worker.settle(map(done, leases))
    while leases := worker.lease(9).leases:
        made |= {int(lease.message) for lease in leases}
        worker.settle(map(done, leases))
    assert made == {1, 2, 3, 5, 6, 7}


@pytest.mark.parametrize("outcome", [done, again])
def test_what_is_done_is_no_poison_candidate(
    queue: LeaseQueue, make_queue: MakeQueue, clock: Any, outcome: Any
) -> None:
    queue.push(products(1))
    make_queue().lease(1)
    clock.leases_run_out()
    leased = lease_one(queue)
    assert leased.crash_count == 1

    queue.settle([outcome(leased, 0) if outcome is again else outcome(leased)])

    queue.push(products(1))
    assert lease_one(queue).crash_count == 0
    assert queue.server.exists(queue.keys.losses) == 0
