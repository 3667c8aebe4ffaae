"""The counters of Prometheus: which statistic of the crawls is which metric.

Each is for a spider, summed over all its crawls. The values of a label exclude each other, so that
their sum means something; what would count a thing twice, such as the stored products beside the
new ones among them, is a metric of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import get_args

from prometheus_client.core import CounterMetricFamily

from ali1688_spider.gateway.errors import CallError
from ali1688_spider.storage.product_store import Outcome as StoreOutcome
from ali1688_spider.watching.watched_product import Outcome as FetchOutcome


def error_classes(base: type[CallError] = CallError) -> frozenset[str]:
    """Return the class of each error that a call can have, as its statistic has it."""
    classes: set[str] = set()
    for error in base.__subclasses__():
        classes |= {getattr(error, "error_class", "")} - {""}
        classes |= error_classes(error)
    return frozenset(classes)


@dataclass(frozen=True, slots=True)
class CountedMetric:
    """A counter.

    Attributes:
        name: Without ``_total``.
        help: What it counts.
        statistics: Of which statistics it is the sum, and what the label is for each. One that ends
            with ``/`` stands for all that begin so and are named nowhere; the label is their rest.
        label: Name of the label beside ``spider``; empty when there is none.
        known: Values of the label for such a rest. They are there as 0 before anything is counted,
            since the rate of a series that has just appeared misses its first count.
    """

    name: str
    help: str
    statistics: Mapping[str, str]
    label: str = ""
    known: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its labels."""
        return ("spider", self.label) if self.label else ("spider",)

    @property
    def values(self) -> tuple[str, ...]:
        """The values of the label that are known beforehand; an empty one without a label."""
        named = [value for name, value in self.statistics.items() if name[-1] != "/"]
        return (*named, *self.known)


COUNTED_METRICS = (
    # Calls
    CountedMetric("ali1688_calls", "Calls made to the gateway.", {"ali1688/calls": ""}),
    CountedMetric(
        "ali1688_errors",
        "Errors of calls, each of their tries, by class; product_gone is no failure.",
        {"ali1688/errors/": ""},
        "class",
        known=tuple(sorted(error_classes())),
    ),
    CountedMetric("ali1688_retries", "Calls that were made again.", {"ali1688/retries": ""}),
    CountedMetric(
        "ali1688_failed_calls", "Calls that were given up.", {"ali1688/failed_calls": ""}
    ),
    CountedMetric(
        "ali1688_failed_calls_waits",
        "Waits since calls that were given up could not be kept.",
        {"ali1688/failed_calls/unavailable": ""},
    ),
    CountedMetric(
        "ali1688_batches_split",
        "Calls for several products that were split, as one of these was refused.",
        {"ali1688/batches/split": ""},
    ),
    CountedMetric(
        "ali1688_token_refreshes", "Refreshes of the token.", {"ali1688/token/refreshes": ""}
    ),
    CountedMetric(
        "ali1688_gateway_outages",
        "Times that the gateway was found away; each worker counts.",
        {"ali1688/gateway/outages": ""},
    ),
    CountedMetric(
        "ali1688_gateway_outage_seconds",
        "Time that it was away, added when it is back; each worker counts.",
        {"ali1688/gateway/outage_seconds": ""},
    ),
    # Quota and cache
    CountedMetric(
        "ali1688_quota_wait_seconds",
        "Time that calls waited for a slot of the quota, all together.",
        {"ali1688/quota/wait_seconds": ""},
    ),
    CountedMetric(
        "ali1688_quota_slots",
        "Slots of the quota: used by a call, or discarded as they came too late.",
        {"ali1688/quota/slots_used": "used", "ali1688/quota/slots_discarded": "discarded"},
        "use",
    ),
    CountedMetric(
        "ali1688_cache_lookups",
        "Calls that were looked for in the cache.",
        {"ali1688/cache/hit": "hit", "ali1688/cache/miss": "miss"},
        "result",
    ),
    CountedMetric("ali1688_cache_errors", "Failures of the cache.", {"ali1688/cache/errors": ""}),
    # Products
    CountedMetric(
        "ali1688_items_scraped",
        "Products that were collected; with MONGO_URI the database has them, or newer ones.",
        {"item_scraped_count": ""},
    ),
    CountedMetric(
        "ali1688_items",
        "Products by what became of them; without MONGO_URI only those that were rejected.",
        {"ali1688/items/": ""},
        "outcome",
        known=(*get_args(StoreOutcome), "rejected", "unstored"),
    ),
    CountedMetric(
        "ali1688_items_stored",
        "Products that were stored: the new, the changed and the unchanged ones.",
        {"ali1688/items/stored": ""},
    ),
    CountedMetric(
        "ali1688_items_gone",
        "Products of which the platform said that they are gone.",
        {"ali1688/items/gone": ""},
    ),
    CountedMetric(
        "ali1688_images",
        "Pictures that were downloaded, or could not be had.",
        {"ali1688/images/stored": "stored", "ali1688/images/missing": "missing"},
        "result",
    ),
    CountedMetric(
        "ali1688_feeds_failed", "Files that could not be written.", {"ali1688/feeds/failed": ""}
    ),
    CountedMetric(
        "ali1688_products_wanted",
        "Products that crawls were asked for; each worker of a crawl counts what it read.",
        {"ali1688/wanted": ""},
    ),
    CountedMetric(
        "ali1688_ids_unreadable",
        "Entries of lists without an id; each worker of a crawl counts what it read.",
        {"ali1688/ids/unreadable": ""},
    ),
    # Changes on their way to other programs
    CountedMetric(
        "ali1688_changes_kept",
        "Changes that could not be published at once, and stayed with their products.",
        {"ali1688/changes/kept": ""},
    ),
    CountedMetric(
        "ali1688_webhook_changes",
        "Changes that were posted to the webhook; those that failed are posted again.",
        {"ali1688/webhook/delivered": "delivered", "ali1688/webhook/failed": "failed"},
        "result",
    ),
    # Queue
    CountedMetric(
        "ali1688_leases",
        "What happened to leases: taken, acked, released; expired (of silent workers), lost (while "
        "the worker was silent), stale (settled too late), withdrawn (the call left the queue).",
        {"ali1688/leases/": ""},
        "event",
        known=("taken", "acked", "released", "expired", "lost", "stale", "withdrawn"),
    ),
    CountedMetric(
        "ali1688_messages",
        "Messages of producers: read, queued (the others were so already), malformed.",
        {"ali1688/messages/": ""},
        "event",
        known=("read", "queued", "malformed"),
    ),
    CountedMetric(
        "ali1688_queue_pauses",
        "Times that a worker found its queue paused.",
        {"ali1688/queue/pauses": ""},
    ),
    CountedMetric(
        "ali1688_queue_keys_set_aside",
        "Keys of Redis that held something else, and were renamed.",
        {"ali1688/queue/keys_set_aside": ""},
    ),
    CountedMetric(
        "ali1688_queue_sources_read_again",
        "Times that the given ids were queued again, as Redis had lost them.",
        {"ali1688/queue/sources_read_again": ""},
    ),
    CountedMetric(
        "ali1688_redis_waits", "Waits for Redis while it was away.", {"ali1688/redis/errors": ""}
    ),
    CountedMetric(
        "ali1688_mongodb_waits",
        "Waits for MongoDB while it was away.",
        {"ali1688/storage/waits": ""},
    ),
    # Searches
    CountedMetric("ali1688_search_pages", "Pages of searches.", {"ali1688/search/pages": ""}),
    CountedMetric(
        "ali1688_search_repeated_pages",
        "Pages that showed what an earlier one had, and ended their search.",
        {"ali1688/search/repeated_pages": ""},
    ),
    CountedMetric(
        "ali1688_search_unfiltered_pages",
        "Pages of which Redis could not be asked which products were known.",
        {"ali1688/search/unfiltered_pages": ""},
    ),
    CountedMetric(
        "ali1688_search_unsplit_queries",
        "Queries that the platform cuts off, and that could not be split.",
        {"ali1688/search/unsplit_queries": ""},
    ),
    CountedMetric(
        "ali1688_search_unreachable_rows",
        "Products of these queries that the platform does not show.",
        {"ali1688/search/unreachable_rows": ""},
    ),
    # Watched products
    CountedMetric(
        "ali1688_watch_fetches",
        "Fetches of watched products, by what they found.",
        {"ali1688/watch/": ""},
        "outcome",
        known=tuple(outcome.value for outcome in FetchOutcome),
    ),
    CountedMetric(
        "ali1688_watch_looks",
        "Pages that were looked at for changes of many products.",
        {"ali1688/watch/looks": ""},
    ),
    CountedMetric(
        "ali1688_hint_polls",
        "Times that the platform was asked for messages.",
        {"ali1688/hints/polls": ""},
    ),
    CountedMetric(
        "ali1688_hint_messages",
        "Messages of the platform that it was asked for, by what they are.",
        {
            "ali1688/hints/received": "new",
            "ali1688/hints/duplicates": "duplicate",
            "ali1688/hints/other_topics": "other_topic",
        },
        "kind",
    ),
    CountedMetric(
        "ali1688_hint_messages_malformed",
        "Messages that could not be read, or not as a whole.",
        {"ali1688/hints/malformed": ""},
    ),
    CountedMetric(
        "ali1688_hint_messages_confirmed",
        "Messages that were confirmed to the platform.",
        {"ali1688/hints/confirmed": ""},
    ),
    CountedMetric(
        "ali1688_hint_products",
        "Products that new messages named.",
        {"ali1688/hints/watched": "yes", "ali1688/hints/unwatched": "no"},
        "watched",
    ),
    CountedMetric(
        "ali1688_hint_relations",
        "Products that the app listed or followed, so that the platform tells of them.",
        {"ali1688/hints/listed": "listed", "ali1688/hints/followed": "followed"},
        "relation",
    ),
    CountedMetric(
        "ali1688_hint_relations_refused",
        "Products that it could not list or follow.",
        {"ali1688/hints/follow_refused": ""},
    ),
    CountedMetric(
        "ali1688_hint_failures",
        "Failures of asking for messages (poller), and of following products (follower).",
        {
            "ali1688/hints/poller_failures": "poller",
            "ali1688/hints/follower_failures": "follower",
        },
        "task",
    ),
    # Logs
    CountedMetric(
        "ali1688_log_records",
        "Log records of crawls, from WARNING on.",
        {"log_count/": ""},
        "level",
        known=("WARNING", "ERROR", "CRITICAL"),
    ),
    CountedMetric(
        "ali1688_spider_exceptions",
        "Responses that the project's own code failed on, by class of the exception.",
        {"spider_exceptions/": ""},
        "exception",
    ),
)

LEFT_OUT = {
    "ali1688/search/found": "set anew by each page of a search",
    "spider_exceptions/count": "the sum of the others that begin so",
}
"""Statistics that are added up and are no metrics, and why."""

_METRICS = {name: metric for metric in COUNTED_METRICS for name in metric.statistics}


def metric_of(statistic: str) -> tuple[CountedMetric, str] | None:
    """Return the metric of a statistic and the value of its label.

    None when it is left out, or known to another version only.
    """
    if statistic in LEFT_OUT:
        return None
    if metric := _METRICS.get(statistic):
        return metric, metric.statistics[statistic]
    beginning, slash, rest = statistic.rpartition("/")
    metric = _METRICS.get(beginning + slash)
    return None if metric is None else (metric, rest)


def counters(totals: Mapping[str, Mapping[str, float]]) -> Iterator[CounterMetricFamily]:
    """Yield the counters of sums, which are by spider and statistic."""
    sums: dict[str, dict[tuple[str, ...], float]] = {
        metric.name: {
            (spider, value)[: len(metric.labels)]: 0.0
            for spider in totals
            for value in metric.values
        }
        for metric in COUNTED_METRICS
    }
    for spider, statistics in totals.items():
        for statistic, number in statistics.items():
            if found := metric_of(statistic):
                metric, value = found
                series = sums[metric.name]
                labels = (spider, value)[: len(metric.labels)]
                series[labels] = series.get(labels, 0.0) + number
    for metric in COUNTED_METRICS:
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, number in sums[metric.name].items():
            family.add_metric(labels, number)
        yield family
