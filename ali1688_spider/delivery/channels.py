"""The ways that changes go out by, as the settings ask for them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from pymongo.errors import PyMongoError

from ali1688_spider.delivery.filters import FilteredChannel
from ali1688_spider.delivery.redis_stream import RedisStream
from ali1688_spider.delivery.webhook import Webhook
from ali1688_spider.delivery.webhook_outbox import WebhookOutbox
from ali1688_spider.storage.errors import explain, severity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ali1688_spider.config import DeliverySettings
    from ali1688_spider.storage.change import Change
    from ali1688_spider.storage.connection import Database
    from ali1688_spider.storage.outbox import Channel

logger = logging.getLogger(__name__)


class Receiver(Protocol):
    """Takes changes, or raises what keeps it from taking them."""

    async def deliver(self, changes: Sequence[Change]) -> None:
        """Take changes. The same change may come again, and is then no news."""


class NamedChannel:
    """A channel whose receiver may take nothing for a while.

    One line says that it takes no changes, and why; one that it takes them again.

    Args:
        name: What the lines call it.
        receiver: Takes the changes.
        kept: Called with how many changes it did not take, each time.
    """

    def __init__(self, name: str, receiver: Receiver, kept: Callable[[int], object]) -> None:
        self._name = name
        self._receiver = receiver
        self._kept = kept
        self._logged = logging.NOTSET

    async def deliver(self, changes: Sequence[Change]) -> bool:
        """Pass *changes* on; return whether that is done."""
        try:
            await self._receiver.deliver(changes)
        # Whatever it is, it must hold up neither the products nor the other channels.
        except Exception as error:  # noqa: BLE001
            self._note_shut(error)
            self._kept(len(changes))
            return False
        if self._logged:
            self._logged = logging.NOTSET
            logger.info("%s takes changes again", self._name)
        return True

    def _note_shut(self, error: Exception) -> None:
        level = severity(error)
        if level > self._logged:
            self._logged = level
            reason = (
                explain(error) if isinstance(error, PyMongoError) else str(error) or repr(error)
            )
            logger.log(
                level,
                "%s takes no changes: %s; products go on, changes are kept",
                self._name,
                reason,
            )


class Channels:
    """A Redis Stream where there is Redis, a webhook where there is an address, both, or none.

    Args:
        settings: Filters, and the webhook's address and secret.
        redis: The crawl's client of Redis, which stays open; None without Redis.
        count: Called with a statistic's name and how many changes.
    """

    def __init__(
        self, settings: DeliverySettings, redis: Any, *, count: Callable[[str, int], object]
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._count = count
        self._webhook: Webhook | None = None

    def open(self, database: Database) -> Sequence[Channel]:
        """Return the channels; what waits for the webhook is in *database*, and is sent now."""
        channels = []
        if self._redis is not None:
            channels.append(self._channel("The Redis Stream", RedisStream(self._redis)))
        if self._settings.webhook_url:
            self._webhook = Webhook(
                self._settings.webhook_url,
                self._settings.webhook_secret,
                WebhookOutbox(database),
                count=lambda name, number: self._count(f"webhook/{name}", number),
            )
            self._webhook.start()
            channels.append(self._channel("The webhook", self._webhook))
        return channels

    async def close(self) -> None:
        """Send what waits for the webhook, for some seconds at most."""
        if self._webhook is not None:
            await self._webhook.close()

    def _channel(self, name: str, receiver: Receiver) -> Channel:
        channel = NamedChannel(name, receiver, lambda number: self._count("changes/kept", number))
        return FilteredChannel(
            channel, fields=self._settings.fields, min_percent=self._settings.min_percent
        )
