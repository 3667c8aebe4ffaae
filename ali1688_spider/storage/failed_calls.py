"""Calls that were given up, kept in MongoDB, without it in Redis, without both in a file."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from redis.client import NEVER_DECODE
from redis.exceptions import RedisError
from typing_extensions import override  # in typing from Python 3.12

from ali1688_spider.items import Moment
from ali1688_spider.private_files import make_private, open_private, replacing
from ali1688_spider.storage.database import FAILED_CALLS, insert_new
from ali1688_spider.storage.database_errors import StoreUnavailableError

if TYPE_CHECKING:
    from ali1688_spider.retrying import ServerRetry
    from ali1688_spider.storage.database import Database

logger = logging.getLogger(__name__)

KEY = "ali1688:failed_calls"
MOST_IN_REDIS = 100_000
FILE_NAME = "failed_calls.jsonl"
REMEMBERED = 10_000
"""Lines within which the same call is recognised: it comes again when keeping it was repeated."""

MOST_COUNTED = 100_000

_PAGE = 1000
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


def fold_error(error: str) -> str:
    """Return the text of an error without what differs from call to call: # for each number."""
    return _NUMBER.sub("#", error)


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


class FailedCall(BaseModel):
    """A call that was given up.

    Attributes:
        spider: Name of the spider whose call it was.
        call: The call as the queue holds it; of a malformed message the message itself.
        api: Name of the platform's API; empty for a malformed message.
        params: The call's parameters.
        error: Why it was given up, in plain words.
        attempts: How often it was tried.
        at: When it was given up (UTC, in milliseconds).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spider: str
    call: Annotated[str, AfterValidator(_encodable)]
    api: str
    params: dict[str, Any]
    error: Annotated[str, AfterValidator(_encodable)]
    attempts: int
    at: Moment

    @property
    def id(self) -> str:
        """Equal for the same failure of the same call."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    def to_json(self) -> str:
        """Return the failed call as one line of JSON, always the same for the same."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> FailedCall | None:
        """Return the failed call of a line of :meth:`to_json`; None for any other."""
        with suppress(ValidationError):
            return cls.model_validate_json(text)
        return None

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> FailedCall | None:
        """Return the failed call whose attributes have these *values*; None if none has."""
        with suppress(ValidationError):
            return cls.model_validate(values)
        return None


class FailedCallStore(ABC):
    """Keeps failed calls until they are tried again.

    Attributes:
        unreadable: How many entries the last :meth:`list` left out, because they are no failed
            calls: a line that a crash has torn, or what another program wrote. They stay.
    """

    unreadable = 0

    async def keep(self, failed: FailedCall) -> None:
        """Keep one; as :meth:`keep_all`."""
        await self.keep_all([failed])

    @abstractmethod
    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        """Return when all of *failed* are kept, in one round trip.

        The same call kept twice is there once, so keeping again what may be kept does no harm.

        Raises:
            StoreUnavailableError: They cannot be kept; some may be.
        """

    async def list(self) -> AsyncIterator[FailedCall]:
        """Iterate over what is kept, the oldest first, with some thousand at once in memory.

        What the iteration has passed may be removed meanwhile.
        """
        self.unreadable = 0
        async for failed in self._entries():
            if failed is None:
                self.unreadable += 1
            else:
                yield failed

    @abstractmethod
    async def remove(self, failed: Sequence[FailedCall]) -> None:
        """Forget these; raises as :meth:`keep_all`."""

    @abstractmethod
    async def count(self, since: datetime | None = None) -> int:
        """Return how many were given up *since* then, or are there, without *since*.

        Entries that are no failed calls may be among them; what was given up since a time is
        counted up to :data:`MOST_COUNTED`.

        Raises:
            PyMongoError, RedisError, OSError: They cannot be counted.
        """

    @abstractmethod
    async def latest(self, most: int) -> Sequence[FailedCall]:
        """Return what can be read of the last *most* ones, the latest first.

        Raises:
            PyMongoError, RedisError, OSError: They cannot be read.
        """

    @abstractmethod
    def _entries(self) -> AsyncIterator[FailedCall | None]:
        """Iterate as :meth:`list` does; None stands for an entry that is no failed call."""


class MongoFailedCallStore(FailedCallStore):
    """Keeps failed calls in ``failed_calls``; waits for the database while it is away."""

    def __init__(self, database: Database, retry: ServerRetry) -> None:
        self._collection = database[FAILED_CALLS]
        self._retry = retry

    @override
    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        documents = {call.id: {"_id": call.id, **call.model_dump()} for call in failed}
        if documents:
            await self._retry.run(lambda: insert_new(self._collection, documents.values()))

    @override
    async def _entries(self) -> AsyncIterator[FailedCall | None]:
        # A page is a query of its own, so that what is done with the calls may take hours: a cursor
        # of the server's would have ended.
        last_at, passed = _BEGINNING, list[Any]()
        while page := await self._page(last_at, passed):
            for document in page:
                if document["at"] != last_at:
                    last_at, passed = document["at"], []
                passed.append(document.pop("_id"))
                yield FailedCall.from_values(document)

    @override
    async def remove(self, failed: Sequence[FailedCall]) -> None:
        await self._collection.delete_many({"_id": {"$in": [call.id for call in failed]}})

    @override
    async def count(self, since: datetime | None = None) -> int:
        if since is None:
            return await self._collection.estimated_document_count()
        return await self._collection.count_documents({"at": {"$gte": since}}, limit=MOST_COUNTED)

    @override
    async def latest(self, most: int) -> Sequence[FailedCall]:
        found = self._collection.find({}, {"_id": 0}, sort={"at": -1}, limit=most)
        calls = [FailedCall.from_values(document) for document in await found.to_list()]
        return [call for call in calls if call is not None]

    async def _page(self, last_at: datetime, passed: Sequence[Any]) -> Sequence[dict[str, Any]]:
        """Return the next ones after those that have *passed*, the last of them at *last_at*."""
        query = {"at": {"$gte": last_at}, "_id": {"$nin": passed}}
        return await self._collection.find(query, sort={"at": 1}, limit=_PAGE).to_list()


class RedisFailedCallStore(FailedCallStore):
    """Keeps failed calls in a sorted set.

    ``ali1688:failed_calls`` ZSET JSON of a failed call → when it was given up, ms since 1970
        Redis holds everything in memory, so that beyond *most* the oldest are forgotten.
    """

    def __init__(self, redis: Any, *, most: int = MOST_IN_REDIS) -> None:
        self._redis = redis
        self._most = most
        self._removed = 0

    @override
    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        if not failed:
            return
        try:
            forgotten = await asyncio.to_thread(self._add, failed)
        except RedisError as error:
            raise StoreUnavailableError(f"Redis does not answer ({error})") from error
        if forgotten:
            logger.warning("More than %d calls have failed; the oldest is forgotten", self._most)

    @override
    async def _entries(self) -> AsyncIterator[FailedCall | None]:
        passed, removed = 0, self._removed
        while True:
            first = passed - (self._removed - removed)
            if not (texts := await asyncio.to_thread(self._page, first, first + _PAGE - 1)):
                return
            passed += len(texts)
            for text in texts:
                yield FailedCall.from_json(text)

    @override
    async def remove(self, failed: Sequence[FailedCall]) -> None:
        texts = [call.to_json() for call in failed]
        self._removed += await asyncio.to_thread(self._redis.zrem, KEY, *texts)

    @override
    async def count(self, since: datetime | None = None) -> int:
        least = "-inf" if since is None else since.timestamp() * 1000
        number: int = await asyncio.to_thread(self._redis.zcount, KEY, least, "+inf")
        return number

    @override
    async def latest(self, most: int) -> Sequence[FailedCall]:
        texts = await asyncio.to_thread(self._page, -most, -1)
        calls = [FailedCall.from_json(text) for text in reversed(texts)]
        return [call for call in calls if call is not None]

    def _add(self, failed: Sequence[FailedCall]) -> int:
        """Return how many had to be forgotten for them."""
        with self._redis.pipeline() as pipeline:
            pipeline.zadd(KEY, {call.to_json(): call.at.timestamp() * 1000 for call in failed})
            pipeline.zremrangebyrank(KEY, 0, -self._most - 1)
            _, forgotten = pipeline.execute()
        return int(forgotten)

    def _page(self, first: int, last: int) -> Sequence[bytes]:
        # What others wrote into Redis may be no text at all: it must not fail while it is read.
        command = ("ZRANGE", KEY, first, last)
        return list(self._redis.execute_command(*command, **{NEVER_DECODE: True}))


class FileFailedCallStore(FailedCallStore):
    """Keeps failed calls in ``failed_calls.jsonl``; several processes may at the same time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    @override
    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        lines = "".join(f"{call.to_json()}\n" for call in failed).encode()
        with self._locked(), open_private(self._path) as descriptor:
            _append(descriptor, lines)

    @override
    async def _entries(self) -> AsyncIterator[FailedCall | None]:
        for failed in self._read():
            yield failed

    def _read(self) -> Iterator[FailedCall | None]:
        if not self._path.exists():
            return
        recent: dict[str, None] = {}
        with self._path.open("rb") as lines:
            for line in lines:
                failed = FailedCall.from_json(line)
                if failed is None:
                    yield None
                elif failed.id not in recent:
                    recent[failed.id] = None
                    if len(recent) > REMEMBERED:
                        del recent[next(iter(recent))]
                    yield failed

    @override
    async def remove(self, failed: Sequence[FailedCall]) -> None:
        forgotten = {call.id for call in failed}
        with self._locked(), self._path.open("rb") as lines, replacing(self._path) as file:
            for line in lines:
                call = FailedCall.from_json(line)
                if call is None or call.id not in forgotten:
                    file.write(line)

    @override
    async def count(self, since: datetime | None = None) -> int:
        return await asyncio.to_thread(self._count, since)

    def _count(self, since: datetime | None) -> int:
        calls = (call for call in self._read() if call is not None)
        return sum(since is None or call.at >= since for call in calls)

    @override
    async def latest(self, most: int) -> Sequence[FailedCall]:
        return await asyncio.to_thread(self._latest, most)

    def _latest(self, most: int) -> Sequence[FailedCall]:
        calls = (call for call in self._read() if call is not None)
        return [*reversed(deque(calls, maxlen=most))]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing meanwhile; what goes wrong is an outage."""
        try:
            make_private(self._path.parent)
            with open_private(self._path.with_suffix(".lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise StoreUnavailableError(f"{self._path} cannot be written: {error}") from error


def _append(descriptor: int, lines: bytes) -> None:
    """Write all of *lines* at the end of the file, or nothing."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        lines = b"\n" + lines  # a crash has torn the last line: it stays one of its own
    try:
        while lines:
            lines = lines[os.pwrite(descriptor, lines, os.fstat(descriptor).st_size) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def failed_call_store(
    database: Database | None, retry: ServerRetry, redis: Any, folder: Path
) -> FailedCallStore:
    """Return the most lasting store there is; it closes neither *database* nor *redis*.

    *retry* repeats writes while the database is away; *redis* is a blocking client.
    """
    if database is not None:
        return MongoFailedCallStore(database, retry)
    if redis is not None:
        return RedisFailedCallStore(redis)
    return FileFailedCallStore(folder)
