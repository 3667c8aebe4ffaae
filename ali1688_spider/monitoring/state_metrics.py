"""The gauges of Prometheus: what of a state is which metric.

What cannot be known, since its server is away, has no series: it is not 0. No label names a process
or a product, of which there would be new ones all the time.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from prometheus_client.core import GaugeMetricFamily

from ali1688_spider.monitoring.problems import PROBLEM_NAMES
from ali1688_spider.shutdown import ENDED_EARLY

if TYPE_CHECKING:
    from ali1688_spider.monitoring.state import CrawlState, State
    from ali1688_spider.scheduling.steering import QueueStatus
    from ali1688_spider.statistics.sums import WorkerLine

_Part = TypeVar("_Part")

Series: TypeAlias = "Iterable[tuple[tuple[str, ...], float]]"
"""Values of the labels, and the number."""

KILLED = "killed"
OTHER = "other"
REASONS = tuple(
    dict.fromkeys(
        ["finished", "incomplete", "quota_exhausted", "shutdown", KILLED, *ENDED_EARLY, OTHER]
    )
)
"""Close reasons that are told apart."""


@dataclass(frozen=True, slots=True)
class GaugeMetric:
    """A gauge.

    Attributes:
        name: Of the metric.
        help: What it is.
        read: Returns its series in a state.
        labels: Names of its labels.
    """

    name: str
    help: str
    read: Callable[[State], Series]
    labels: tuple[str, ...] = ()


def gauges(state: State) -> Iterator[GaugeMetricFamily]:
    """Yield the gauges of a state."""
    for metric in GAUGES:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, number in metric.read(state):
            family.add_metric(labels, float(number))
        yield family


def _of(
    part: Callable[[State], _Part | None], read: Callable[[_Part], float | datetime | None]
) -> Callable[[State], Series]:
    """Return what reads a number or a time of a part of the state, where both are known."""

    def series(state: State) -> Series:
        found = part(state)
        value = None if found is None else read(found)
        if value is not None:
            yield (), value.timestamp() if isinstance(value, datetime) else value

    return series


def _servers(state: State) -> Series:
    for server in (state.redis, state.mongo):
        if server is not None:
            yield (server.name.lower(),), not server.error


def _problems(state: State) -> Series:
    counts = Counter(problem.name for problem in state.problems)
    for name in PROBLEM_NAMES:
        yield (name,), counts[name]


def _by_queue(read: Callable[[QueueStatus], float]) -> Callable[[State], Series]:
    def series(state: State) -> Series:
        for spider, queue in state.queues.items():
            yield (spider,), read(queue)

    return series


def _queue_calls(state: State) -> Series:
    for spider, queue in state.queues.items():
        yield (spider, "ready"), queue.counts.ready + queue.overdue
        yield (spider, "delayed"), max(0, queue.counts.delayed - queue.overdue)
        yield (spider, "leased"), queue.counts.leased


def _queue_workers(state: State) -> Series:
    for spider, queue in state.queues.items():
        yield (spider, "alive"), sum(each.is_alive for each in queue.workers)
        silent = [each for each in queue.workers if each.leased and not each.is_alive]
        yield (spider, "silent"), len(silent)


def _workers(state: State) -> Series:
    lines = (worker.line for worker in state.workers)
    counts = Counter((line.spider, line.host, line.version) for line in lines)
    return counts.items()


def _by_host(read: Callable[[WorkerLine], float]) -> Callable[[State], Series]:
    """Return what adds *read* up over the processes of each spider on each host."""

    def series(state: State) -> Series:
        sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for worker in state.workers:
            sums[worker.line.spider, worker.line.host] += read(worker.line)
        return sums.items()

    return series


def _clock_skews(state: State) -> Series:
    skews: dict[tuple[str, ...], float] = {}
    for worker in state.workers:
        host = (worker.line.host,)
        skew = worker.line.gauges.get("ali1688/clock/skew_seconds", 0.0)
        skews[host] = max(skew, skews.get(host, 0.0), key=abs)
    return skews.items()


def _quota_exhaustion(state: State) -> Series:
    quota = state.quota
    if quota is not None and quota.left != 0:
        yield (), quota.ends_at.timestamp() if quota.ends_at else math.inf


def _failed(name: str) -> Callable[[State], Series]:
    def series(state: State) -> Series:
        if not state.failed.error:
            yield (), getattr(state.failed, name)

    return series


def _tokens(state: State) -> Series:
    if state.tokens is not None:
        for name in ("access", "refresh"):
            when = state.tokens.expires_at if name == "access" else state.tokens.refresh_expires_at
            if when is not None:
                yield (name,), when.timestamp()


def _webhook_wait(state: State) -> Series:
    if state.outboxes is not None:
        oldest_at = state.outboxes.webhook_oldest_at or state.at
        yield (), max(0.0, (state.at - oldest_at).total_seconds())


def _crawls(state: State) -> Series:
    counts = Counter((crawl.spider, crawl.state) for crawl in state.crawls)
    names = ("running", "finished", "silent") if _knows_ends(state) else ("running",)
    for spider in _spiders(state):
        for name in names:
            yield (spider, name), counts[spider, name]


def _crawls_ended(state: State) -> Series:
    if _knows_ends(state):
        counts = Counter((spider, reason) for spider, reason, _ in _ends(state))
        for spider in _spiders(state):
            for reason in REASONS:
                yield (spider, reason), counts[spider, reason]


def _last_ends(state: State) -> Series:
    latest: dict[tuple[str, ...], float] = {}
    if _knows_ends(state):
        for spider, reason, when in _ends(state):
            latest[spider, reason] = max(when, latest.get((spider, reason), 0.0))
    return latest.items()


def _last_starts(state: State) -> Series:
    latest: dict[tuple[str, ...], float] = {}
    if _knows_ends(state):
        for crawl in state.crawls:
            spider = (crawl.spider,)
            latest[spider] = max(crawl.started_at.timestamp(), latest.get(spider, 0.0))
    return latest.items()


def _knows_ends(state: State) -> bool:
    return state.mongo is not None and not state.mongo.error


def _spiders(state: State) -> list[str]:
    return sorted({*state.queues, *(crawl.spider for crawl in state.crawls)})


def _ends(state: State) -> Iterator[tuple[str, str, float]]:
    """Yield spider, reason and time of each crawl that ended."""
    for crawl in state.crawls:
        if crawl.finished_at is not None:
            yield crawl.spider, _reason(crawl), crawl.finished_at.timestamp()


def _reason(crawl: CrawlState) -> str:
    reason = KILLED if crawl.state == "silent" else crawl.reason
    return reason if reason in REASONS else OTHER


GAUGES = (
    GaugeMetric(
        "ali1688_info",
        "1; the label has the version of the dashboard.",
        lambda state: [((state.version,), 1)],
        ("version",),
    ),
    GaugeMetric(
        "ali1688_server_up",
        "1 when the server answers the dashboard, 0 when it is away.",
        _servers,
        ("server",),
    ),
    GaugeMetric(
        "ali1688_problems",
        "Problems that scrapy status shows, by the name of their rule.",
        _problems,
        ("name",),
    ),
    # Queues
    GaugeMetric(
        "ali1688_queue_calls",
        "Calls in the queue: ready to be made, delayed, or leased by a worker.",
        _queue_calls,
        ("spider", "state"),
    ),
    GaugeMetric(
        "ali1688_queue_messages",
        "Messages of producers that no worker has read yet.",
        _by_queue(lambda queue: queue.counts.messages),
        ("spider",),
    ),
    GaugeMetric(
        "ali1688_queue_oldest_waiting_seconds",
        "How long the oldest ready call has waited, to the minute; 0 when none does.",
        _by_queue(lambda queue: queue.oldest_waiting or 0.0),
        ("spider",),
    ),
    GaugeMetric(
        "ali1688_queue_paused",
        "1 when the queue is paused, else 0.",
        _by_queue(lambda queue: queue.pause is not None),
        ("spider",),
    ),
    GaugeMetric(
        "ali1688_queue_workers",
        "Workers of the queue: alive, or silent and with leases that others will take over.",
        _queue_workers,
        ("spider", "state"),
    ),
    # Crawl processes
    GaugeMetric(
        "ali1688_workers",
        "Crawl processes that live.",
        _workers,
        ("spider", "host", "version"),
    ),
    GaugeMetric(
        "ali1688_workers_memory_bytes",
        "Their resident memory, all together; 0 when unknown.",
        _by_host(lambda line: line.memory_bytes),
        ("spider", "host"),
    ),
    GaugeMetric(
        "ali1688_workers_in_flight",
        "Calls on the wire and products that wait for the database.",
        _by_host(lambda line: line.in_flight),
        ("spider", "host"),
    ),
    GaugeMetric(
        "ali1688_workers_products_per_second",
        "Products in the last minute, as the processes say.",
        _by_host(lambda line: line.rate_per_second),
        ("spider", "host"),
    ),
    GaugeMetric(
        "ali1688_workers_held_back",
        "Crawl processes that wait for a server, the quota or the end of a pause.",
        _by_host(lambda line: bool(line.waits_for)),
        ("spider", "host"),
    ),
    GaugeMetric(
        "ali1688_workers_clock_skew_seconds",
        "How far the gateway's clock is ahead of the host's, as far as it matters.",
        _clock_skews,
        ("host",),
    ),
    # Quota
    GaugeMetric(
        "ali1688_quota_used_calls",
        "Calls of today, which is China's day.",
        _of(lambda state: state.quota, lambda quota: quota.used),
    ),
    GaugeMetric(
        "ali1688_quota_limit_calls",
        "Calls that a day has; no series without a limit.",
        _of(lambda state: state.quota, lambda quota: quota.daily_quota or None),
    ),
    GaugeMetric(
        "ali1688_quota_reset_timestamp_seconds",
        "When the next day begins.",
        _of(lambda state: state.quota, lambda quota: quota.resets_at),
    ),
    GaugeMetric(
        "ali1688_quota_exhaustion_timestamp_seconds",
        "When today's calls will be used up, at the present rate; +Inf when they last for the day.",
        _quota_exhaustion,
    ),
    GaugeMetric(
        "ali1688_quota_pause_seconds",
        "Rest of a pause that the platform asked for; 0 without one.",
        _of(lambda state: state.quota, lambda quota: quota.paused_seconds),
    ),
    GaugeMetric(
        "ali1688_gateway_up",
        "0 when the workers found that the gateway takes no calls, else 1.",
        _of(lambda state: state.quota, lambda quota: not quota.is_gateway_away),
    ),
    # What was given up, what is watched, what goes out
    GaugeMetric(
        "ali1688_failed_calls_kept",
        "Calls that were given up, and neither retried nor dropped.",
        _failed("total"),
    ),
    GaugeMetric(
        "ali1688_failed_calls_kept_last_hour",
        "Those that were given up in the last hour.",
        _failed("last_hour"),
    ),
    GaugeMetric(
        "ali1688_watched_products",
        "Products that are watched; no series when none is.",
        _of(lambda state: state.watch, lambda watch: watch.products),
    ),
    GaugeMetric(
        "ali1688_watched_fresh_ratio",
        "Expected part of these whose stored copy is right.",
        _of(lambda state: state.watch, lambda watch: watch.fraction_fresh),
    ),
    GaugeMetric(
        "ali1688_outbox_pending_products",
        "Products with changes that wait to be published.",
        _of(lambda state: state.outboxes, lambda outboxes: outboxes.pending),
    ),
    GaugeMetric(
        "ali1688_webhook_waiting_changes",
        "Changes that wait for the webhook.",
        _of(lambda state: state.outboxes, lambda outboxes: outboxes.webhook_waiting),
    ),
    GaugeMetric(
        "ali1688_webhook_oldest_waiting_seconds",
        "How long the oldest of these has waited; 0 when none does.",
        _webhook_wait,
    ),
    # Authorisation
    GaugeMetric(
        "ali1688_token_expiry_timestamp_seconds",
        "When a token ends, where that is known.",
        _tokens,
        ("token",),
    ),
    GaugeMetric(
        "ali1688_authorization_expiry_timestamp_seconds",
        "When the app has to be authorised again, where that is known.",
        _of(lambda state: state.tokens, lambda tokens: tokens.ends_at),
    ),
    # Crawls
    GaugeMetric(
        "ali1688_crawls",
        "Crawls of a day: running, finished, or silent since they were killed; at most the latest "
        "50 that run and 50 that ended, which only MongoDB knows.",
        _crawls,
        ("spider", "state"),
    ),
    GaugeMetric(
        "ali1688_crawls_ended",
        "Those that ended, by close reason.",
        _crawls_ended,
        ("spider", "reason"),
    ),
    GaugeMetric(
        "ali1688_crawl_last_end_timestamp_seconds",
        "When the latest of these ended, by close reason.",
        _last_ends,
        ("spider", "reason"),
    ),
    GaugeMetric(
        "ali1688_crawl_last_start_timestamp_seconds",
        "When the latest crawl began.",
        _last_starts,
        ("spider",),
    ),
)
