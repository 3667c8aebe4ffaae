"""Random steps on a real Redis, each compared with a model that a reader can check by eye."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import Lease, QueueEntry
from ali1688_spider.scheduling.queue import POISON_CRASHES, LeaseBatch, LeaseQueue
from ali1688_spider.scheduling.source import CrawlProgress
from tests.scheduling.leases import again, done, release, retry

WORKERS = range(3)
CRAWLS = ["", "a", "b"]
product_ids = st.integers(1, 12)
entries = st.lists(
    st.builds(
        QueueEntry,
        st.builds(ApiCall.product, product_ids),
        st.integers(-2, 2),
        st.sampled_from([0.0, 0.0, 3600.0]),
    ),
    max_size=6,
)


@dataclass
class Call:
    """What the model knows of a queued call; it is leased when it has a worker."""

    priority: int
    order: int | None
    crawl: str
    delayed: bool = False
    attempts: int = 0
    crash_count: int = 0
    worker: int | None = None
    token: str = ""
    is_last: bool = False


@dataclass
class Model:
    calls: dict[int, Call] = field(default_factory=dict)
    orders: Any = field(default_factory=lambda: itertools.count(1))
    silent: set[int] = field(default_factory=set)

    def push(self, pushed: list[QueueEntry], crawl: str) -> int:
        merged: dict[int, QueueEntry] = {}
        for entry in pushed:
            known = merged.get(number_of(entry))
            if known is None or entry.priority > known.priority:
                merged[number_of(entry)] = entry
        before = len(self.calls)
        for number, entry in merged.items():
            call = self.calls.get(number)
            if call is None:
                order = None if entry.delay else next(self.orders)
                self.calls[number] = Call(entry.priority, order, crawl, bool(entry.delay))
                continue
            call.is_last = False
            call.crawl = crawl or call.crawl
            if entry.priority > call.priority:
                call.priority, call.order = entry.priority, next(self.orders)
        return len(self.calls) - before

    def lease(self, worker: int, count: int, *, due: set[int], candidates: int) -> list[int]:
        self.silent.discard(worker)
        for call in [call for call in self.calls.values() if call.worker in self.silent]:
            call.crash_count += 1
            self.give_back(call)
        self.silent.clear()
        for number in sorted(due, key=str):
            call = self.calls[number]
            call.delayed = False
            if call.order is None:
                call.order = next(self.orders)
        ready = [number for number, call in self.calls.items() if self.state(call) == "ready"]
        ready.sort(key=lambda number: (-self.calls[number].priority, self.calls[number].order))
        poisonous = [number for number in ready if self.calls[number].crash_count >= POISON_CRASHES]
        taken = [number for number in ready if number not in poisonous[candidates:]][:count]
        for number in taken:
            self.calls[number].worker = worker
            self.calls[number].attempts += 1
        return taken

    def give_back(self, call: Call) -> None:
        call.worker = None
        if call.is_last:
            self.calls = {number: each for number, each in self.calls.items() if each is not call}

    def clear(self) -> None:
        self.calls = {
            number: call for number, call in self.calls.items() if call.worker is not None
        }
        for call in self.calls.values():
            call.is_last = True

    def state(self, call: Call) -> str:
        if call.worker is not None:
            return "leased"
        return "delayed" if call.delayed else "ready"

    def numbers(self, state: str) -> set[int]:
        return {number for number, call in self.calls.items() if self.state(call) == state}


def number_of(entry: QueueEntry) -> int:
    return int(entry.call.encode())


class QueueMachine(RuleBasedStateMachine):
    client: Any

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        spider = type("Spider", (), {"name": "product"})
        self.queues = [LeaseQueue(self.client, spider, QUEUE_KEY, max_attempts=99) for _ in WORKERS]
        self.keys = self.queues[0].keys
        for digest in filter(None, CRAWLS):
            self.queues[0].crawls.begin(digest, 1.0)
        self.model = Model()
        self.leases: list[Lease] = []
        self.held: list[dict[bytes, Lease]] = [{} for _ in WORKERS]
        self.due: set[int] = set()

    @rule(pushed=entries, crawl=st.sampled_from(CRAWLS))
    def push(self, pushed: list[QueueEntry], crawl: str) -> None:
        assert self.queues[0].push(pushed, crawl) == self.model.push(pushed, crawl)

    @rule(pushed=entries, overlap=st.integers(0, 3), crawl=st.sampled_from(CRAWLS[1:]))
    def seed(self, pushed: list[QueueEntry], overlap: int, crawl: str) -> None:
        cursor = self.queues[0].crawls.begin(crawl, 1.0).cursor
        first = max(0, cursor - overlap)
        self.queues[0].crawls.enqueue(crawl, first, pushed)
        if len(pushed) > cursor - first:
            self.model.push(pushed[cursor - first :], crawl)

    @rule(worker=st.sampled_from(WORKERS), count=st.integers(0, 5))
    def lease(self, worker: int, count: int) -> None:
        candidates = self.candidates(worker)
        batch = self.lease_as_worker(worker, count)
        numbers = self.model.lease(worker, count, due=self.due, candidates=candidates)
        self.due.clear()
        assert [int(leased.message) for leased in batch.leases] == numbers
        for leased in batch.leases:
            call = self.model.calls[int(leased.message)]
            call.token = leased.token
            assert (leased.attempt, leased.priority) == (call.attempts, call.priority)
            assert leased.crash_count == call.crash_count
        self.leases.extend(batch.leases)

    def candidates(self, worker: int) -> int:
        """Return how many poison candidates a worker may lease."""
        held = self.held[worker].values()
        return int(all(lease.crash_count < POISON_CRASHES for lease in held))

    def lease_as_worker(self, worker: int, count: int) -> LeaseBatch:
        """Lease, drop what was lost, and give back what the worker knows nothing of."""
        queue, held = self.queues[worker], self.held[worker]
        batch = queue.lease(count, held.values())
        if batch.surplus < 0:
            self.drop_lost(worker)
        held.update({leased.message: leased for leased in batch.leases})
        if batch.surplus > 0:
            queue.give_back(held.values())
        return batch

    def drop_lost(self, worker: int) -> None:
        for lost in self.queues[worker].find_lost(self.held[worker].values()):
            del self.held[worker][lost.message]

    @rule(worker=st.sampled_from(WORKERS), count=st.integers(1, 5))
    def lose_the_answer_of_a_lease(self, worker: int, count: int) -> None:
        """The worker finds out with its next lease, and gives back what it knows nothing of."""
        self.drop_lost(worker)
        candidates = self.candidates(worker)
        self.queues[worker].lease(count, self.held[worker].values())
        lost = self.model.lease(worker, count, due=self.due, candidates=candidates)
        self.due.clear()
        assert self.lease_as_worker(worker, 0).leases == ()
        for number in lost:
            self.model.calls[number].worker = None
            self.model.calls[number].attempts -= 1

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(),
        action=st.sampled_from([done, retry, again, release]),
        delay=st.sampled_from([0.0, 3600.0]),
        children=entries,
    )
    def settle(self, data: Any, action: Any, delay: float, children: list[QueueEntry]) -> None:
        """A lease may have been lost, or be settled already."""
        leased = data.draw(st.sampled_from(self.leases))
        call = self.model.calls.get(int(leased.message))
        held = call is not None and call.worker is not None and call.token == leased.token
        if action in (retry, again):
            settled = action(leased, delay)
        else:
            settled = done(leased, children) if action is done else release(leased)
        worker = call.worker if call is not None and held else 0
        assert worker is not None
        stale = self.queues[worker].settle([settled])
        assert stale == ([] if held else [settled])
        if call is None or not held:
            return
        del self.held[worker][leased.message]
        if call.is_last:
            self.model.give_back(call)
            return
        self.model.push(settled.children, call.crawl)
        call.worker = None
        call.delayed = settled.delay > 0
        call.attempts = {done: 0, again: 0, retry: leased.attempt}.get(action, leased.attempt - 1)
        if action is done:
            del self.model.calls[int(leased.message)]
        elif action is again:
            call.crash_count = call.priority = 0
            call.order = None if settled.delay else next(self.model.orders)

    @rule(worker=st.sampled_from(WORKERS))
    def let_a_worker_be_silent(self, worker: int) -> None:
        self.client.zadd(self.keys.workers, {str(self.queues[worker].worker): 0}, xx=True)
        self.model.silent.add(worker)

    @rule(worker=st.sampled_from(WORKERS))
    def heartbeat(self, worker: int) -> None:
        is_known = (
            self.client.zscore(self.keys.workers, str(self.queues[worker].worker)) is not None
        )
        alive = self.queues[worker].heartbeat()
        assert alive == (is_known and worker not in self.model.silent)
        self.model.silent.discard(worker)

    @rule(worker=st.sampled_from(WORKERS))
    def let_a_worker_leave(self, worker: int) -> None:
        mine = [call for call in self.model.calls.values() if call.worker == worker]
        assert self.queues[worker].give_back(leaving=True) == len(mine)
        self.held[worker].clear()
        for call in mine:
            call.attempts -= 1
            self.model.give_back(call)
        self.model.silent.discard(worker)

    @rule()
    def clear(self) -> None:
        steering, leased = self.queues[0].steering, len(self.model.numbers("leased"))
        waiting = [call.message for call in steering.peek(99)]
        assert len(waiting) == len(self.model.calls) - leased
        assert steering.remove(waiting) == len(waiting)
        assert len(steering.end_leases()) == leased
        self.model.clear()
        self.due.clear()

    @rule()
    def let_delays_end(self) -> None:
        for member in self.client.zrange(self.keys.delayed, 0, -1):
            self.client.zadd(self.keys.delayed, {member: 0})
        self.due = self.model.numbers("delayed")

    @rule(numbers=st.lists(product_ids, min_size=1, max_size=4), worker=st.sampled_from(WORKERS))
    def read_messages(self, numbers: list[int], worker: int) -> None:
        self.client.lpush(self.keys.start, *numbers)
        batch = self.queues[worker].start_list.read()
        added = self.model.push([QueueEntry(ApiCall.product(number)) for number in numbers], "")
        assert batch is not None
        assert (batch.count, batch.added) == (len(numbers), added)

    @invariant()
    def each_call_is_in_one_place(self) -> None:
        members = {
            "ready": self.client.zrange(self.keys.ready, 0, -1),
            "delayed": self.client.zrange(self.keys.delayed, 0, -1),
            "leased": self.client.zrange(self.keys.leased, 0, -1),
        }
        for state, found in members.items():
            assert {int(member) for member in found} == self.model.numbers(state)
        assert set(self.client.hkeys(self.keys.leases)) == set(members["leased"])
        assert set(self.client.hkeys(self.keys.scores)) == set(members["delayed"])
        attempts = {int(k): int(v) for k, v in self.client.hgetall(self.keys.attempts).items()}
        assert attempts == {
            number: call.attempts
            for number, call in self.model.calls.items()
            if call.attempts and call.worker is None
        }
        losses = {int(k): int(v) for k, v in self.client.hgetall(self.keys.losses).items()}
        assert losses == {
            number: call.crash_count
            for number, call in self.model.calls.items()
            if call.crash_count
        }

    @invariant()
    def each_crawl_knows_its_calls(self) -> None:
        for digest in CRAWLS[1:]:
            pending = sum(call.crawl == digest for call in self.model.calls.values())
            progress = self.queues[0].crawls.progress(digest)
            assert progress == CrawlProgress(complete=False, pending=pending)

    @invariant()
    def each_lease_has_a_worker_that_can_run_out(self) -> None:
        workers = {int(worker) for worker in self.client.zrange(self.keys.workers, 0, -1)}
        holders = {
            self.queues[call.worker].worker
            for call in self.model.calls.values()
            if call.worker is not None
        }
        assert holders <= workers

    @invariant()
    def workers_know_what_they_hold(self) -> None:
        for worker, leases in enumerate(self.held):
            held = {int(message) for message in leases}
            mine = {n for n, call in self.model.calls.items() if call.worker == worker}
            assert mine <= held


def test_random_steps_do_what_the_model_does(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    machine = type("QueueMachine", (QueueMachine,), {"client": client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    client.close()
