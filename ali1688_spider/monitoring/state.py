"""The state of an installation at a moment, as ``scrapy status`` and the dashboard show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from ali1688_spider.scheduling.steering import QueueStatus  # noqa: TC001  # pydantic reads it
from ali1688_spider.statistics.sums import LiveWorker, Minute  # noqa: TC001  # likewise


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server that crawls need.

    Attributes:
        name: ``Redis`` or ``MongoDB``.
        error: Why it cannot be asked; empty when it answers.
    """

    name: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class CrawlState:
    """A crawl that runs, or that ended within a day.

    Attributes:
        spider: The name of its spider.
        worker: ``host:pid`` of its process.
        state: ``running``, ``silent`` or ``finished``; one that is silent was killed.
        reason: Why it ended; empty while it runs.
        started_at: UTC.
        finished_at: UTC; None while it runs; when it was last heard of when it is silent.
        arguments: Those of its command, shortened.
        done: Products that it handled.
        total: Products that it expects to handle; 0 when unknown.
        ends_at: When it will be done, as it seems (UTC); None when unknown.
        calls: Calls that it made.
        failed: Calls that it gave up.
    """

    spider: str
    worker: str
    state: str
    reason: str
    started_at: datetime
    finished_at: datetime | None
    arguments: dict[str, str]
    done: int
    calls: int
    failed: int
    total: int = 0
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class QuotaState:
    """The calls of the app's day, which is China's.

    Attributes:
        used: Calls of today.
        daily_quota: Calls that a day has; 0 for no limit.
        resets_at: When the next day begins (UTC).
        ends_at: When today's calls will be used up (UTC), at the rate of the last minutes; None
            when they last for the day, and when that is unknown.
        paused_seconds: Until the end of a pause that the platform asked for; 0 without one.
        is_gateway_away: Whether the workers found that the gateway takes no calls.
    """

    used: int
    daily_quota: int
    resets_at: datetime
    ends_at: datetime | None
    paused_seconds: float
    is_gateway_away: bool

    @property
    def left(self) -> int | None:
        """Calls that are left today; None without a limit."""
        return max(0, self.daily_quota - self.used) if self.daily_quota else None


@dataclass(frozen=True, slots=True)
class FailureReason:
    """Calls that were given up for the same reason, of the last ones.

    Attributes:
        error: The reason, with # for each number.
        count: How many there are.
        last_at: When it last happened (UTC).
        example: One of the calls.
    """

    error: str
    count: int
    last_at: datetime
    example: str


@dataclass(frozen=True, slots=True)
class FailedCallsState:
    """The calls that were given up and neither retried nor dropped.

    Attributes:
        total: How many there are.
        last_hour: How many were given up in the last hour.
        reasons: The most frequent reasons of the last ones.
        considered: How many of the last ones these are about.
        latest: The last ones: id, spider, call, error, attempts, and time.
        error: Why all this is unknown; empty when it is not.
    """

    total: int = 0
    last_hour: int = 0
    reasons: tuple[FailureReason, ...] = ()
    considered: int = 0
    latest: tuple[dict[str, Any], ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Changes that were written with their products and wait to be published.

    Attributes:
        pending: Products that have such changes.
        webhook_waiting: Changes that wait for the webhook.
        webhook_oldest_at: When the oldest of these was observed (UTC); None when none waits.
    """

    pending: int = 0
    webhook_waiting: int = 0
    webhook_oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WatchState:
    """The watched products.

    Attributes:
        products: How many there are.
        fraction_fresh: The expected part, 0 to 1, whose stored copy is right; None when unknown.
    """

    products: int
    fraction_fresh: float | None


@dataclass(frozen=True, slots=True)
class TokenState:
    """The tokens that are kept; None stands for an end that nobody knows.

    Attributes:
        expires_at: When the access token ends (UTC).
        refresh_expires_at: When the refresh token ends (UTC).
        can_refresh: Whether there is a refresh token.
    """

    expires_at: datetime | None
    refresh_expires_at: datetime | None
    can_refresh: bool

    @property
    def ends_at(self) -> datetime | None:
        """When somebody has to authorise the app again (UTC)."""
        return self.refresh_expires_at if self.can_refresh else self.expires_at


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a person should act on.

    Attributes:
        name: Of the rule, as in ``deploy/prometheus/rules.yml``.
        what: What is wrong, with *values* in braces.
        how: What to do, likewise.
        values: Numbers and names of this case.
    """

    name: str
    what: str
    how: str
    values: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What is wrong."""
        return self.what.format_map(self.values)

    @property
    def advice(self) -> str:
        """What to do."""
        return self.how.format_map(self.values)


@dataclass(frozen=True, slots=True)
class State:
    """Everything at a moment; what cannot be known, since its server is away, is None or empty.

    Attributes:
        at: When (UTC).
        version: Of the package.
        redis: None without ``REDIS_URL``.
        mongo: None without ``MONGO_URI``.
        queues: By spider.
        workers: The crawl processes that live.
        crawls: Those that run, then those that ended within a day, the latest first.
        totals: Sums of the statistics of all crawls, by spider.
        minutes: What all crawls did in each of the last minutes; the last one is not over.
        quota: None when it is not shared through Redis.
        failed: The calls that were given up.
        watch: None when nothing is watched.
        outboxes: None without a database.
        tokens: None when none are kept.
        problems: What somebody should act on; to be filled by :mod:`.problems`.
    """

    at: datetime
    version: str
    redis: ServerState | None = None
    mongo: ServerState | None = None
    queues: dict[str, QueueStatus] = field(default_factory=dict)
    workers: tuple[LiveWorker, ...] = ()
    crawls: tuple[CrawlState, ...] = ()
    totals: dict[str, dict[str, float]] = field(default_factory=dict)
    minutes: tuple[Minute, ...] = ()
    quota: QuotaState | None = None
    failed: FailedCallsState = FailedCallsState()
    watch: WatchState | None = None
    outboxes: OutboxState | None = None
    tokens: TokenState | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def waiting(self) -> int:
        """Calls and messages that may be worked on now."""
        return sum(each.waiting for each in self.queues.values())

    @property
    def in_flight(self) -> int:
        """Calls that workers work on."""
        return sum(each.counts.leased for each in self.queues.values())

    @property
    def oldest_waiting(self) -> float | None:
        """For how many seconds the oldest ready call has waited; None when none does."""
        waits = [each.oldest_waiting for each in self.queues.values()]
        return max((each for each in waits if each is not None), default=None)

    def per_minute(self, name: str, minutes: int = 1) -> float:
        """Return the mean of what was counted in each of the last full minutes."""
        full = self.minutes[:-1][-minutes:]
        return sum(getattr(each, name) for each in full) / len(full) if full else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the state as JSON has it: times in ISO 8601, UTC."""
        values: dict[str, Any] = _STATE.dump_python(self, mode="json")
        values["problems"] = [
            {"name": each.name, "text": each.text, "advice": each.advice} for each in self.problems
        ]
        return values


_STATE = TypeAdapter(State)
