"""Tells an idle worker that its queue has changed, so that it need not ask again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from redis.cluster import RedisCluster
from redis.exceptions import RedisError, ResponseError

if TYPE_CHECKING:
    from ali1688_spider.redis_server import RedisClient
    from ali1688_spider.scheduling.keys import QueueKeys

logger = logging.getLogger(__name__)

LISTEN_SECONDS = 0.5
"""How often it begins to listen: where others change the keys all the time, asking is cheaper."""
STOP_SECONDS = 1.0
"""How often the thread looks whether it should end; nothing is sent."""


class QueueListener(threading.Thread):
    """Listens for changes of Redis keys, whoever makes them, on a connection of its own.

    It is Redis's client-side caching (``CLIENT TRACKING``, https://redis.io/docs/latest/develop/
    reference/client-side-caching/): the server notes which keys a connection has read, and says
    once when one of them is changed. Where there is none (a proxy, RESP2), :attr:`is_supported`
    becomes False.

    Args:
        server: The client whose Redis it is.
        keys: Keys to listen for, on one node of a cluster.
        on_news: Called, in this thread, once it listens, since what changed before is unknown; when
            a key has changed; and when listening has failed.

    Attributes:
        is_listening: Whether a change would be noticed.
        is_supported: Whether this Redis can say what changed.
    """

    def __init__(
        self, server: RedisClient, keys: Sequence[str], on_news: Callable[[], object]
    ) -> None:
        super().__init__(name="queue listener", daemon=True)
        self._server = server
        self._keys = keys
        self._on_news = on_news
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._connection: Any = None
        self.is_listening = False
        self.is_supported = True

    def listen(self) -> None:
        """Begin to listen for the next change, soon, where that can be done."""
        if self.ident is None and not self._stopped.is_set():
            self.start()
        if self.is_supported:
            self._wanted.set()

    def stop(self) -> None:
        """End the thread, soon."""
        self._stopped.set()
        self._wanted.set()

    def run(self) -> None:
        """Listen for one change each time that :meth:`listen` asks for it."""
        while self._wanted.wait() and not self._stopped.is_set():
            began_at = time.monotonic()
            try:
                self._listen()
            except ResponseError as error:
                self.is_supported = False
                logger.info("Redis does not tell of changes (%s): idle workers ask instead", error)
            except (RedisError, OSError) as error:
                logger.debug("Nothing is heard of the queue: %s", error)
                self._disconnect()
            self.is_listening = False
            self._wanted.clear()
            self._on_news()
            self._stopped.wait(max(0.0, began_at + LISTEN_SECONDS - time.monotonic()))
        self._disconnect()

    def _listen(self) -> None:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.send_command("EXISTS", *self._keys)
        self._connection.read_response()
        self.is_listening = True
        self._on_news()
        while not self._stopped.is_set() and not self._connection.can_read(STOP_SECONDS):
            pass

    def _connect(self) -> Any:
        server: Any = self._server  # redis-py leaves parts of it without types
        if isinstance(self._server, RedisCluster):
            server = server.get_redis_connection(server.get_node_from_key(self._keys[0]))
        connection = server.connection_pool.make_connection()
        if str(connection.protocol) != "3":
            raise ResponseError("REDIS_PARAMS sets another protocol than 3")
        connection.connect()
        connection.send_command("CLIENT", "TRACKING", "ON")
        connection.read_response()
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


def heard_keys(keys: QueueKeys, digest: str) -> list[str]:
    """Return the keys whose change gives an idle worker something to do."""
    return [keys.start, keys.ready, keys.delayed, keys.pause, *([keys.crawls] if digest else [])]
