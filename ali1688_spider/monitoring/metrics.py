"""The state as metrics of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from ali1688_spider.monitoring.state import State

CONTENT_TYPE = CONTENT_TYPE_LATEST


def metrics_text(state: State) -> bytes:
    """Return the metrics of a state in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_StateCollector(state))
    return generate_latest(registry)


class _StateCollector:
    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily("ali1688_calls", "Calls made.", labels=["spider"])
        for spider, statistics in self._state.totals.items():
            calls.add_metric([spider], statistics.get("ali1688/calls", 0))
        yield calls
