"""How much of the shared rate the workers use, and how often the gateway has to refuse."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.contenders import PROJECT
from benchmarks.table import Series, Table
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from benchmarks.scale import Scale
    from benchmarks.stage import Stage

EXPLANATION = """\
The gateway answers {limit} calls in any one second and refuses what comes beyond; `ALI1688_QPS` is
{limit} too. Counted over {seconds:.0f} s while all workers are at work."""

SETTLING_SECONDS = 2.0
START_SECONDS = 60.0
WORKERS_KEY = "{product:start_urls}:workers"


def measure(stage: Stage, scale: Scale) -> list[Table]:
    rows: list[tuple[str | float, ...]] = []
    stage.configure_gateway({"qps": scale.limit})
    for workers in scale.workers:
        answered, refused, seconds = _share(stage, scale, workers)
        used = answered / (scale.limit * seconds)
        rows.append((str(workers), answered / seconds, f"{used:.1%}", refused))
        print(f"  {workers} workers: {used:.1%} used, {refused} refused")
    stage.configure_gateway({"qps": 0})
    plot = [Series("calls/s", [str(row[0]) for row in rows], [float(row[1]) for row in rows])]
    explanation = EXPLANATION.format(limit=scale.limit, seconds=scale.seconds)
    header = ("workers", "calls answered per second", "of the limit", "refused")
    title = f"{scale.limit} calls per second, shared"
    return [Table(title, explanation, header, rows, plot, "calls per second")]


def _share(stage: Stage, scale: Scale, workers: int) -> tuple[int, int, float]:
    """Return how many calls were answered and refused, and in how many seconds."""
    stage.clear()
    calls = int(scale.limit * (scale.seconds + START_SECONDS))
    PROJECT.queue(stage, calls)
    limit = {"ALI1688_QPS": str(scale.limit)}
    environment = {**stage.environment, **PROJECT.environment, **limit}
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                Worker(PROJECT.command(0), environment, stage.folder / f"worker{number}")
            )
            for number in range(workers)
        ]
        _wait_for_workers(stage, workers)
        time.sleep(SETTLING_SECONDS)
        stage.forget_calls()
        began = time.monotonic()
        time.sleep(scale.seconds)
        counts = stage.gateway_counts()
        seconds = time.monotonic() - began
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.finish()
    return counts["answered"], counts["refused_rate"], seconds


def _wait_for_workers(stage: Stage, workers: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while stage.redis.zcard(WORKERS_KEY) < workers:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{workers} workers did not start in {START_SECONDS:.0f} s")
        time.sleep(0.1)
