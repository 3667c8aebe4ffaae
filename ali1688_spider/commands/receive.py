"""``scrapy receive``: takes the messages that the platform posts, and hints the watch."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sqlite3
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qsl

from aiohttp.http_exceptions import HttpProcessingError
from redis.exceptions import RedisError

from ali1688_spider.batching import BatchWriter
from ali1688_spider.config import Config
from ali1688_spider.context import data_folder, redis_client
from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.messages import read_callback
from ali1688_spider.gateway.protocols import is_from_platform
from ali1688_spider.project_command import ProjectCommand, serve
from ali1688_spider.redaction import redact_logs
from ali1688_spider.spiders.watch import open_watcher
from ali1688_spider.watching.hints import ProblemLog, RedisHintStore, SqliteHintStore, keep_hints
from ali1688_spider.watching.sqlite_store import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web
    from scrapy.settings import BaseSettings

    from ali1688_spider.gateway.messages import PlatformMessage

logger = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024
"""Of a callback; one of the platform has some hundred."""

BODY_SECONDS = 10.0
"""Longest time until the body of a callback has come."""

SUMMARY_SECONDS = 60.0
"""Interval of the line in the log that says what came, while something does."""

_SHUTDOWN_SECONDS = 5.0


class Command(ProjectCommand):
    is_service: ClassVar[bool] = True
    usage = "--port P [--host HOST]"
    summary = "Take the messages that the platform posts"
    description = (
        "Listen for the platform's messages (callbacks) about products that have changed, and have "
        "scrapy crawl watch fetch them at once. It listens on this machine alone unless --host "
        "says another address: put a web server with a certificate before it. Ends at Ctrl-C or "
        "SIGTERM."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--port", type=int, metavar="P", help="port to listen on, 0 for a free one")
        add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        if args or opts.port is None or not 0 <= opts.port <= 65_535:
            raise ConfigurationError("say where to listen: --port, from 0 to 65535, and no more")
        config = Config.from_settings(self.settings)
        redact_logs(*config.secrets)
        logging.getLogger("aiohttp.server").addFilter(_is_no_stranger_s)
        asyncio.run(_serve(Receiver(config, self.settings), opts.host, opts.port))


class Receiver:
    """Answers callbacks: 204 for a message that is kept, so that the platform does not repeat it.

    401 stands for a wrong signature, 400 for what is no message, 413 and 408 for one that is too
    long or comes too slowly, 503 while the store is away; after these it comes again.

    Attributes:
        counts: What came, by the names of the watch's statistics (``ali1688/hints/…``).
    """

    def __init__(self, config: Config, settings: BaseSettings) -> None:
        self.counts: Counter[str] = Counter()
        self._secret = config.app_secret
        self._stats_file = config.stats_file
        self._watcher = open_watcher(settings, config)
        self._redis = redis_client(config, settings)
        self._store: RedisHintStore | SqliteHintStore = (
            RedisHintStore(self._redis)
            if self._redis
            else SqliteHintStore(data_folder() / FILE_NAME)
        )
        self._batches: BatchWriter[PlatformMessage, None] = BatchWriter(self._keep)
        self._problems = ProblemLog()
        self._is_away = False

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a callback."""
        from aiohttp import web

        try:
            message = await self._read(request)
            if message.is_known:
                await self._take(message)
            else:
                self.counts["ali1688/hints/other_topics"] += 1
                logger.debug("A message of the topic %s is for nobody here", message.topic)
        except _RefusedError as refused:
            self.counts[f"ali1688/hints/{refused.name}"] += 1
            logger.debug("A callback is answered with %d: %s", refused.status, refused)
            return web.Response(status=refused.status, text=f"{refused}\n")
        return web.Response(status=204)

    async def _read(self, request: web.Request) -> PlatformMessage:
        """Return the message of a callback that the platform has signed."""
        from aiohttp import web

        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
        except TimeoutError:
            raise _RefusedError(408, "too_slow", "the body takes too long") from None
        except (ConnectionError, web.RequestPayloadError):
            raise _RefusedError(400, "cut_off", "the body is not complete") from None
        except web.HTTPRequestEntityTooLarge:
            text = f"the body is longer than {MOST_BYTES} bytes"
            raise _RefusedError(413, "too_long", text) from None
        form = _read_form(body)
        if not is_from_platform(form, self._secret):
            raise _RefusedError(401, "wrong_signature", "the signature is wrong or missing")
        try:
            return read_callback(form)
        except MalformedMessageError as error:
            raise _RefusedError(400, "malformed", str(error)) from None

    async def _take(self, message: PlatformMessage) -> None:
        """Keep a message of ours; return when it is kept."""
        if message.problem:  # it is taken all the same, or it would come for ever
            self.counts["ali1688/hints/malformed"] += 1
            self._problems.note(message.topic, message.problem)
        try:
            await self._batches.put(message)
        except (RedisError, sqlite3.Error) as error:
            if not self._is_away:
                where = "the watch's file" if isinstance(error, sqlite3.Error) else "REDIS_URL"
                text = "Messages cannot be kept (%s); the platform sends them again. Check %s"
                logger.warning(text, error, where)
            self._is_away = True
            raise _RefusedError(503, "store_away", "the message cannot be kept now") from None
        if self._is_away:
            logger.info("Messages are kept again")
        self._is_away = False

    async def summarise(self) -> None:
        """Log what has come, once a minute while something new has."""
        before = ""
        while True:
            await asyncio.sleep(SUMMARY_SECONDS)
            if self.counts and str(self) != before:
                before = str(self)
                logger.info("%s", before)

    async def close(self) -> None:
        """Keep what has come, and write the statistics to ``ALI1688_STATS_FILE``."""
        await self._batches.close()
        await self._watcher.close()
        self._store.close()
        if self._redis:
            self._redis.close()
        if self._stats_file:
            text = json.dumps(dict(sorted(self.counts.items())))
            await asyncio.to_thread(Path(self._stats_file).write_text, text, "utf-8")

    def __str__(self) -> str:
        names = sorted(self.counts)
        told = [f"{self.counts[name]:,} {name.rpartition('/')[2]}" for name in names]
        return f"Messages: {', '.join(told) or 'none'}"

    async def _keep(self, messages: Sequence[PlatformMessage]) -> Sequence[None]:
        kept = await keep_hints(messages, "receive", self._store, self._hint, asyncio.to_thread)
        for name, count in kept._asdict().items():
            self.counts[f"ali1688/hints/{name}"] += count
        return [None] * len(messages)

    async def _hint(self, product_ids: Sequence[int]) -> int:
        # Once: the platform repeats what is not kept.
        return await asyncio.to_thread(self._watcher.hint_blocking, product_ids)


class _RefusedError(Exception):
    """A callback is not taken: the answer's status and text, and the statistic that counts it."""

    def __init__(self, status: int, name: str, text: str) -> None:
        super().__init__(text)
        self.status, self.name = status, name


def _is_no_stranger_s(record: logging.LogRecord) -> bool:
    """Whether a log record shows nothing of what a stranger has sent that is no HTTP."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _read_form(body: bytes) -> Mapping[str, str]:
    """Return the fields of a form; none when it is no form, or has one twice."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        return {}
    form = dict(pairs)
    return form if len(form) == len(pairs) else {}


async def _serve(receiver: Receiver, host: str, port: int) -> None:
    from aiohttp import web

    app = web.Application(client_max_size=MOST_BYTES)
    app.router.add_post("/{anywhere:.*}", receiver.answer)
    summary = asyncio.create_task(receiver.summarise())
    try:
        await serve(app, host, port, _announce, _SHUTDOWN_SECONDS)
    finally:
        summary.cancel()
        await receiver.close()
    logger.info("%s", receiver)


def _announce(address: str) -> None:
    print(
        f"Listening on {address}: in the open platform's console enter, as the address for "
        "messages, the public address that leads here",
        flush=True,
    )
