"""Changes as signed HTTP posts to an address of the user's."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import aiohttp

from ali1688_spider.delivery.webhook_outbox import Documents, WebhookOutbox
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.storage.changes import Change
from ali1688_spider.storage.database_errors import StoreUnavailableError, explain
from ali1688_spider.storage.outbox import CLOSE_SECONDS, end, wait

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database

logger = logging.getLogger(__name__)

RESPONSE_SECONDS = 10.0
POLL_SECONDS = 15.0
SHORTEST_WAIT = 0.2


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


async def post(
    session: aiohttp.ClientSession, url: str, secret: str, content: dict[str, Any]
) -> None:
    """Post *content* as JSON, signed.

    Raises:
        StoreUnavailableError: What came instead of a response 2xx, without the address: it may be
            secret.
    """
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-Ali1688-Delivery": uuid.uuid4().hex,
        "X-Ali1688-Timestamp": timestamp,
        "X-Ali1688-Signature": signature(secret, timestamp, body),
    }
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            status = response.status
    # An address that cannot be one raises errors of any kind: it counts as no response.
    except Exception as error:  # noqa: BLE001
        raise StoreUnavailableError(f"it does not answer ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise StoreUnavailableError(f"it answers {status}")


def open_session() -> aiohttp.ClientSession:
    """Return what posts, through the proxy of the environment (``https_proxy``, ``no_proxy``)."""
    timeout = aiohttp.ClientTimeout(total=RESPONSE_SECONDS)
    return aiohttp.ClientSession(timeout=timeout, trust_env=True)


class Webhook:
    """Posts changes as JSON, ``{"changes": [...]}`` (see :meth:`Change.message`), oldest first.

    The crawl only puts changes into the outbox; a task of its own sends them, one delivery at a
    time, and while another worker sends it waits. What is not answered with 2xx is sent again until
    it is, in later crawls too. A delivery whose response was lost comes again, so a receiver
    remembers the ids of changes. A change never comes before an older one of the same product has
    arrived.

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
        self._sender: asyncio.Task[None] | None = None

    async def publish(self, changes: Sequence[Change]) -> None:
        """Put *changes* into the outbox; raises as :meth:`WebhookOutbox.add`."""
        await self._outbox.ensure_indexes()
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
        async with open_session() as session:
            while not (self._closing.is_set() and self._failures):
                self._new.clear()
                last = self._closing.is_set()  # by now, all that there will be waits
                try:
                    await self._outbox.ensure_indexes()
                    due_in = await self._send_due(session)
                # Whatever it is, what comes later has to be sent all the same.
                except Exception as error:  # noqa: BLE001
                    if not self._failures:
                        text = "The webhook takes no changes, they wait and are kept: %s"
                        logger.warning(text, explain(error))
                    self._failures += 1
                    await wait(self._closing, self._backoff.delay(self._failures))
                    continue
                if last and due_in > 0:
                    return
                await wait(self._new, min(max(due_in, SHORTEST_WAIT), POLL_SECONDS))

    async def _send_due(self, session: aiohttp.ClientSession) -> float:
        """Send what is due; return in how many seconds more is, 0 while another worker sends."""
        try:
            while await self._outbox.lease():
                if not (documents := await self._outbox.oldest_due()):
                    return await self._outbox.due_in()
                await self._send(session, documents)
            return 0.0
        finally:
            await self._outbox.release()

    async def _send(self, session: aiohttp.ClientSession, documents: Documents) -> None:
        try:
            changes = [Change.from_document(each["change"]).message() for each in documents]
            await post(session, self._url, self._secret, {"changes": changes})
        except Exception:  # whatever it is, they have not arrived, and are due again later
            self._count("failed", len(documents))
            attempts = 1 + max(each["attempts"] for each in documents)
            await self._outbox.postpone(documents, self._backoff.delay(attempts))
            raise
        await self._outbox.settle(documents)
        self._count("delivered", len(documents))
        if self._failures:
            logger.info("The webhook takes changes again.")
        self._failures = 0
