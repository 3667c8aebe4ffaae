"""Changes as signed HTTP posts to an address of the user's."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp

from ali1688_spider.delivery.webhook_outbox import WebhookOutbox
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.storage.database_errors import explain
from ali1688_spider.storage.outbox import CLOSE_SECONDS, end, wait

if TYPE_CHECKING:
    from ali1688_spider.delivery.webhook_outbox import Delivery
    from ali1688_spider.storage.changes import Change
    from ali1688_spider.storage.database import Database

logger = logging.getLogger(__name__)

SIGNATURE_HEADER = "X-Ali1688-Signature"
TIMESTAMP_HEADER = "X-Ali1688-Timestamp"
DELIVERY_HEADER = "X-Ali1688-Delivery"

RESPONSE_SECONDS = 10.0
POLL_SECONDS = 15.0
SHORTEST_WAIT = 0.001


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return ``sha256=`` and the HMAC-SHA256, in hex, of the timestamp, a dot and the body.

    Args:
        secret: The key of both sides.
        timestamp: Unix time of the sending, in seconds: signed, so that a receiver can refuse a
            recorded delivery that is sent again later.
        body: The bytes as they are sent.
    """
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class Webhook:
    """Posts changes as JSON, ``{"changes": [...]}`` (see :meth:`Change.message`), oldest first.

    The crawl only puts changes into the outbox; a task of its own sends them, one delivery at a
    time. What is not answered with 2xx is sent again until it is, in later crawls too. A delivery
    whose response was lost comes again, so a receiver remembers the ids of changes. A change never
    comes before an older one of the same product has arrived.

    The proxy of the environment (``https_proxy``, ``no_proxy``) is used.

    Args:
        url: Where the changes go.
        secret: Signs the deliveries.
        database: Holds the outbox.
        count: Called with ``delivered`` or ``failed`` and how many changes, for statistics.
        backoff: How long to wait after a failure.
    """

    name = "The webhook"

    def __init__(
        self,
        url: str,
        secret: str,
        database: Database,
        *,
        count: Callable[[str, int], object] = lambda _name, _number: None,
        backoff: Backoff | None = None,
    ) -> None:
        self._url = url
        self._secret = secret
        self._outbox = WebhookOutbox(database)
        self._count = count
        self._backoff = backoff or Backoff(base=1.0, cap=600.0)
        self._new = asyncio.Event()
        self._closing = asyncio.Event()
        self._failures = 0
        self._has_indexes = False
        self._arrived: Delivery | None = None
        self._sender: asyncio.Task[None] | None = None

    async def publish(self, changes: Sequence[Change]) -> None:
        """Put *changes* into the outbox; raises as :meth:`WebhookOutbox.add`."""
        await self._prepare()
        await self._outbox.add(changes)
        self._new.set()

    def start(self) -> None:
        """Begin to send what waits, that of earlier crawls too."""
        self._sender = asyncio.create_task(self._send_all())

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what is due, for some *seconds* at most; the rest waits for the next crawl."""
        if self._sender is None:
            return
        self._closing.set()
        self._new.set()
        await end(self._sender, seconds)

    async def _send_all(self) -> None:
        timeout = aiohttp.ClientTimeout(total=RESPONSE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            while not (self._closing.is_set() and self._failures):
                self._new.clear()
                last = self._closing.is_set()  # by now, all that there will be waits
                try:
                    seconds = await self._send_next(session)
                # Whatever it is, what comes later has to be sent all the same.
                except Exception as error:  # noqa: BLE001
                    await self._note_failure(explain(error))
                    continue
                if seconds > 0:
                    if last:
                        return
                    await wait(self._new, seconds)

    async def _send_next(self, session: aiohttp.ClientSession) -> float:
        """Send what is due first; return in how many seconds there may be more."""
        await self._prepare()
        if self._arrived is not None:  # it could not be noted yet
            await self._settle(self._arrived)
        delivery = await self._outbox.claim()
        if delivery is None:
            due_at = await self._outbox.next_due()
            left = POLL_SECONDS if due_at is None else (due_at - datetime.now(UTC)).total_seconds()
            return min(max(left, SHORTEST_WAIT), POLL_SECONDS)
        problem = await self._post(session, delivery)
        if problem is None:
            await self._settle(delivery)
        else:
            self._count("failed", len(delivery.changes))
            due_in = self._backoff.delay(delivery.attempts + 1)
            await self._outbox.postpone(delivery, due_in)
            await self._note_failure(problem)
        return 0.0

    async def _prepare(self) -> None:
        if not self._has_indexes:
            await self._outbox.ensure_indexes()
            self._has_indexes = True

    async def _settle(self, delivery: Delivery) -> None:
        """Note that *delivery* has arrived."""
        self._arrived = delivery
        await self._outbox.settle(delivery)
        self._arrived = None
        self._count("delivered", len(delivery.changes))
        if self._failures:
            logger.info("The webhook takes changes again.")
        self._failures = 0

    async def _note_failure(self, problem: str) -> None:
        """Say it once, and wait."""
        if not self._failures:
            logger.warning("The webhook takes no changes, they wait and are kept: %s", problem)
        self._failures += 1
        await wait(self._closing, self._backoff.delay(self._failures))

    async def _post(self, session: aiohttp.ClientSession, delivery: Delivery) -> str | None:
        """Send *delivery*; return why it did not arrive, without the address: it may be secret."""
        content = {"changes": [change.message() for change in delivery.changes]}
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            DELIVERY_HEADER: delivery.id,
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: signature(self._secret, timestamp, body),
        }
        try:
            async with session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return None if 200 <= response.status < 300 else f"it answers {response.status}"
        # An address that cannot be one raises errors of any kind: it counts as no response.
        except Exception as error:  # noqa: BLE001
            return f"it does not answer ({type(error).__name__})"
