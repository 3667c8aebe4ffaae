"""Keeps the leases of this worker alive."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from ali1688_spider.scheduling.queue import LeaseQueue

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class Heartbeat(threading.Thread):
    """A thread of its own: however busy the crawl is, its leases do not run out.

    Args:
        queue: The queue whose leases are kept.
        lease_seconds: How long a worker may be silent.
    """

    def __init__(self, queue: LeaseQueue, lease_seconds: float) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._queue = queue
        self._interval = lease_seconds / 4
        self._stopped = threading.Event()

    def run(self) -> None:
        """Beat until stopped; while Redis is away, more often."""
        wait = self._interval
        while not self._stopped.wait(wait):
            try:
                self._queue.heartbeat()
                wait = self._interval
            except RedisError as error:
                logger.debug("No heartbeat: %s", error)
                wait = min(self._interval, RETRY_SECONDS)

    def stop(self) -> None:
        """End the thread; a beat that is under way comes to its end."""
        self._stopped.set()
