from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from ali1688_spider.delivery.signature import signature
from ali1688_spider.delivery.webhook import Webhook
from ali1688_spider.delivery.webhook_outbox import WEBHOOK_OUTBOX, WebhookOutbox
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.storage.patience import Patience
from tests.delivery.observed import price_change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from ali1688_spider.storage.connection import Database

SECRET = "s3cret"


class Receiver:
    """Answers with the given statuses, then with 204; keeps what it accepted."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.posts = 0
        self.accepted: list[dict[str, Any]] = []
        self.deliveries: set[str] = set()
        self.arrived = asyncio.Condition()
        self.url = ""

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        timestamp = request.headers["X-Ali1688-Timestamp"]
        assert request.headers["X-Ali1688-Signature"] == signature(SECRET, timestamp, body)
        assert request.headers["Content-Type"] == "application/json"
        self.posts += 1
        if self.statuses:
            return web.Response(status=self.statuses.pop(0), headers={"Location": "/other"})
        self.deliveries.add(request.headers["X-Ali1688-Delivery"])
        async with self.arrived:
            self.accepted += json.loads(body)["changes"]
            self.arrived.notify_all()
        return web.Response(status=204)

    async def has(self, number: int) -> None:
        """Wait until so many changes were accepted."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.accepted) >= number)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/hook"))
        yield receiver


class Counts(dict[str, int]):
    def add(self, name: str, number: int) -> None:
        self[name] = self.get(name, 0) + number


def webhook(database: Database, url: str, counts: Counts, **options: Any) -> Webhook:
    return Webhook(
        url,
        SECRET,
        WebhookOutbox(database),
        Patience(),
        count=counts.add,
        backoff=Backoff(base=1e-3, cap=1e-3),
        **options,
    )


async def states(database: Database) -> dict[str, int]:
    counts = Counts()
    async for document in database[WEBHOOK_OUTBOX].find():
        counts.add(document["state"], 1)
    return counts


async def test_changes_arrive_signed_and_once(database: Database, receiver: Receiver) -> None:
    counts = Counts()
    hook = webhook(database, receiver.url, counts)
    await hook.start()
    changes = [price_change(number) for number in range(250)]
    await hook.deliver(changes)
    await hook.deliver(changes[:30])
    await receiver.has(250)
    await hook.deliver(changes[100:])
    await hook.close()
    assert [change["product_id"] for change in receiver.accepted] == list(range(250))
    assert receiver.accepted[7] == changes[7].message()
    assert receiver.posts == len(receiver.deliveries) == 3
    assert counts == {"delivered": 250}
    assert await states(database) == {"delivered": 250}


async def test_a_receiver_that_fails_first(
    database: Database, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ali1688_spider")
    receiver.statuses = [500, 302, 400]
    counts = Counts()
    hook = webhook(database, receiver.url, counts)
    await hook.start()
    await hook.deliver([price_change(1), price_change(2)])
    await receiver.has(2)
    await hook.close()
    assert [change["product_id"] for change in receiver.accepted] == [1, 2]
    assert counts == {"failed": 6, "delivered": 2}
    assert caplog.messages == [
        "The webhook takes no changes, they wait and are kept: it answers 500",
        "The webhook takes changes again.",
    ]


async def test_what_is_undelivered_waits_for_the_next_crawl(
    database: Database, receiver: Receiver, unused_tcp_port: int
) -> None:
    counts = Counts()
    hook = webhook(database, f"http://127.0.0.1:{unused_tcp_port}/?token=s3cret", counts)
    await hook.start()
    await hook.deliver([price_change(1)])
    await hook.close()
    assert counts["failed"] >= 1
    assert await states(database) == {"waiting": 1}

    hook = webhook(database, receiver.url, counts)
    await hook.start()
    await receiver.has(1)
    await hook.close()
    assert await states(database) == {"delivered": 1}


async def test_closing_sends_what_waits(database: Database, receiver: Receiver) -> None:
    hook = webhook(database, receiver.url, Counts())
    await hook.start()
    await hook.deliver([price_change(number) for number in range(300)])
    await hook.close()
    assert len(receiver.accepted) == 300


async def test_closing_does_not_wait_for_a_receiver_that_hangs(
    database: Database,
) -> None:
    entered = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        entered.set()
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hang)
    async with TestServer(app) as server:
        hook = webhook(database, str(server.make_url("/")), Counts(), close_seconds=0.01)
        await hook.start()
        await hook.deliver([price_change(1)])
        await entered.wait()
        await hook.close()
    assert await states(database) == {"waiting": 1}


async def test_a_claim_is_exclusive_and_runs_out(database: Database) -> None:
    outbox = WebhookOutbox(database)
    await outbox.ensure_indexes()
    await outbox.add([price_change(2), price_change(1)])
    claimed = await outbox.claim()
    assert claimed is not None
    assert [change.product_id for change in claimed.changes] == [1, 2]
    assert await outbox.claim() is None

    forgetful = WebhookOutbox(database, claim_seconds=0)
    await forgetful.postpone(claimed, 0)
    first = await forgetful.claim()
    second = await forgetful.claim()
    assert first is not None
    assert second is not None
    assert second.changes == first.changes
    assert (first.attempts, first.id == second.id) == (1, False)
    await forgetful.settle(first)
    assert await states(database) == {"waiting": 2}
    await forgetful.settle(second)
    assert await states(database) == {"delivered": 2}


async def test_claims_at_once_share_the_changes(database: Database) -> None:
    outboxes = [WebhookOutbox(database) for _ in range(4)]
    await outboxes[0].add([price_change(number) for number in range(350)])
    claims = await asyncio.gather(*(outbox.claim() for outbox in outboxes))
    claimed = [change.id for claim in claims if claim for change in claim.changes]
    assert len(claimed) == len(set(claimed))
