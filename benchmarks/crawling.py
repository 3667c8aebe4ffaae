"""One crawl by one worker, measured from outside."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.worker import Worker

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.stage import Stage

POLL_SECONDS = 0.05
LONGEST_SECONDS = 300.0


@dataclass(frozen=True)
class Crawl:
    """What a crawl was like.

    Attributes:
        products: How many products were collected.
        seconds: From the first call that the gateway saw until all products were stored, or, where
            none are stored, to the last call.
        cpu_seconds: CPU time of the worker alone, its start included.
        peak_bytes: Its memory at its peak, where known.
    """

    products: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int | None

    @property
    def peak_mebibytes(self) -> str:
        return "-" if self.peak_bytes is None else f"{self.peak_bytes / 2**20:.0f}"

    @property
    def products_per_second(self) -> float:
        return self.products / self.seconds


def crawl(stage: Stage, contender: Contender, products: int) -> Crawl:
    """Let *contender* collect so many products that nobody has seen before."""
    stage.clear()
    contender.queue(stage, products)
    return observe(stage, contender, products)


def observe(stage: Stage, contender: Contender, products: int) -> Crawl:
    """Watch *contender* until it has collected so many products; then let it end.

    Raises:
        TimeoutError: It takes too long.
        RuntimeError: It ends before.
    """
    environment = {**stage.environment, **contender.environment}
    with Worker(contender.command(products), environment, stage.folder / "worker") as worker:
        if contender.stores:
            collected, ended_at = _wait_for_storing(stage, contender, products, worker)
            worker.terminate()  # it stays for what is queued next
        usage = worker.finish()
    counts = stage.gateway_counts()
    if not contender.stores:
        collected, ended_at = counts["answered"], counts["last_call_at"]
    if collected < products:
        raise RuntimeError(f"{contender.name} collected only {collected} of {products} products")
    seconds = ended_at - counts["first_call_at"]
    return Crawl(collected, max(seconds, 1e-3), usage.cpu_seconds, usage.peak_bytes)


def _wait_for_storing(
    stage: Stage, contender: Contender, products: int, worker: Worker
) -> tuple[int, float]:
    """Return how many products were stored, and when that was."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while worker.running() and time.monotonic() < deadline:
        # The database is not disturbed before there is something to see.
        if stage.gateway_counts()["answered"] >= products:
            stored, now = stage.stored(), time.time()
            if stored >= products:
                return stored, now
        time.sleep(POLL_SECONDS)
    log = worker.log.read_text(errors="replace")[-3000:]
    raise TimeoutError(f"{contender.name} did not store {products} products:\n{log}")
