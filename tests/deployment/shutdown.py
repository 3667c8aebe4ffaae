"""How long a crawl needs to end when nothing that it waits for answers."""

from __future__ import annotations

from ali1688_spider import settings
from ali1688_spider.commands.crawl import OPENING_SECONDS
from ali1688_spider.extensions import results, shared_statistics
from ali1688_spider.scheduling import worker
from ali1688_spider.storage import database, outbox


def longest_end() -> float:
    """Return the seconds that its parts wait at most, one after the other."""
    return sum(
        [
            OPENING_SECONDS,
            settings.DOWNLOAD_TIMEOUT,
            worker.CLOSING_SECONDS,
            database.RESPONSE_SECONDS,
            outbox.CLOSE_SECONDS,
            shared_statistics.CLOSING_SECONDS,
            results.CLOSING_SECONDS,
        ]
    )
