"""The state as metrics of Prometheus; ``docs/reference/metrics.md`` lists them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ali1688_spider.monitoring.counted_metrics import COUNTED_METRICS, counters
from ali1688_spider.monitoring.state_metrics import GAUGES, gauges

if TYPE_CHECKING:
    from ali1688_spider.monitoring.state import State

CONTENT_TYPE = CONTENT_TYPE_LATEST

UNITS = {
    "_timestamp_seconds": "seconds since 1970",
    "_per_second": "per second",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_ratio": "ratio, 0 to 1",
}
"""How names end, without ``_total``, and the unit; other metrics are plain counts."""


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """What is to be known of a metric.

    Attributes:
        name: As Prometheus has it.
        kind: ``counter`` or ``gauge``.
        labels: Names of its labels.
        help: What it is.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    @property
    def unit(self) -> str:
        """Its unit; empty for a count."""
        name = self.name.removesuffix("_total")
        return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def descriptions() -> Iterator[MetricDescription]:
    """Yield all metrics that there are."""
    for gauge in GAUGES:
        yield MetricDescription(gauge.name, "gauge", gauge.labels, gauge.help)
    for counter in COUNTED_METRICS:
        name = f"{counter.name}_total"
        yield MetricDescription(name, "counter", counter.labels, counter.help)


def metrics_text(state: State) -> bytes:
    """Return the metrics of a state in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_StateCollector(state))
    return generate_latest(registry)


class _StateCollector:
    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        yield from gauges(self._state)
        # While Redis is away there are neither queues nor sums, so no counters. If they went to 0,
        # they would seem to begin anew, and to count everything once more when it is back.
        nothing: dict[str, dict[str, float]] = {spider: {} for spider in self._state.queues}
        yield from counters(nothing | self._state.totals)
