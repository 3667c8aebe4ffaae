"""The run of one policy: slots of the budget, a queue by due time, and what is stored when."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Protocol

from ali1688_spider.watching.schedule import FIRST_PRIORITY
from ali1688_spider.watching.watched_product import DAY

if TYPE_CHECKING:
    from ali1688_spider.watching.schedule import Budget
    from benchmarks.freshness.populations import Population

NEVER = math.inf


@dataclass(frozen=True)
class World:
    """What a policy is up against.

    Attributes:
        population: The products.
        told: Part of the changes of which a hint tells at once.
        followed: Part of the products of whose changes hints tell.
        page: How many watched products each page shows; 0 without pages.
        shown: Part of the changes that show on a page.
        at_once: Products that one call asks for.
        seed: Decides which changes are told and shown.
    """

    population: Population
    told: float = 0.0
    followed: float = 1.0
    page: int = 0
    shown: float = 0.0
    at_once: int = 1
    seed: int = 0

    def told_parts(self) -> list[float]:
        """Return, of each product, the part of its changes of which a hint tells."""
        random_ = random.Random(self.seed)
        number = len(self.population)
        followed = set(random_.sample(range(number), round(number * self.followed)))
        return [self.told if index in followed else 0.0 for index in range(number)]

    def hints(self) -> list[tuple[float, int]]:
        """Return time and product of each hint, in their order."""
        random_ = random.Random(self.seed)
        return sorted(
            (change, index)
            for index, (truth, told) in enumerate(
                zip(self.population, self.told_parts(), strict=True)
            )
            for change in truth.changes
            if random_.random() < told
        )

    def pages(self) -> list[range]:
        """Return the products of each page."""
        number = len(self.population)
        firsts = range(0, number, self.page) if self.page else ()
        return [range(first, min(number, first + self.page)) for first in firsts]

    def visible(self) -> list[list[float]]:
        """Return, of each product, the times of the changes that a page shows."""
        random_ = random.Random(self.seed)
        return [
            [change for change in truth.changes if random_.random() < self.shown]
            for truth in self.population
        ]


class Policy(Protocol):
    """Decides when calls are made; times are in seconds from the start."""

    def fetched(self, index: int, now: float, changed: bool | None) -> float:  # noqa: FBT001
        """Return in how many seconds a product is fetched again; at first, *changed* is None."""
        ...

    def hinted(self, index: int, now: float, within: float = 0.0) -> float | None:
        """Return the priority of a fetch at once; None leaves it to the schedule.

        Below 0, it is made when nothing else is due. The change happened *within* so many seconds.
        """
        ...

    def looked(self, page: int, moved: int, now: float) -> float | None:
        """Return in how many seconds a page is looked at again that shows so many *moved*."""
        ...


@dataclass
class Result:
    """What one run came to.

    Attributes:
        fresh: Part of the products whose stored copy is right, average over the whole time.
        fresh_late: The same over the second half.
        ages: Time since the fetch of the stored copy, in seconds; a sample.
        outdated: Time since the stored copy stopped being right, 0 while it is; a sample.
        used: Part of the budget that was spent.
        looks: Part of the budget that looks at pages took.
    """

    fresh: float
    fresh_late: float
    ages: list[float]
    outdated: list[float]
    used: float
    looks: float


class Store:
    """What is stored of each product, and how long it was right."""

    def __init__(self, population: Population, end: float) -> None:
        self.population = population
        self.end = end
        self.fetched_at: list[float | None] = [None] * len(population)
        self.right_until = [0.0] * len(population)
        self.fresh_seconds = [0.0, 0.0]  # in the first and in the second half
        self.ages: list[float] = []
        self.outdated: list[float] = []

    def fetch(self, index: int, now: float) -> bool | None:
        """Store a product; return whether it had changed, None for the first time."""
        changed = self._count(index, now)
        changes = self.population[index].changes
        following = bisect_right(changes, now)
        self.fetched_at[index] = now
        self.right_until[index] = changes[following] if following < len(changes) else NEVER
        return changed

    def sample(self, now: float) -> None:
        """Note the ages of all stored copies."""
        for fetched_at, until in zip(self.fetched_at, self.right_until, strict=True):
            if fetched_at is not None:
                self.ages.append(now - fetched_at)
                self.outdated.append(max(0.0, now - until))

    def close(self) -> None:
        """Count what is stored at the end."""
        for index in range(len(self.population)):
            self._count(index, self.end)

    def _count(self, index: int, now: float) -> bool | None:
        fetched_at, until = self.fetched_at[index], self.right_until[index]
        if fetched_at is None:
            return None
        half, until_ = self.end / 2, min(until, now)
        self.fresh_seconds[0] += max(0.0, min(until_, half) - fetched_at)
        self.fresh_seconds[1] += max(0.0, until_ - max(fetched_at, half))
        return until <= now


@dataclass
class Queue:
    """What is to be called: as in Redis, what is due by time, hinted products before or after it.

    A product is its index, page ``n`` is ``-1 - n``.
    """

    due: list[tuple[float, int]] = field(default_factory=list)
    first: list[tuple[float, int]] = field(default_factory=list)
    last: list[tuple[float, int]] = field(default_factory=list)
    places: dict[int, tuple[float, int] | None] = field(default_factory=dict)

    def put(self, what: int, due: float) -> None:
        """Have it called at this time."""
        self.places[what] = entry = (due, what)
        heappush(self.due, entry)

    def expedite(self, what: int, priority: float | None) -> None:
        """Have it called at once, unless there is no priority."""
        if priority is None:
            return
        entry = (-priority, what)
        if self.places[what] == entry:
            return
        self.places[what] = entry
        heappush(self.first if priority > 0 else self.last, entry)

    def take(self, now: float) -> int | None:
        """Return what is called now; None when there is nothing."""
        for heap in (self.first, self.due, self.last):
            while heap and self.places[heap[0][1]] != heap[0]:
                heappop(heap)
            if heap and (heap is not self.due or heap[0][0] <= now):
                what = heappop(heap)[1]
                self.places[what] = None
                return what
        return None


def simulate(
    policy: Policy, world: World, budget: Budget, days: float, served: float = 1.0
) -> Result:
    """Run one policy in one world; all products are due at the start.

    Args:
        policy: Knows the budget.
        world: What it is up against.
        budget: What may be spent, in products per second.
        days: Length of the run.
        served: Slots there really are per call of the budget.
    """
    store = Store(world.population, days * DAY)
    queue = Queue(first=[(-float(FIRST_PRIORITY), index) for index in range(len(world.population))])
    queue.places = dict(enumerate(queue.first))
    pages = Pages(world, store, policy, queue)
    hints = iter([*world.hints(), (NEVER, 0)])
    hint = next(hints)
    per_second = served * budget.calls_per_second / world.at_once
    slots = int(days * DAY * per_second)
    samples = random.Random(0)
    sample_at, used, looks = 0.0, 0, 0
    for slot in range(slots):
        now = slot / per_second
        while hint[0] <= now:
            at, index = hint
            if store.fetched_at[index] is not None:  # else its first fetch is due
                queue.expedite(index, policy.hinted(index, at))
            hint = next(hints)
        if now >= sample_at:
            store.sample(now)
            sample_at += DAY * samples.uniform(0.5, 1.5)
        for _ in range(world.at_once):
            what = queue.take(now)
            if what is None:
                break
            used += 1
            if what < 0:
                looks += 1
                pages.look(-1 - what, now)
                break
            queue.put(what, now + policy.fetched(what, now, store.fetch(what, now)))
    store.close()
    whole = len(world.population) * store.end
    first, second = store.fresh_seconds
    spent = slots * world.at_once
    return Result(
        (first + second) / whole,
        2 * second / whole,
        store.ages,
        store.outdated,
        used / spent,
        looks / spent,
    )


class Pages:
    """The pages of a world, and when each was looked at."""

    def __init__(self, world: World, store: Store, policy: Policy, queue: Queue) -> None:
        self.store, self.policy, self.queue = store, policy, queue
        self.products = world.pages()
        self.visible = world.visible() if self.products else []
        self.looked_at = [0.0] * len(self.products)
        for page in range(len(self.products)):
            queue.put(-1 - page, 0.0)

    def look(self, page: int, now: float) -> None:
        """Hint those that have changed visibly since the last look and the last fetch."""
        products, last = self.products[page], self.looked_at[page]
        moved = 0
        for index in products:
            fetched_at = self.store.fetched_at[index]
            if fetched_at is None:
                continue
            shown = self.visible[index]
            moves = bisect_right(shown, now) - bisect_right(shown, max(last, fetched_at))
            if moves:
                moved += 1
                within = now - max(last, fetched_at)
                self.queue.expedite(index, self.policy.hinted(index, now, within))
        self.looked_at[page] = now
        delay = self.policy.looked(page, moved, now)
        if delay is not None:
            self.queue.put(-1 - page, now + delay)
