"""Keeps among the failed calls what the queue held and nobody can make."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ali1688_spider.addon import context_of
from ali1688_spider.storage.failed_call import FailedCall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy.crawler import Crawler

    from ali1688_spider.scheduling.intake import MessageBatch
    from ali1688_spider.scheduling.leased_calls import RefusedCall

logger = logging.getLogger(__name__)

MOST_KEPT_BYTES = 4096
"""Of a longer entry the beginning is kept: somebody may have queued more than a database takes."""


class StoreRecorder:
    """Records calls that were tried too often, and messages that ask for no call.

    The time of a failed call is that of its lease, or of its batch of messages: when the same ones
    are recorded again, since it was not known that they are kept, they are kept once.
    """

    def __init__(self, crawler: Crawler) -> None:
        assert crawler.spider is not None
        self._context = context_of(crawler)
        self._stats = crawler.stats
        self._spider_name = crawler.spider.name

    async def record_refused(self, refused: Sequence[RefusedCall]) -> None:
        """Keep calls that were tried too often, and entries of the queue that are no calls.

        Raises:
            StoreUnavailableError: They cannot be kept.
        """
        await self._context.failed_calls.keep_all([self._failed_call(each) for each in refused])
        self._stats.inc_value("ali1688/failed_calls", len(refused))
        for each in refused:
            logger.warning("%s given up: %s", each.call or "An entry of the queue", each.reason)

    async def record_malformed(self, batch: MessageBatch) -> None:
        """Keep the messages of producers that ask for no call.

        Raises:
            StoreUnavailableError: They cannot be kept.
        """
        taken_at = _time(batch.number)
        failed = [
            FailedCall(
                spider=self._spider_name,
                call=_text(malformed.message),
                api="",
                params={},
                error=malformed.reason,
                attempts=0,
                # A millisecond apart: equal messages of the same moment would be kept once.
                at=taken_at + timedelta(milliseconds=index),
            )
            for index, malformed in enumerate(batch.malformed)
        ]
        await self._context.failed_calls.keep_all(failed)
        self._stats.inc_value("ali1688/messages/malformed", len(failed))
        logger.warning(
            "%d messages ask for no call; they are kept among the failed calls. The first is %s",
            len(failed),
            batch.malformed[0].reason,
        )

    def _failed_call(self, refused: RefusedCall) -> FailedCall:
        call = refused.call
        return FailedCall(
            spider=self._spider_name,
            call=_text(refused.message),
            api=self._context.client.apis.name(call) if call else "",
            params=call.params if call else {},
            error=refused.reason,
            attempts=refused.attempt - 1,
            at=_time(refused.token),
        )


def _text(message: bytes) -> str:
    return message[:MOST_KEPT_BYTES].decode(errors="backslashreplace")


def _time(microseconds: str | bytes) -> datetime:
    return datetime.fromtimestamp(int(microseconds) / 1_000_000, UTC)
