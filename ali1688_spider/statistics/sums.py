"""The statistics of all crawls over one Redis, added up, and a line for each that runs.

Keys:

``{ali1688:statistics}:totals`` HASH ``<spider> <statistic>`` → number
    Sums over all crawls there ever were. They only grow, across kills and restarts.
``{ali1688:statistics}:workers`` ZSET crawl process → when its line expires, ms since 1970
``{ali1688:statistics}:lines`` HASH crawl process → JSON of :class:`WorkerLine`
``{ali1688:statistics}:added`` HASH crawl process → JSON of its last addition
    By it an addition is recognised that comes twice, and one that Redis lost in a crash. A process
    that was killed is forgotten after a week.
``{ali1688:statistics}:minutes`` HASH ``<minutes since 1970> <name>`` → number
    What was counted in each of the last minutes, of :data:`BY_MINUTE`.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ali1688_spider.items import Moment
from ali1688_spider.redis_server import LuaScripts, printable

if TYPE_CHECKING:
    from ali1688_spider.redis_server import RedisClient

COUNTED = (
    "ali1688/",
    "item_scraped_count",
    "spider_exceptions/",
    "log_count/WARNING",
    "log_count/ERROR",
    "log_count/CRITICAL",
)
"""How the statistics begin that are added up."""
GAUGES = frozenset({"ali1688/watch/fraction_fresh", "ali1688/clock/skew_seconds"})
"""Those that are no counts: they stand in the line of their crawl."""
NOT_COUNTED = GAUGES | {"ali1688/search/found"}

BY_MINUTE = {
    "products": ("item_scraped_count",),
    "calls": ("ali1688/calls",),
    "errors": ("ali1688/errors/",),
    "failed": ("ali1688/failed_calls",),
    "expired": ("ali1688/leases/expired",),
}
"""What is counted for each minute: sums of these statistics, or of those that begin so."""
NO_ERRORS = frozenset({"ali1688/errors/product_gone"})
"""Not among the errors of a minute: what the platform says of a product is data."""
KEPT_MINUTES = 180
MOST = 2**53
"""What a double holds exactly, as the scripts of Redis count."""

Text = Annotated[str, AfterValidator(printable)]
Number = Annotated[int, Field(ge=0, le=MOST)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_KEYS = {
    "totals": "hash",
    "workers": "zset",
    "lines": "hash",
    "added": "hash",
    "minutes": "hash",
}


class WorkerLine(BaseModel):
    """What a crawl process says of itself.

    Attributes:
        spider: The name of its spider.
        host: The machine.
        pid: Its process there.
        job: The id of its job in Scrapyd; empty elsewhere.
        version: Of the package.
        started_at: When the crawl began (UTC).
        memory_bytes: Of the process, resident; 0 when unknown.
        in_flight: Calls on the wire and products that wait for the database.
        calls: Calls that it made.
        failed: Calls that it gave up.
        done: Products with an outcome.
        total: Products that it expects to handle; 0 when unknown.
        waiting: Calls that are queued, for all workers, or left, for a crawl alone.
        rate_per_second: Products in the last minute.
        seconds_left: Until nothing waits, at that rate; None when unknown.
        waits_for: What keeps it from working, in words; empty when nothing does.
        gauges: Of :data:`GAUGES`, by name.
    """

    model_config = ConfigDict(frozen=True)  # other versions may write more fields

    spider: Text
    host: Text
    pid: Number
    job: Text = ""
    version: Text = ""
    started_at: Moment
    memory_bytes: Number = 0
    in_flight: Number = 0
    calls: Number = 0
    failed: Number = 0
    done: Number = 0
    total: Number = 0
    waiting: Number = 0
    rate_per_second: Positive = 0.0
    seconds_left: Positive | None = None
    waits_for: Text = ""
    gauges: dict[Text, Finite] = {}

    @property
    def name(self) -> str:
        """``host:pid``."""
        return f"{self.host}:{self.pid}"

    @classmethod
    def of(cls, text: bytes) -> WorkerLine | None:
        """Read what is in Redis, which anybody may have written; None when it is no such line."""
        with suppress(ValidationError, OverflowError):  # the latter by a time in the year 1
            return cls.model_validate_json(text)
        return None


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A crawl process that was heard of lately, and in how many seconds its line expires."""

    line: WorkerLine
    expires_in: float


@dataclass(frozen=True, slots=True)
class Minute:
    """What all crawls did in a minute, which begins at *at* (UTC)."""

    at: datetime
    products: int
    calls: int
    errors: int
    failed: int
    expired: int


@dataclass(frozen=True, slots=True)
class StatisticsReading:
    """What is in Redis at a moment.

    Attributes:
        at: When, on Redis's clock (UTC).
        totals: The sums, by spider and statistic.
        workers: The crawl processes.
        minutes: The last minutes; the last one is not over.
    """

    at: datetime
    totals: dict[str, dict[str, float]]
    workers: tuple[LiveWorker, ...]
    minutes: tuple[Minute, ...]


class StatisticsWriter:
    """Adds what one crawl process counts to the sums, and keeps its line; thread-safe.

    Args:
        server: A client of Redis.
        spider: The name of the crawl's spider.
        lease_seconds: How long its line stays when nothing is heard of it.
    """

    def __init__(self, server: RedisClient, spider: str, lease_seconds: float) -> None:
        self._scripts = _scripts(server)
        self._spider = spider
        self._lease_ms = round(lease_seconds * 1000)
        self._worker = secrets.token_hex(8)
        self._lock = Lock()
        self._counted: dict[str, float] = {}
        self._sequence = 0
        self._has_added = False

    def has_grown(self, statistics: Mapping[str, Any]) -> bool:
        """Return whether one of *statistics* is more than at the last :meth:`write`."""
        return any(counted(statistics, self._counted))

    def write(self, statistics: Mapping[str, Any], line: WorkerLine | None) -> None:
        """Add by how much *statistics* have grown since the last time; None for *line* ends it.

        It blocks. What Redis did not confirm, since it went away meanwhile, is counted once,
        whether it had arrived or not.

        Raises:
            redis.exceptions.RedisError: Redis does not answer; the next addition makes up for it.
        """
        with self._lock:
            self._counted.update(counted(statistics, self._counted))
            self._sequence += 1
            self._scripts.run(
                "add",
                self._worker,
                self._lease_ms if line else 0,
                line.model_dump_json() if line else "",
                self._record(),
                int(self._has_added),
                KEPT_MINUTES,
            )
            self._has_added = True

    def _record(self) -> str:
        totals = {f"{self._spider} {name}": value for name, value in self._counted.items()}
        minutes = dict(_by_minute(self._counted))
        return json.dumps({"sequence": self._sequence, "totals": totals, "minutes": minutes})


class StatisticsReader:
    """Reads the sums; it blocks, and raises RedisError when Redis does not answer."""

    def __init__(self, server: RedisClient) -> None:
        self._scripts = _scripts(server)

    def read(self, minutes: int = 60) -> StatisticsReading:
        """Return the sums, the lines that have not expired, and the last *minutes*."""
        now, totals, lines, numbers = self._scripts.run("read", minutes, *BY_MINUTE)
        at = datetime.fromtimestamp(now / 1000, UTC)
        first = at.replace(second=0, microsecond=0) - timedelta(minutes=minutes - 1)
        rows = zip(*[iter(numbers)] * len(BY_MINUTE), strict=True)
        return StatisticsReading(
            at,
            _by_spider(totals),
            tuple(
                LiveWorker(line, left / 1000)
                for text, left in zip(lines[::2], lines[1::2], strict=True)
                if (line := WorkerLine.of(text)) is not None
            ),
            tuple(
                Minute(first + timedelta(minutes=n), *(round(_number(each)) for each in row))
                for n, row in enumerate(rows)
            ),
        )


def _scripts(server: RedisClient) -> LuaScripts:
    keys = [f"{{ali1688:statistics}}:{name}" for name in _KEYS]
    return LuaScripts(server, keys, __package__, prelude="shared", types=tuple(_KEYS.values()))


def counted(
    statistics: Mapping[str, Any], before: Mapping[str, float]
) -> Iterator[tuple[str, float]]:
    """Yield those of *statistics* that are added up and have grown since *before*."""
    for name, value in statistics.items():
        is_counted = name.startswith(COUNTED) and name not in NOT_COUNTED
        if is_counted and isinstance(value, int | float) and before.get(name, 0) < value <= MOST:
            yield name, value


def _by_minute(counts: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for name, parts in BY_MINUTE.items():
        prefixes = tuple(part for part in parts if part.endswith("/"))
        number = sum(
            each
            for statistic, each in counts.items()
            if (statistic in parts or statistic.startswith(prefixes)) and statistic not in NO_ERRORS
        )
        if number:
            yield name, number


def _by_spider(totals: list[bytes]) -> dict[str, dict[str, float]]:
    sums: dict[str, dict[str, float]] = {}
    for name, number in zip(totals[::2], totals[1::2], strict=True):
        spider, _, statistic = name.decode(errors="backslashreplace").partition(" ")
        if statistic.startswith(COUNTED):
            sums.setdefault(spider, {})[statistic] = _number(number)
    return sums


def _number(text: bytes | None) -> float:
    """Return the number that was counted; anybody may have written something else there."""
    with suppress(ValueError):
        if math.isfinite(number := float(text or 0)):
            return number
    return 0.0
