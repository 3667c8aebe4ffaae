"""What MongoDB knows of an installation: crawls, and changes that wait to be published."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pymongo.errors import ConnectionFailure

from ali1688_spider.delivery.webhook_outbox import WEBHOOK_OUTBOX
from ali1688_spider.monitoring.crawl_states import CrawlDocument
from ali1688_spider.monitoring.one_at_a_time import SERVER_SECONDS
from ali1688_spider.monitoring.state import OutboxState
from ali1688_spider.storage.database import CRAWLS, PENDING, PRODUCTS
from ali1688_spider.storage.database_errors import explain, reason

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.storage.database import Database

CRAWLS_WITHIN = timedelta(days=1)
MOST_CRAWLS = 50
MOST_COUNTED = 100_000
_BEGINNING = datetime(1, 1, 2, tzinfo=UTC)


class MongoStateReader:
    """Reads what MongoDB knows; each method raises PyMongoError when it cannot be asked."""

    def __init__(self, config: Config, database: Database) -> None:
        self._database = database
        self._has_webhook = bool(config.delivery.webhook_url)

    async def crawls(self, now: datetime) -> list[CrawlDocument]:
        """Return those that have not ended, then those that ended within a day, the last ones."""
        crawls, since = self._database[CRAWLS], {"$gte": now - CRAWLS_WITHIN}
        unfinished = {"finished_at": None, "last_seen": since}
        running = crawls.find(unfinished).sort("last_seen", -1).limit(MOST_CRAWLS)
        ended = crawls.find({"finished_at": since}).sort("finished_at", -1).limit(MOST_CRAWLS)
        documents = [*await running.to_list(), *await ended.to_list()]
        return [each for each in map(CrawlDocument.of, documents) if each is not None]

    async def outboxes(self) -> OutboxState:
        """Return how much waits to be published, counted up to a bound."""
        pending = await self._database[PRODUCTS].count_documents(
            {f"{PENDING}._id": {"$gt": ""}}, limit=MOST_COUNTED
        )
        if not self._has_webhook:
            return OutboxState(pending)
        outbox = self._database[WEBHOOK_OUTBOX]
        waiting = {"state": "waiting", "change.at": {"$gt": _BEGINNING}}
        count = await outbox.count_documents(waiting, limit=MOST_COUNTED)
        oldest = await outbox.find_one(waiting, {"change.at": 1}, sort=[("change.at", 1)])
        return OutboxState(pending, count, oldest["change"]["at"] if oldest else None)


def explain_mongo(error: Exception) -> str:
    """Return why MongoDB cannot be asked."""
    if isinstance(error, TimeoutError):
        return f"no answer within {SERVER_SECONDS:.0f} s"
    return reason(error) if isinstance(error, ConnectionFailure) else explain(error)
