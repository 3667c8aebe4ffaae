"""Chance kills, freezes and stops workers, producers and Redis; whatever was pushed is stored.

Chance is drawn from a seed, which is printed; ``CHAOS_SEED`` in the environment repeats it.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.harness import FIRST_PRODUCT, Cluster, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness import Process

SHORT_SECONDS = 10.0
WORKERS = 3
PRODUCTS = 100_000  # that the gateway has
MOST_QUEUED = 2000
LEASE_SECONDS = 2.0
SETTINGS = {"ALI1688_LEASE_SECONDS": str(LEASE_SECONDS), "ALI1688_CACHE_TTL": "10"}


class Chaos:
    """A cluster at work, and what is done to it.

    Attributes:
        pushed: Ids of all products that were pushed.
        malformed: The messages that are no products.
        events: How often what happened.
    """

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self._cluster = cluster
        self._dice = dice
        self._workers = [cluster.start() for _ in range(WORKERS)]
        self._frozen: dict[int, float] = {}
        self._redis_back_at: float | None = None
        self._next_product = FIRST_PRODUCT
        self._files = 0
        self._push: Process | None = None
        self._pushed_file: list[int] = []
        self.pushed: set[int] = set()
        self.malformed: set[str] = set()
        self.events: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        """Let things happen for so long; then let everything come to its end."""
        end = time.monotonic() + seconds
        happenings: dict[Callable[[], None], int] = {
            self._produce: 30,
            self._start_push: 4,
            self._kill_push: 2,
            self._kill_worker: 6,
            self._stop_worker: 2,
            self._freeze_worker: 3,
            self._kill_redis: 2,
        }
        while time.monotonic() < end:
            (happening,) = self._dice.choices(list(happenings), list(happenings.values()))
            happening()
            self._mend()
            time.sleep(self._dice.uniform(0, 0.3))
        self._calm_down()

    def _produce(self) -> None:
        """Put messages on the start list; some of them for the second time, some malformed."""
        if self._redis_back_at or self._cluster.counts.calls > MOST_QUEUED:
            return
        again = self._dice.sample(sorted(self.pushed), min(5, len(self.pushed)))
        nonsense = [
            f"nonsense {self._dice.getrandbits(32)}" for _ in range(self._dice.randrange(3))
        ]
        ids = self._new_ids(self._dice.randrange(100))
        messages: list[int | str | bytes] = [*ids, *again, *nonsense]
        if not messages:
            return
        self._dice.shuffle(messages)
        self._cluster.produce(messages)
        self.pushed.update(ids)
        self.malformed.update(nonsense)
        self.events["messages"] += len(messages)

    def _start_push(self) -> None:
        """Push a file, the last one once more if its push was killed."""
        if self._push is not None:
            if self._push.is_running:
                return
            if self._push.exit_code == 0:
                self._pushed_file = []
        if not self._pushed_file:
            self._pushed_file = self._new_ids(400)
            self._files += 1
            lines = "\n".join(map(str, self._pushed_file))
            self._file.write_text(lines)
        self._push = self._cluster.run("push", "product", "--file", str(self._file))
        self.pushed.update(self._pushed_file)
        self.events["pushes"] += 1

    def _kill_push(self) -> None:
        if self._push is not None and self._push.is_running:
            self._push.kill()
            self.events["pushes killed"] += 1

    def _kill_worker(self) -> None:
        self._workers[self._choose()].kill()
        self.events["workers killed"] += 1

    def _stop_worker(self) -> None:
        self._workers[self._choose()].terminate()
        self.events["workers stopped"] += 1

    def _freeze_worker(self) -> None:
        place = self._choose()
        if place not in self._frozen and self._workers[place].is_running:
            self._workers[place].freeze()
            self._frozen[place] = time.monotonic() + self._dice.uniform(0.5, 2) * LEASE_SECONDS
            self.events["workers frozen"] += 1

    def _kill_redis(self) -> None:
        if self._redis_back_at is None:
            self._cluster.kill_redis()
            self._redis_back_at = time.monotonic() + self._dice.uniform(0, 1.5) * LEASE_SECONDS
            self.events["Redis killed"] += 1

    def _mend(self, *, at_once: bool = False) -> None:
        """Start workers anew that ended, and bring back what was away for long enough."""
        now = float("inf") if at_once else time.monotonic()
        for place, until in list(self._frozen.items()):
            if now >= until:
                self._workers[place].thaw()
                del self._frozen[place]
        if self._redis_back_at is not None and now >= self._redis_back_at:
            self._cluster.restart_redis()
            self._redis_back_at = None
        for place, worker in enumerate(self._workers):
            if not worker.is_running:
                self._frozen.pop(place, None)
                self._workers[place] = self._cluster.start()

    def _calm_down(self) -> None:
        self._mend(at_once=True)
        while self._pushed_file:
            if self._push is not None and self._push.wait() == 0:
                break
            self._start_push()
        eventually(self._is_done, 120)
        assert [worker.stop() for worker in self._workers] == [0] * WORKERS

    def _is_done(self) -> bool:
        self._mend()
        try:
            return self._cluster.done
        except RedisConnectionError:
            return False

    @property
    def _file(self) -> Path:
        return self._cluster.folder / f"ids-{self._files}.txt"

    def _choose(self) -> int:
        return self._dice.randrange(WORKERS)

    def _new_ids(self, count: int) -> list[int]:
        first = self._next_product
        self._next_product = FIRST_PRODUCT + (first - FIRST_PRODUCT + count) % (PRODUCTS - 1000)
        return list(range(first, first + count))


@pytest.mark.chaotic
def test_whatever_happens_everything_pushed_is_stored(
    tmp_path: Path, request: pytest.FixtureRequest, mongo_uri: str, mongo_database: str
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    print(f"CHAOS_SEED={seed}")  # noqa: T201  # pytest shows it when the test fails
    minutes = request.config.getoption("--chaos-minutes")
    settings = {**SETTINGS, "MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    faults = ["--faults", "500,html,reset", "--fault-rate", "0.05", "--latency", "50"]
    with Cluster(tmp_path, settings, sandbox=faults) as cluster:
        chaos = Chaos(cluster, random.Random(seed))
        chaos.run(60 * minutes or SHORT_SECONDS)
        calls = cluster.gateway.calls

    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_uri)
    database = client[mongo_database]
    stored = {document["_id"] for document in database["products"].find({}, {})}
    given_up = {document["call"] for document in database["failed_calls"].find()}
    client.close()
    print(f"{dict(chaos.events)}, {len(stored)} products, {calls} calls")  # noqa: T201
    assert stored == chaos.pushed
    assert given_up == chaos.malformed
