"""The queue as producers see it: programs that put calls into it and make none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy_redis import connection

from ali1688_spider.config import read_setting
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings


class QueueName:
    """Stands for a spider of which a queue needs to know the name only."""

    def __init__(self, name: str) -> None:
        self.name = name


def open_queue(settings: BaseSettings, spider_name: str) -> LeaseQueue:
    """Return the queue of a spider; credentials of the platform are not needed.

    Raises:
        ConfigurationError: REDIS_URL is empty or no address.
    """
    if not read_setting(settings, "REDIS_URL"):
        raise ConfigurationError(
            "REDIS_URL is empty: set it to the Redis of your workers, such as redis://localhost/0"
        )
    client = connection.from_settings(settings)
    queue_key = settings.get("SCHEDULER_QUEUE_KEY") or QUEUE_KEY
    return LeaseQueue(client, QueueName(spider_name), queue_key)
