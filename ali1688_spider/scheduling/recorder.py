"""Keeps among the failed calls what the queue held and nobody can make."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ali1688_spider.addon import account_of
from ali1688_spider.storage.failed_call import FailedCall

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from ali1688_spider.scheduling.intake import MalformedMessage
    from ali1688_spider.scheduling.leased_calls import RefusedCall

logger = logging.getLogger(__name__)

MOST_KEPT_BYTES = 4096
"""Of a longer message the beginning is kept: somebody may have sent more than a database takes."""


class StoreRecorder:
    """Records calls that were tried too often, and messages that ask for no call."""

    def __init__(self, crawler: Crawler) -> None:
        assert crawler.spider is not None
        self._account = account_of(crawler)
        self._stats = crawler.stats
        self._spider_name = crawler.spider.name

    async def record_refused(self, refused: RefusedCall) -> None:
        """Keep a call that was tried too often, or an entry of the queue that is no call."""
        call = refused.call
        self._stats.inc_value("ali1688/failed_calls")
        logger.warning("%s given up: %s", call or "An entry of the queue", refused.reason)
        await self._account.failed_calls.keep(
            FailedCall(
                spider=self._spider_name,
                call=_text(refused.message),
                api=self._account.apis.name(call) if call else "",
                params=call.params if call else {},
                error=refused.reason,
                attempts=refused.attempt - 1,
                at=datetime.now(UTC),
            )
        )

    async def record_malformed(self, malformed: MalformedMessage) -> None:
        """Keep a message of a producer that asks for no call."""
        self._stats.inc_value("ali1688/messages/malformed")
        logger.warning("A message asks for no call: %s", malformed.reason)
        await self._account.failed_calls.keep(
            FailedCall(
                spider=self._spider_name,
                call=_text(malformed.message),
                api="",
                params={},
                error=malformed.reason,
                attempts=0,
                at=datetime.now(UTC),
            )
        )


def _text(message: bytes) -> str:
    return message[:MOST_KEPT_BYTES].decode(errors="backslashreplace")
