"""The dashboard's pages of products: the search, one product, and the changes of the last hours."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pymongo.errors import ExecutionTimeout, PyMongoError

from ali1688_spider.dashboard.changes_of_period import read_changes
from ali1688_spider.dashboard.product_history import read_product
from ali1688_spider.dashboard.product_search import find_products
from ali1688_spider.dashboard.rendering import render, sku_name
from ali1688_spider.exporting.selection import READ_OPTIONS
from ali1688_spider.gateway.identifiers import parse_product_id
from ali1688_spider.reporting.figures import Period
from ali1688_spider.reporting.texts import Text, text

if TYPE_CHECKING:
    from ali1688_spider.dashboard.changes_of_period import ChangesOfPeriod
    from ali1688_spider.storage.database import Database

logger = logging.getLogger(__name__)

Show = Callable[[web.Request, "Database"], Awaitable[web.Response]]

ANSWER_SECONDS = 12.0
"""How long a page may take; MongoDB counts as away after less."""
PRODUCTS_PAGE, CHANGES_PAGE = "/products", "/changes"
DAYS = (1, 7, 30, 90)
DEFAULT_DAYS = 7
HOURS = (1, 6, 24, 72, 168)
DEFAULT_HOURS = 24


class ProductPages:
    """Answers requests for pages of products.

    Args:
        database: Where they are stored; None when that is nowhere.
    """

    def __init__(self, database: Database | None) -> None:
        self._database = None
        if database is not None:
            self._database = database.with_options(codec_options=READ_OPTIONS)
        self._changes: dict[int, tuple[float, ChangesOfPeriod]] = {}
        self._reading = asyncio.Lock()

    def add_to(self, app: web.Application) -> None:
        """Add the pages to an application."""
        app.router.add_get(PRODUCTS_PAGE, partial(self._answer, self._search))
        app.router.add_get(f"{PRODUCTS_PAGE}/{{id}}", partial(self._answer, self._product))
        app.router.add_get(CHANGES_PAGE, partial(self._answer, self._period))

    async def _answer(self, show: Show, request: web.Request) -> web.Response:
        """Return the page that *show* makes, or one that says why there is none."""
        here = CHANGES_PAGE if request.path == CHANGES_PAGE else PRODUCTS_PAGE
        if self._database is None:
            sentence = (
                "No products are stored here, because MONGO_URI is empty: set it to the address "
                "of a MongoDB, or run scrapy up --write, and start the dashboard again."
            )
            return _message(here, text("Products"), text(sentence), status=200)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await show(request, self._database)
        except ExecutionTimeout:
            sentence = "MongoDB takes too long to answer: choose a shorter time, or try again."
        except (PyMongoError, TimeoutError) as error:
            logger.debug("The page %s cannot be shown: %r", request.path, error)
            sentence = (
                "MongoDB is away, so there are no products to show. The overview says what is "
                "wrong with it; this page works again as soon as it is back."
            )
        return _message(here, text("MongoDB does not answer"), text(sentence), status=503)

    async def _search(self, request: web.Request, database: Database) -> web.Response:
        wanted = request.query.get("q", "").strip()
        try:
            found = await find_products(database, wanted)
        except ExecutionTimeout:
            found = None
        return _page(
            "products.html",
            status=200 if found else 503,
            here=PRODUCTS_PAGE,
            wanted=wanted,
            found=found,
        )

    async def _product(self, request: web.Request, database: Database) -> web.Response:
        here = PRODUCTS_PAGE
        try:
            product_id = parse_product_id(request.match_info["id"])
        except ValueError:
            sentence = "That is no product id: an id has digits only, such as {example}."
            said = text(sentence, example="610000000001")
            return _message(here, text("No product id"), said, status=400)
        days = _one_of(request.query.get("days"), DAYS, DEFAULT_DAYS)
        if days is None:
            said = text("The curves are of 1, 7, 30 or 90 days.")
            return _message(here, text("No such time"), said, status=400)
        now = datetime.now(UTC)
        period = Period.last_hours(24, now) if days == 1 else Period.last_days(days, now)
        history = await read_product(database, product_id, period)
        if history is None:
            said = text("No product with the id {id} is stored.", id=str(product_id))
            return _message(here, text("Not stored"), said, status=404)
        names = {each.sku["sku_id"]: sku_name(each.sku) for each in history.skus}
        return _page(
            "product.html",
            here=here,
            id=product_id,
            history=history,
            sku_names=names,
            days=days,
            choices=DAYS,
        )

    async def _period(self, request: web.Request, database: Database) -> web.Response:
        here = CHANGES_PAGE
        hours = _one_of(request.query.get("hours"), range(1, 169), DEFAULT_HOURS)
        if hours is None:
            said = text("The hours can be a whole number from 1 to 168.")
            return _message(here, text("No such time"), said, status=400)
        async with self._reading:  # one at a time, however many look
            read_until, changes = self._changes.get(hours, (0.0, None))
            if changes is None or time.monotonic() > read_until:
                begun = time.monotonic()
                changes = await read_changes(database, hours)
                # As long as it took they are not read again, so that at most half the time is.
                ended = time.monotonic()
                self._changes = {hours: (2 * ended - begun, changes)}
        return _page("changes.html", here=here, hours=hours, choices=HOURS, changes=changes)


def _one_of(given: str | None, choices: Collection[int], default: int) -> int | None:
    """Return the number that is asked for, or None where it is not among the choices."""
    if given is None:
        return default
    number = int(given) if re.fullmatch("[0-9]{1,4}", given) else None
    return number if number in choices else None


def _page(template: str, *, status: int = 200, **values: Any) -> web.Response:
    body = render(template, **values)
    return web.Response(text=body, status=status, content_type="text/html", charset="utf-8")


def _message(here: str, title: Text, sentence: Text, *, status: int) -> web.Response:
    return _page("message.html", status=status, here=here, title=title, sentence=sentence)
