"""Another try for calls that were given up: they return to the queue of their spider."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scrapy.settings import BaseSettings

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.queue import open_queue

if TYPE_CHECKING:
    from ali1688_spider.storage.failed_calls import FailedCall, FailedCallStore


async def requeue(
    settings: BaseSettings, store: FailedCallStore, failed: Sequence[FailedCall]
) -> None:
    """Queue calls of one spider, then remove them from *store*; a crash between queues them twice.

    Raises:
        ConfigurationError: ``REDIS_URL`` is empty.
        RedisError: Redis is away; nothing is lost.
    """
    entries = [QueueEntry(ApiCall.decode(each.call)) for each in failed]
    with contextlib.closing(open_queue(settings, failed[0].spider)) as queue:
        await asyncio.to_thread(queue.push, entries)
    await store.remove(failed)


def is_call(failed: FailedCall) -> bool:
    """Return whether it is a call at all: some are messages that ask for none."""
    with contextlib.suppress(MalformedMessageError):
        return bool(failed.api and ApiCall.decode(failed.call))
    return False
