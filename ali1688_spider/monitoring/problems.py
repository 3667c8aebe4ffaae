"""What is wrong in a state, and what to do about it.

``deploy/prometheus/rules.yml`` has an alert for each of these, under the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from ali1688_spider.monitoring.state import Problem

if TYPE_CHECKING:
    from ali1688_spider.monitoring.state import State

UNATTENDED_SECONDS = 60.0
"""How long calls may wait while there is no worker."""
STALLED_MINUTES = 10
ERROR_SHARE = 0.05
LEAST_CALLS = 20
"""Calls in the time considered, below which a share of errors says nothing."""
TOKEN_DAYS = 1
WEBHOOK_WAIT = timedelta(minutes=10)
LEAST_FRESH = 0.5
KILLED_WITHIN = timedelta(hours=1)

FATAL = {
    "bad_credentials": "correct ALI1688_APP_KEY, ALI1688_APP_SECRET and the tokens: scrapy doctor",
    "permission_denied": "ask for the API's permission, or choose another: scrapy doctor",
    "database_unavailable": "start MongoDB, or correct MONGO_URI; then start the crawl again",
    "queue_failed": "see the crawl's log; then start it again",
}
"""Close reasons of crawls that ended before their work did, and what to do."""


def problems(state: State) -> Iterator[Problem]:
    """Yield what somebody should act on, the most urgent first."""
    for server, setting in ((state.redis, "REDIS_URL"), (state.mongo, "MONGO_URI")):
        if server is not None and server.error:
            yield Problem(
                f"{server.name}Away",
                f"{server.name} is away: {server.error}",
                f"start it, or correct {setting}; workers wait for it",
            )
    yield from _of_quota(state)
    yield from _of_queues(state)
    yield from _of_crawls(state)
    yield from _of_calls(state)
    yield from _of_products(state)


def _of_quota(state: State) -> Iterator[Problem]:
    quota = state.quota
    if quota is not None and quota.is_gateway_away:
        text = "The gateway takes no calls; one worker at a time tries it, the others wait"
        yield Problem("GatewayAway", text, "look at the platform, the proxy and ALI1688_GATEWAY")
    if quota is not None and quota.paused_seconds:
        text = f"The platform asked for a pause, another {quota.paused_seconds:.0f} s of it"
        advice = "lower ALI1688_QPS if this happens often; scrapy doctor --end-pause ends it"
        yield Problem("PlatformPause", text, advice)
    if quota is not None and quota.left == 0:
        text = f"Today's {quota.daily_quota:,} calls are used up until {quota.resets_at:%H:%M} UTC"
        yield Problem("QuotaGone", text, "wait, or raise ALI1688_DAILY_QUOTA if the app has more")
    elif quota is not None and quota.ends_at is not None:
        text = f"Today's calls will be used up at about {quota.ends_at:%H:%M} UTC"
        advice = "watch fewer products or less often, or raise ALI1688_DAILY_QUOTA"
        yield Problem("QuotaGoneEarly", text, advice)
    ends_at = state.tokens and state.tokens.ends_at
    if ends_at and ends_at < state.at + timedelta(days=TOKEN_DAYS):
        verb = "ended" if ends_at <= state.at else "ends"
        text = f"The authorisation {verb} at {ends_at:%F %H:%M} UTC"
        yield Problem("TokenEnds", text, "authorise the app again: scrapy auth")


def _of_queues(state: State) -> Iterator[Problem]:
    for spider, queue in state.queues.items():
        waits = queue.counts.ready + queue.counts.messages
        alive = [worker for worker in queue.workers if worker.is_alive]
        if waits and not alive and (queue.oldest_waiting or 0) >= UNATTENDED_SECONDS:
            text = f"{waits:,} calls of {spider} wait, and no worker is there"
            yield Problem("NoWorker", text, f"start one: scrapy crawl {spider}")
        if silent := [worker for worker in queue.workers if not worker.is_alive]:
            names = ", ".join(worker.name for worker in silent[:3])
            text = f"{len(silent)} workers of {spider} are silent and hold calls: {names}"
            yield Problem("LeasesExpire", text, "look at their logs; others take the calls over")
    full = state.minutes[:-1][-STALLED_MINUTES:]
    is_working = any(
        queue.counts.ready and queue.pause is None and any(each.is_alive for each in queue.workers)
        for queue in state.queues.values()
    )
    has_run = state.workers and all(
        state.at - each.line.started_at > timedelta(minutes=STALLED_MINUTES)
        for each in state.workers
    )
    if is_working and has_run and not any(minute.products for minute in full):
        reasons = "; ".join({each.line.waits_for for each in state.workers} - {""})
        text = f"Nothing was stored for {STALLED_MINUTES} minutes, though calls wait"
        advice = f"the workers wait for {reasons}" if reasons else "look at the workers' logs"
        yield Problem("NothingStored", text, advice)


def _of_crawls(state: State) -> Iterator[Problem]:
    for crawl in state.crawls:
        ended_at = crawl.finished_at
        if ended_at is None or any(
            each.spider == crawl.spider and each.started_at > ended_at for each in state.crawls
        ):
            continue  # it runs, or somebody has started another one since
        name = f"The crawl {crawl.spider} of {crawl.worker}"
        if crawl.state == "silent" and state.at - ended_at < KILLED_WITHIN:
            advice = "start it again; what it had leased goes to others"
            yield Problem("CrawlKilled", f"{name} was killed", advice)
        elif crawl.reason in FATAL:
            advice = FATAL[crawl.reason]
            yield Problem("CrawlEndedEarly", f"{name} ended as {crawl.reason}", advice)


def _of_calls(state: State) -> Iterator[Problem]:
    recent = state.minutes[-STALLED_MINUTES:]
    calls, errors = (sum(getattr(each, name) for each in recent) for name in ("calls", "errors"))
    if calls >= LEAST_CALLS and errors > ERROR_SHARE * calls:
        text = f"{errors / calls:.0%} of the calls of the last {STALLED_MINUTES} minutes failed"
        yield Problem("ErrorShare", text, "see scrapy failed list --by-error, and the logs")
    if state.failed.last_hour:
        text = f"{state.failed.last_hour:,} calls were given up in the last hour"
        advice = "scrapy failed list --by-error says why, scrapy failed retry tries them again"
        yield Problem("CallsGivenUp", text, advice)


def _of_products(state: State) -> Iterator[Problem]:
    oldest = state.outboxes and state.outboxes.webhook_oldest_at
    if oldest and state.at - oldest > WEBHOOK_WAIT:
        waiting = state.outboxes.webhook_waiting if state.outboxes else 0
        text = f"{waiting:,} changes wait for the webhook, the oldest since {oldest:%F %H:%M} UTC"
        yield Problem("WebhookWaits", text, "look at the receiver of ALI1688_WEBHOOK_URL")
    fresh = None if state.watch is None else state.watch.fraction_fresh
    if fresh is not None and fresh < LEAST_FRESH:
        text = f"Only {fresh:.0%} of the watched products are fresh"
        advice = "watch fewer, raise the quota, or use ALI1688_MESSAGES=poll"
        yield Problem("FreshnessLow", text, advice)
