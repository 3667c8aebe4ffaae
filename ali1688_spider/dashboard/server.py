"""The dashboard's web server: its pages, its events, and what other programs read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import defaultdict
from importlib import resources
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from scrapy.settings import BaseSettings

from ali1688_spider.dashboard.changes_of_period import latest_changes
from ali1688_spider.dashboard.live import LiveState, TooManyListenersError, event
from ali1688_spider.dashboard.product_pages import ProductPages
from ali1688_spider.dashboard.rendering import render, render_sections
from ali1688_spider.monitoring.metrics import CONTENT_TYPE, metrics_text
from ali1688_spider.reporting.texts import Text, text
from ali1688_spider.scheduling.requeue import is_call, requeue
from ali1688_spider.storage.database_errors import StoreUnavailableError
from ali1688_spider.storage.failed_calls import fold_error

if TYPE_CHECKING:
    from ali1688_spider.dashboard.access import Access
    from ali1688_spider.dashboard.live import Parts
    from ali1688_spider.monitoring.reading import StateReader
    from ali1688_spider.monitoring.state import State
    from ali1688_spider.storage.failed_calls import FailedCall

logger = logging.getLogger(__name__)

ASSETS = {
    "base.css": ("ali1688_spider.reporting", "templates", "text/css"),
    "base.js": ("ali1688_spider.reporting", "templates", "text/javascript"),
    "dashboard.css": ("ali1688_spider.dashboard", "assets", "text/css"),
    "dashboard.js": ("ali1688_spider.dashboard", "assets", "text/javascript"),
}
"""What pages load: package, folder, and kind of each."""
WRITE_SECONDS = 30.0
"""After which a client that takes no data is let go."""
CHANGES_SECONDS = 5.0
AT_ONCE = 1000


class Dashboard:
    """Answers the requests of the dashboard."""

    def __init__(self, settings: BaseSettings, reader: StateReader) -> None:
        self._settings = settings
        self._reader = reader
        self._changes: list[dict[str, Any]] = []
        self._live = LiveState(reader.read, self._parts)

    def app(self, access: Access) -> web.Application:
        """Return the application, to be run by :mod:`aiohttp.web`."""
        app = web.Application(middlewares=[access.middleware], client_max_size=2**20)
        app.router.add_get("/", self._page)
        app.router.add_get("/assets/{name}", _asset)
        app.router.add_get("/api/state", self._state)
        app.router.add_get("/api/events", self._events)
        app.router.add_post("/api/failed/retry", self._retry)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", _healthz)
        ProductPages(self._reader.database).add_to(app)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        await self._live.close()
        await self._reader.close()

    async def _page(self, request: web.Request) -> web.Response:
        state = await self._live.state()
        sections = render_sections(state, await self._recent_changes())
        return _html(render("dashboard.html", here=request.path, sections=sections))

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response((await self._live.state()).as_json(), dumps=_json)

    async def _metrics(self, _: web.Request) -> web.Response:
        body = metrics_text(await self._live.state())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Send the state as events, as long as the client takes them.

        These are ``state`` and ``changes`` with JSON; with ``?as=html`` ``section`` with
        ``{name, html}`` for the page.
        """
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        listener = self._live.listen("html" if request.query.get("as") == "html" else "json")
        try:
            async for events in listener:
                if not response.prepared:
                    await response.prepare(request)
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(b"".join(events) or b":\n\n")
        except TooManyListenersError:
            raise web.HTTPServiceUnavailable(text="Too many clients listen already\n") from None
        except (ConnectionError, TimeoutError):
            logger.debug("A listener is gone")
        finally:
            await listener.aclose()
        return response

    async def _retry(self, request: web.Request) -> web.Response:
        """Queue failed calls again: those of ``ids``, or all of a ``reason``."""
        try:
            wanted = await request.json()
            ids, reason = set(wanted.get("ids", ())), wanted.get("reason")
        except (ValueError, TypeError, AttributeError):
            raise web.HTTPBadRequest(text='Send {"ids": […]} or {"reason": "…"}\n') from None
        if self._reader.redis is None:
            sentence = "Without REDIS_URL calls are retried by the command: scrapy failed retry"
            return _said(text(sentence), status=409)
        try:
            queued = await self._requeue(ids, reason)
        except (RedisError, PyMongoError, StoreUnavailableError):
            logger.exception("Failed calls cannot be retried")
            return _said(text("Not retried: Redis or MongoDB is away"), status=503)
        return _said(text("{n} call is queued again|{n} calls are queued again", n=queued))

    async def _requeue(self, ids: set[object], reason: object) -> int:
        """Return how many calls were queued again."""
        store, queued = self._reader.failed_calls, 0
        by_spider: defaultdict[str, list[FailedCall]] = defaultdict(list)
        async for failed in store.list():
            is_wanted = failed.id in ids or (reason and fold_error(failed.error) == reason)
            if is_wanted and is_call(failed):
                queued += 1
                by_spider[failed.spider].append(failed)
                if len(by_spider[failed.spider]) == AT_ONCE:
                    await requeue(self._settings, store, by_spider.pop(failed.spider))
        for calls in by_spider.values():
            await requeue(self._settings, store, calls)
        return queued

    async def _parts(self, state: State) -> Parts:
        changes = await self._recent_changes()
        parts = {
            ("html", name): event("section", {"name": name, "html": html})
            for name, html in render_sections(state, changes).items()
        }
        values = state.as_json()
        del values["totals"]  # they have their own place, /metrics
        return {
            **parts,
            ("json", "state"): event("state", values),
            ("json", "changes"): event("changes", changes),
        }

    async def _recent_changes(self) -> list[dict[str, Any]]:
        """Return the last changes; while the database is away, those that were known before."""
        if self._reader.database is not None:
            with contextlib.suppress(PyMongoError, TimeoutError):  # the state says that it is away
                async with asyncio.timeout(CHANGES_SECONDS):
                    self._changes = await latest_changes(self._reader.database)
        return self._changes


async def _asset(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in ASSETS:
        raise web.HTTPNotFound
    package, folder, kind = ASSETS[name]
    body = (resources.files(package) / folder / name).read_bytes()
    return web.Response(body=body, content_type=kind, charset="utf-8")


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _html(page: str) -> web.Response:
    return web.Response(text=page, content_type="text/html", charset="utf-8")


def _said(sentence: Text, *, status: int = 200) -> web.Response:
    return web.json_response({"text": sentence.en, "zh": sentence.zh}, status=status, dumps=_json)


def _json(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False)
