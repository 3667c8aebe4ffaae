"""What is remembered of the platform's messages, beside the schedule of the watch.

Which messages were kept (they come again, by callback and by asking), when the last one was, which
products the app has listed or follows, and which worker of several asks for messages.
:class:`RedisHintStore` is for all workers, :class:`SqliteHintStore` for one process without Redis,
in the file of the watch. Their methods block; they raise RedisError or sqlite3.Error.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from ali1688_spider.redis_server import LuaScripts
from ali1688_spider.watching.redis_store import WATCHED_KEY

if TYPE_CHECKING:
    from ali1688_spider.gateway.messages import PlatformMessage

logger = logging.getLogger(__name__)

Source: TypeAlias = Literal["receive", "poll"]
Relation: TypeAlias = Literal["listed", "followed"]
Task: TypeAlias = Literal["poller", "follower"]
"""Who brings messages; what makes the platform send them; what one worker does for all."""

SOURCES: tuple[Source, ...] = ("receive", "poll")

REMEMBERED_SECONDS = 86_400.0
"""How long the id of a message is remembered. One that comes again later costs one fetch."""

POLLING_SHARE, FOLLOWING_SHARE = 0.05, 0.1
"""Parts of the calls of watching that asking for messages, and following products, take at most.
Two calls bring up to 200 messages, each of which may save a call or say what is worth one. The
first is set aside for good; the second only delays other calls until all products are followed."""

_TAG = WATCHED_KEY.removesuffix("watched")
_KEYS = {
    WATCHED_KEY: "hash",
    f"{_TAG}messages": "zset",
    f"{_TAG}messages_kept": "hash",
    f"{_TAG}listed": "set",
    f"{_TAG}followed": "set",
    f"{_TAG}poller": "string",
    f"{_TAG}follower": "string",
}


class RedisHintStore:
    """Keys beside the hash of the watched products.

    ``{watch:start_urls}:messages`` ZSET msgId → when it was kept, ms since 1970; with expiry
    ``{watch:start_urls}:messages_kept`` HASH source → when its last message was kept, ms since 1970
    ``{watch:start_urls}:listed`` SET of product ids
        What the app has listed, so that the platform sends messages of it.
    ``{watch:start_urls}:followed`` SET of product ids
        What the app follows, for messages of stock and drop-shipping prices.
    ``{watch:start_urls}:poller`` STRING with expiry
        The worker that asks for messages.
    ``{watch:start_urls}:follower`` STRING with expiry
        The worker that has products followed.
    """

    def __init__(self, client: Any) -> None:
        types = [*_KEYS.values()]
        self._scripts = LuaScripts(client, [*_KEYS], __package__, types=types)

    def unknown(self, message_ids: Sequence[str]) -> set[str]:
        """Return those of the messages that were not kept before."""
        known = self._scripts.run("known_messages", *message_ids) if message_ids else []
        return {each for each, is_known in zip(message_ids, known, strict=True) if not is_known}

    def remember(self, message_ids: Collection[str], source: Source) -> int:
        """Note that messages are kept; return how many were not before."""
        expiry = round(REMEMBERED_SECONDS * 1000)
        return int(self._scripts.run("remember_messages", source, expiry, *message_ids))

    def last_kept(self) -> Mapping[Source, float]:
        """Return when each source kept its last message (UTC, seconds since 1970), if it did."""
        times = dict(zip(SOURCES, self._scripts.run("last_messages", *SOURCES), strict=True))
        return {source: float(text) / 1000 for source, text in times.items() if text}

    def without(self, relation: Relation, cursor: int, most: int) -> tuple[list[int], int]:
        """Return about *most* fetched products without this relation, and where to go on.

        The cursor is 0 at the beginning and at the end.
        """
        following, *ids = self._scripts.run("without_relation", _place(relation), cursor, most)
        return [int(each) for each in ids if each.isdigit()], int(following)

    def relate(self, relation: Relation, product_ids: Sequence[int]) -> None:
        """Note that this relation to the products need not be made any more."""
        self._scripts.run("relate", _place(relation), *product_ids)

    def hold(self, task: Task, worker: str, seconds: float) -> bool:
        """Take or keep a task for *seconds*; return whether this worker has it, and no other."""
        milliseconds = max(1, round(seconds * 1000))
        return bool(self._scripts.run("hold_task", _place(task), worker, milliseconds))

    def let_go(self, task: Task, worker: str) -> None:
        """Leave a task, if this worker has it, to any other."""
        self._scripts.run("hold_task", _place(task), worker, 0)

    def close(self) -> None:
        """Do nothing: the client belongs to the process."""


def _place(name: Relation | Task) -> int:
    """Return the number of a key among those of the scripts, from 1."""
    return [*_KEYS].index(f"{_TAG}{name}") + 1


_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, kept_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_kept_at ON messages (kept_at);
CREATE TABLE IF NOT EXISTS messages_kept (source TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS related (
    relation TEXT, product_id INTEGER, PRIMARY KEY (relation, product_id)
) WITHOUT ROWID;
"""


class SqliteHintStore:
    """Tables of their own in the file of the watched products, which is there already."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
        try:
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error:
            self._connection.close()
            raise

    def unknown(self, message_ids: Sequence[str]) -> set[str]:
        """See :meth:`RedisHintStore.unknown`."""
        query = "SELECT 1 FROM messages WHERE id = ?"
        with self._lock:
            run = self._connection.execute
            return {each for each in message_ids if run(query, (each,)).fetchone() is None}

    def remember(self, message_ids: Collection[str], source: Source) -> int:
        """See :meth:`RedisHintStore.remember`."""
        now = time.time()
        with self._lock, self._connection as connection:
            connection.execute(
                "DELETE FROM messages WHERE kept_at < ?", (now - REMEMBERED_SECONDS,)
            )
            new = connection.executemany(
                "INSERT OR IGNORE INTO messages VALUES (?, ?)",
                [(each, now) for each in message_ids],
            ).rowcount
            connection.execute("REPLACE INTO messages_kept VALUES (?, ?)", (source, now))
        return new

    def last_kept(self) -> Mapping[Source, float]:
        """See :meth:`RedisHintStore.last_kept`."""
        with self._lock:
            return dict(self._connection.execute("SELECT source, at FROM messages_kept"))

    def without(self, relation: Relation, cursor: int, most: int) -> tuple[list[int], int]:
        """See :meth:`RedisHintStore.without`."""
        query = (
            "SELECT product_id FROM watched WHERE product_id > ? AND entry != '' AND product_id "
            "NOT IN (SELECT product_id FROM related WHERE relation = ?) ORDER BY product_id LIMIT ?"
        )
        with self._lock:
            found = self._connection.execute(query, (cursor, relation, most)).fetchall()
        ids = [product_id for (product_id,) in found]
        return ids, ids[-1] if len(ids) == most else 0

    def relate(self, relation: Relation, product_ids: Sequence[int]) -> None:
        """See :meth:`RedisHintStore.relate`."""
        with self._lock, self._connection as connection:
            rows = [(relation, each) for each in product_ids]
            connection.executemany("INSERT OR IGNORE INTO related VALUES (?, ?)", rows)

    def hold(self, task: Task, worker: str, seconds: float) -> bool:  # noqa: ARG002  # as with Redis
        """Return True: there is one process."""
        return True

    def let_go(self, task: Task, worker: str) -> None:
        """Do nothing: there is one process."""

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


class ProblemLog:
    """Logs what is wrong with messages: a warning for the first one of a topic, then for DEBUG."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def note(self, topic: str, problem: str) -> None:
        """Log a problem of a message of *topic*, which is one of ours or empty."""
        level = logging.DEBUG if topic in self._warned else logging.WARNING
        self._warned.add(topic)
        text = "A message of the platform cannot be used%s: %s. The statistics count further ones"
        logger.log(level, text, f" ({topic})" if topic else "", problem)


class KeptHints(NamedTuple):
    """What came of messages.

    Attributes:
        received: Messages that had not come before.
        duplicates: Those that had.
        watched: Products that the new ones name, and that are watched.
        unwatched: Those that are not.
    """

    received: int
    duplicates: int
    watched: int
    unwatched: int


async def keep_hints(
    messages: Sequence[PlatformMessage],
    source: Source,
    store: RedisHintStore | SqliteHintStore,
    hint: Callable[[Sequence[int]], Awaitable[int]],
    run: Callable[..., Awaitable[Any]],
) -> KeptHints:
    """Have the products that messages name fetched, each message once; return what came of it.

    A message is remembered after its hint is kept, not before: who is killed in between keeps it
    once more.

    Args:
        messages: At least one; the same may be among them twice.
        source: Who brings them.
        store: Remembers them.
        hint: Keeps hints, and returns how many of the products are watched.
        run: Runs a method of *store*, which blocks, with its arguments.
    """
    by_id = {each.message_id: each for each in messages}
    unknown: set[str] = await run(store.unknown, list(by_id))
    new = [each for each in by_id.values() if each.message_id in unknown]
    product_ids = list(dict.fromkeys(each for message in new for each in message.product_ids))
    watched = await hint(product_ids) if product_ids else 0
    # Another process may have kept some of them meanwhile.
    received: int = await run(store.remember, sorted(unknown), source) if unknown else 0
    return KeptHints(
        received, len(messages) - received, watched, max(0, len(product_ids) - watched)
    )
