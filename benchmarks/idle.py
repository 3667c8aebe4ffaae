"""What a worker costs that has nothing to do, and how soon it begins with what comes."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.contenders import PROJECT, STOCK
from benchmarks.counting_proxy import CountingProxy
from benchmarks.stage import FIRST_ID
from benchmarks.table import Table
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.scale import Scale
    from benchmarks.stage import Stage

EXPLANATION = """\
A worker whose queue is empty, watched for {seconds:.0f} s; then {pushes} ids are pushed with
`LPUSH`, one after the other, each {pause:g} s after the last. *Until the call* is the time from
the push to the call that the gateway sees."""

LONGEST_SECONDS = 60.0


def measure(stage: Stage, scale: Scale) -> list[Table]:
    rows = [_row(stage, scale, contender) for contender in (PROJECT, STOCK)]
    explanation = EXPLANATION.format(
        seconds=scale.idle_seconds, pushes=scale.idle_pushes, pause=scale.idle_pause
    )
    header = (
        *("worker", "round trips to Redis in 5 s", "CPU s in an hour"),
        *("until the call: median ms", "longest ms"),
    )
    return [Table("An idle worker", explanation, header, rows)]


def _row(stage: Stage, scale: Scale, contender: Contender) -> tuple[str | float, ...]:
    stage.clear()
    with CountingProxy(stage.redis_url) as proxy:
        environment = {**stage.environment, **contender.environment, "REDIS_URL": proxy.url}
        contender = replace(contender, environment=environment)
        with Worker(contender.command(0), environment, stage.folder / "idle") as worker:
            _begin(stage, contender, FIRST_ID)  # it is open, and has done something
            time.sleep(2 * scale.idle_pause)
            before, cpu_before = proxy.round_trips, worker.cpu_seconds
            time.sleep(scale.idle_seconds)
            round_trips = (proxy.round_trips - before) / scale.idle_seconds * 5
            cpu = (worker.cpu_seconds - cpu_before) / scale.idle_seconds * 3600
            waits = []
            for number in range(1, scale.idle_pushes + 1):
                waits.append(1000 * _begin(stage, contender, FIRST_ID + number))
                time.sleep(scale.idle_pause)
            worker.terminate()
            worker.finish()
    print(f"  {contender.name}: {round_trips:.2f} round trips in 5 s, {median(waits):.0f} ms")
    return (contender.name, round_trips, cpu, median(waits), max(waits))


def _begin(stage: Stage, contender: Contender, product_id: int) -> float:
    """Push an id; return the seconds until the gateway sees the call."""
    stage.forget_calls()
    pushed_at = time.time()
    stage.redis.lpush(contender.start_key, product_id)
    deadline = time.monotonic() + LONGEST_SECONDS
    while (called_at := stage.gateway_counts()["first_call_at"]) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{contender.name} did not call in {LONGEST_SECONDS:.0f} s")
        time.sleep(0.01)
    return float(called_at) - pushed_at
