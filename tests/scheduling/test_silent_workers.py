"""Workers that fall silent, die or leave, and calls that kill them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.steering import QueueCounts
from tests.scheduling.leases import again, done, lease_ids, lease_one, products, release, retry

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from ali1688_spider.scheduling.queue import LeaseQueue

    MakeQueue = Callable[..., LeaseQueue]


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
