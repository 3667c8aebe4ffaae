"""Records among the failed calls what the queue holds and nobody can make."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from scrapy.crawler import Crawler

from ali1688_spider.addon import context_of
from ali1688_spider.retrying import ServerRetry, Unavailable
from ali1688_spider.storage.database_errors import StoreUnavailableError
from ali1688_spider.storage.failed_calls import FailedCall

if TYPE_CHECKING:
    from ali1688_spider.scheduling.lease import Lease
    from ali1688_spider.scheduling.start_list import MessageBatch

logger = logging.getLogger(__name__)

MOST_RECORDED_BYTES = 4096
"""Of a longer message the beginning is recorded: a database may not take the whole."""


class FailureRecorder:
    """Records refused calls and malformed messages; waits while their store is away.

    The time of a record is that of the lease, or of the batch of messages: what is recorded again,
    since it was not known that it is, is kept once.
    """

    def __init__(self, crawler: Crawler, spider: str) -> None:
        self._context = context_of(crawler)
        self._stats = crawler.stats
        self._spider = spider
        on_wait = partial(self._stats.inc_value, "ali1688/failed_calls/unavailable")
        self._retry = ServerRetry("The store of failed calls", _outage, on_wait=on_wait)

    async def record(self, refused: Sequence[Lease], batch: MessageBatch | None) -> None:
        """Return when all are kept."""
        failed = [
            self._failed_call(lease.message, lease.refusal, lease.token, lease) for lease in refused
        ]
        malformed = batch.malformed if batch is not None else ()
        number = int(batch.number) if batch is not None else 0
        for index, (message, reason) in enumerate(malformed):
            # A millisecond apart: equal messages of the same moment would be kept once.
            failed.append(self._failed_call(message, reason, number + 1000 * index))
        await self._retry.run(lambda: self._context.failed_calls.keep_all(failed))
        self._stats.inc_value("ali1688/failed_calls", len(refused))
        for lease in refused:
            logger.warning("%s given up: %s", lease.call or "An entry of the queue", lease.refusal)
        if malformed:
            self._stats.inc_value("ali1688/messages/malformed", len(malformed))
            logger.warning(
                "%d messages ask for no call; they are kept among the failed calls. The first is "
                "%s",
                len(malformed),
                malformed[0][1],
            )

    def _failed_call(
        self, message: bytes, reason: str, microseconds: str | int, lease: Lease | None = None
    ) -> FailedCall:
        call = lease.call if lease is not None else None
        return FailedCall(
            spider=self._spider,
            call=message[:MOST_RECORDED_BYTES].decode(errors="backslashreplace"),
            api=self._context.client.apis.name(call) if call else "",
            params=call.params if call else {},
            error=reason,
            attempts=lease.attempt - 1 if lease is not None else 0,
            at=datetime.fromtimestamp(int(microseconds) / 1_000_000, UTC),
        )


def _outage(error: Exception) -> Unavailable | None:
    return Unavailable(str(error)) if isinstance(error, StoreUnavailableError) else None
