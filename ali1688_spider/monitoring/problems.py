"""What is wrong in a state, and what to do about it.

``deploy/prometheus/rules.yml`` has an alert for each of these, under the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from ali1688_spider.monitoring.state import Problem
from ali1688_spider.shutdown import ENDED_EARLY

if TYPE_CHECKING:
    from ali1688_spider.monitoring.state import State

UNATTENDED_SECONDS = 60.0
"""How long calls may wait while there is no worker."""
SHORT_PAUSE_SECONDS = 5.0
"""The platform asks for pauses up to this now and then, which is nobody's to act on."""
STALLED_MINUTES = 10
ERROR_SHARE = 0.05
LEAST_CALLS = 20
"""Calls in the time considered, below which a share of errors says nothing."""
TOKEN_DAYS = 1
WEBHOOK_WAIT = timedelta(minutes=10)
LEAST_FRESH = 0.5
KILLED_WITHIN = timedelta(hours=1)

PROBLEM_NAMES = (
    "RedisAway",
    "MongoDBAway",
    "GatewayAway",
    "PlatformPause",
    "QuotaGone",
    "QuotaGoneEarly",
    "TokenEnds",
    "NoWorker",
    "LeasesExpire",
    "NothingStored",
    "CrawlKilled",
    "CrawlEndedEarly",
    "ErrorShare",
    "CallsGivenUp",
    "WebhookWaits",
    "FreshnessLow",
)
"""All problems that there are."""


def problems(state: State) -> Iterator[Problem]:
    """Yield what somebody should act on, the most urgent first."""
    yield from _of_servers(state)
    yield from _of_quota(state)
    yield from _of_tokens(state)
    yield from _of_queues(state)
    yield from _of_stored_products(state)
    yield from _of_crawls(state)
    yield from _of_calls(state)
    yield from _of_webhook(state)
    yield from _of_freshness(state)


def _of_servers(state: State) -> Iterator[Problem]:
    for server, setting in ((state.redis, "REDIS_URL"), (state.mongo, "MONGO_URI")):
        if server is not None and server.error:
            yield Problem(
                f"{server.name}Away",
                "{server} is away: {error}",
                "start it, or correct {setting}; workers wait for it",
                {"server": server.name, "error": server.error, "setting": setting},
            )


def _of_quota(state: State) -> Iterator[Problem]:
    quota = state.quota
    if quota is None:
        return
    if quota.is_gateway_away:
        yield Problem(
            "GatewayAway",
            "The gateway takes no calls: one worker at a time tries it, the others wait",
            "look at the platform, the proxy and ALI1688_GATEWAY",
        )
    if quota.paused_seconds > SHORT_PAUSE_SECONDS:
        yield Problem(
            "PlatformPause",
            "The platform asked for a pause, of which {seconds} s are left",
            "lower ALI1688_QPS if this happens often; scrapy doctor --end-pause ends it",
            {"seconds": f"{quota.paused_seconds:.0f}"},
        )
    if quota.left == 0:
        yield Problem(
            "QuotaGone",
            "Today's {quota} calls are used up until {time} UTC",
            "wait, or raise ALI1688_DAILY_QUOTA if the app has more",
            {"quota": f"{quota.daily_quota:,}", "time": f"{quota.resets_at:%H:%M}"},
        )
    elif quota.ends_at is not None:
        yield Problem(
            "QuotaGoneEarly",
            "Today's calls will be used up at about {time} UTC",
            "watch fewer products or less often, or raise ALI1688_DAILY_QUOTA",
            {"time": f"{quota.ends_at:%H:%M}"},
        )


def _of_tokens(state: State) -> Iterator[Problem]:
    ends_at = state.tokens and state.tokens.ends_at
    if ends_at and ends_at < state.at + timedelta(days=TOKEN_DAYS):
        yield Problem(
            "TokenEnds",
            "The authorisation of the app ends at {time} UTC",
            "authorise it again: scrapy auth",
            {"time": f"{ends_at:%F %H:%M}"},
        )


def _of_queues(state: State) -> Iterator[Problem]:
    for spider, queue in state.queues.items():
        has_worker = any(worker.is_alive for worker in queue.workers)
        # Of messages of producers it is unknown how long they have waited.
        is_old = queue.counts.messages or (queue.oldest_waiting or 0) >= UNATTENDED_SECONDS
        if queue.waiting and is_old and not has_worker and queue.pause is None:
            yield Problem(
                "NoWorker",
                "{count} calls of {spider} wait, and no worker is there",
                "start one: scrapy crawl {spider}",
                {"count": f"{queue.waiting:,}", "spider": spider},
            )
        silent = [each.name for each in queue.workers if each.leased and not each.is_alive]
        if silent:
            yield Problem(
                "LeasesExpire",
                "Workers of {spider} are silent and hold calls: {names}",
                "look at their logs; others take the calls over",
                {"spider": spider, "names": ", ".join(silent[:5])},
            )


def _of_stored_products(state: State) -> Iterator[Problem]:
    recent = state.minutes[-STALLED_MINUTES - 1 :]
    is_over = state.quota is not None and state.quota.left == 0
    if is_over or any(minute.products for minute in recent) or not any(_stalled(state)):
        return
    what = "Nothing was stored for {minutes} minutes, though calls wait"
    minutes = {"minutes": str(STALLED_MINUTES)}
    reasons = {each.line.waits_for for each in state.workers} - {""}
    if reasons:
        values = {**minutes, "reasons": "; ".join(sorted(reasons))}
        yield Problem("NothingStored", what, "the workers wait for {reasons}", values)
    else:
        yield Problem("NothingStored", what, "look at the workers' logs", minutes)


def _stalled(state: State) -> Iterator[str]:
    """Yield the spiders whose calls, and at least one worker, are there for long enough."""
    long_ago = timedelta(minutes=STALLED_MINUTES)
    for spider, queue in state.queues.items():
        waited = timedelta(seconds=queue.oldest_waiting or 0)
        if queue.pause is None and waited >= long_ago:
            for each in state.workers:
                if each.line.spider == spider and state.at - each.line.started_at > long_ago:
                    yield spider


def _of_crawls(state: State) -> Iterator[Problem]:
    for crawl in state.crawls:
        ended_at = crawl.finished_at
        if ended_at is None or any(
            each.spider == crawl.spider and each.started_at > ended_at for each in state.crawls
        ):
            continue  # it runs, or somebody has started another one since
        values = {"spider": crawl.spider, "worker": crawl.worker, "reason": crawl.reason}
        if crawl.state == "silent" and state.at - ended_at < KILLED_WITHIN:
            yield Problem(
                "CrawlKilled",
                "The crawl {spider} of {worker} was killed",
                "start it again; what it had leased goes to others",
                values,
            )
        elif crawl.reason in ENDED_EARLY:
            what = "The crawl {spider} of {worker} ended as {reason}"
            yield Problem("CrawlEndedEarly", what, ENDED_EARLY[crawl.reason], values)


def _of_calls(state: State) -> Iterator[Problem]:
    recent = state.minutes[-STALLED_MINUTES:]
    calls, errors = (sum(getattr(each, name) for each in recent) for name in ("calls", "errors"))
    if calls >= LEAST_CALLS and errors > ERROR_SHARE * calls:
        yield Problem(
            "ErrorShare",
            "{percent} % of the calls of the last {minutes} minutes failed",
            "see scrapy failed list --by-error, and the logs",
            {"percent": f"{100 * errors / calls:.0f}", "minutes": str(STALLED_MINUTES)},
        )
    if state.failed.last_hour:
        yield Problem(
            "CallsGivenUp",
            "{count} calls were given up in the last hour",
            "scrapy failed list --by-error says why, scrapy failed retry tries them again",
            {"count": f"{state.failed.last_hour:,}"},
        )


def _of_webhook(state: State) -> Iterator[Problem]:
    outboxes = state.outboxes
    oldest_at = outboxes and outboxes.webhook_oldest_at
    if outboxes and oldest_at and state.at - oldest_at > WEBHOOK_WAIT:
        yield Problem(
            "WebhookWaits",
            "{count} changes wait for the webhook, the oldest since {time} UTC",
            "look at the receiver of ALI1688_WEBHOOK_URL: scrapy doctor tests it",
            {"count": f"{outboxes.webhook_waiting:,}", "time": f"{oldest_at:%F %H:%M}"},
        )


def _of_freshness(state: State) -> Iterator[Problem]:
    fresh = None if state.watch is None else state.watch.fraction_fresh
    if fresh is not None and fresh < LEAST_FRESH:
        yield Problem(
            "FreshnessLow",
            "Only {percent} % of the watched products are fresh",
            "watch fewer, raise the quota, or use ALI1688_MESSAGES=poll",
            {"percent": f"{100 * fresh:.0f}"},
        )
