"""The ways that changes go out by, as the settings ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio import Redis

from ali1688_spider.delivery.filters import FilteredListener
from ali1688_spider.delivery.redis_stream import RedisStream
from ali1688_spider.delivery.webhook import Webhook
from ali1688_spider.delivery.webhook_outbox import WebhookOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ali1688_spider.delivery.settings import DeliverySettings
    from ali1688_spider.storage.change import Change
    from ali1688_spider.storage.connection import Database
    from ali1688_spider.storage.outbox import ChangeListener
    from ali1688_spider.storage.patience import Patience

ANSWER_SECONDS = 10.0


class Channels:
    """A Redis Stream where there is Redis, a webhook where there is an address, both, or none.

    Args:
        settings: Filters, and the webhook's address and secret.
        redis_url: Where Redis is; empty for no stream.
        patience: Waits for the database when it is away.
        count: Called with a name and how many changes, for the webhook's statistics.
    """

    def __init__(
        self,
        settings: DeliverySettings,
        redis_url: str,
        patience: Patience,
        *,
        count: Callable[[str, int], object],
    ) -> None:
        self._settings = settings
        self._redis_url = redis_url
        self._patience = patience
        self._count = count
        self._redis: Redis | None = None
        self._webhook: Webhook | None = None
        self._listeners: list[ChangeListener] = []

    async def open(self, database: Database) -> None:
        """Begin to pass changes on; what waits for the webhook is in *database*."""
        if self._redis_url:
            self._redis = Redis.from_url(
                self._redis_url,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
            )
            self._listeners.append(self._filtered(RedisStream(self._redis)))
        if self._settings.webhook_url:
            self._webhook = Webhook(
                self._settings.webhook_url,
                self._settings.webhook_secret,
                WebhookOutbox(database),
                self._patience,
                count=self._count,
            )
            await self._webhook.start()
            self._listeners.append(self._filtered(self._webhook))

    async def deliver(self, changes: Sequence[Change]) -> None:
        """Pass *changes* on to all.

        Raises:
            StoreUnavailableError: It is to be tried again later.
        """
        for listener in self._listeners:
            await listener.deliver(changes)

    async def close(self) -> None:
        """Send what waits, for some seconds at most, and close the connections."""
        if self._webhook is not None:
            await self._webhook.close()
        if self._redis is not None:
            await self._redis.aclose()

    def _filtered(self, listener: ChangeListener) -> ChangeListener:
        return FilteredListener(
            listener, fields=self._settings.fields, min_percent=self._settings.min_percent
        )
