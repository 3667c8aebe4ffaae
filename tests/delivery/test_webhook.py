from __future__ import annotations

import asyncio
import json
import logging
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from pymongo.errors import PyMongoError

from ali1688_spider.delivery.webhook import Webhook, signature
from ali1688_spider.delivery.webhook_outbox import WEBHOOK_OUTBOX, WebhookOutbox
from ali1688_spider.gateway.backoff import Backoff
from tests.delivery.observed import NOON, price_change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ali1688_spider.storage.database import Database

SECRET = "s3cret"


class Receiver:
    """Answers with the given statuses, then with 204; keeps what it accepted."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.refuses: Callable[[], bool] = lambda: False
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
        async with self.arrived:
            self.posts += 1
            self.arrived.notify_all()
        if self.refuses():
            return web.Response(status=503)
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

    async def is_asked_again(self) -> None:
        """Wait until another post has come, accepted or not."""
        posts = self.posts
        async with self.arrived:
            await self.arrived.wait_for(lambda: self.posts > posts)


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
        database,
        **{"count": counts.add, "backoff": Backoff(base=1e-3, cap=1e-3)} | options,
    )


async def states(database: Database) -> dict[str, int]:
    counts = Counts()
    async for document in database[WEBHOOK_OUTBOX].find():
        counts.add(document["state"], 1)
    return counts


def test_a_signature_that_openssl_made() -> None:
    # printf '1795435200.{"changes":[]}' | openssl dgst -sha256 -hmac s3cret
    expected = "sha256=94b550de3569f9af97387a34a5917ce7a5f6add865c54a235f5415c47e5fe415"
    assert signature("s3cret", "1795435200", b'{"changes":[]}') == expected


async def test_changes_arrive_signed_and_once(database: Database, receiver: Receiver) -> None:
    counts = Counts()
    hook = webhook(database, receiver.url, counts)
    hook.start()
    changes = [price_change(number) for number in range(250)]
    await hook.publish(changes)
    await hook.publish(changes[:30])
    await receiver.has(250)
    await hook.publish(changes[100:])
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
    hook.start()
    await hook.publish([price_change(1), price_change(2)])
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
    hook.start()
    await hook.publish([price_change(1)])
    await hook.close()
    assert counts["failed"] >= 1
    assert await states(database) == {"waiting": 1}

    hook = webhook(database, receiver.url, counts)
    hook.start()
    await receiver.has(1)
    await hook.close()
    assert await states(database) == {"delivered": 1}


async def test_closing_sends_what_waits(database: Database, receiver: Receiver) -> None:
    hook = webhook(database, receiver.url, Counts())
    hook.start()
    await hook.publish([price_change(number) for number in range(300)])
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
        hook = webhook(database, str(server.make_url("/")), Counts())
        hook.start()
        await hook.publish([price_change(1)])
        await entered.wait()
        await hook.close(0.01)
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


@pytest.mark.parametrize(
    "url",
    ["http://a..b/", f"http://{'a' * 70}.example/", "http://1.2.3.4.5/", "ftp://example.com/"],
)
async def test_an_address_that_cannot_be_one_is_a_failure_as_any(
    database: Database, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    failures = asyncio.Semaphore(0)
    hook = webhook(database, url, Counts(), count=lambda _name, _number: failures.release())
    hook.start()
    await hook.publish([price_change(1)])
    await failures.acquire()
    await failures.acquire()
    await hook.close()
    assert await states(database) == {"waiting": 1}
    [message] = caplog.messages
    assert message.startswith("The webhook takes no changes, they wait and are kept: it does not ")
    assert url not in message


async def test_an_outbox_that_cannot_be_used_does_not_end_the_sender(
    database: Database, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    await database[WEBHOOK_OUTBOX].create_index("delivery", unique=True)
    hook = webhook(database, receiver.url, Counts())
    hook.start()
    while not caplog.messages:
        with pytest.raises(PyMongoError):
            await hook.publish([price_change(1)])
    await database[WEBHOOK_OUTBOX].drop_indexes()
    await hook.publish([price_change(1)])
    await receiver.has(1)
    await hook.close()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("The webhook takes no changes, they wait and are kept: ")


async def test_changes_of_a_product_never_overtake_each_other(
    database: Database, receiver: Receiver
) -> None:
    """Two senders, and a receiver that fails now and then, and differently for each."""
    generator = random.Random(7)
    receiver.refuses = lambda: generator.random() < 0.5
    backoff = Backoff(base=0.3, cap=0.3)  # long enough to be overtaken in
    hooks = [webhook(database, receiver.url, Counts(), backoff=backoff) for _ in range(2)]
    for hook in hooks:
        hook.start()
    expected = {
        product: [f"{product}-{number:02}" for number in range(12)] for product in range(30)
    }
    for number in range(12):
        changes = [
            replace(
                price_change(product),
                id=f"{product}-{number:02}",
                at=NOON + timedelta(seconds=number, milliseconds=product),
            )
            for product in range(30)
        ]
        generator.shuffle(changes)
        await hooks[number % 2].publish(changes)
        await receiver.is_asked_again()
    await receiver.has(360)
    for hook in hooks:
        await hook.close()
    arrived: dict[int, list[str]] = {}
    for change in receiver.accepted:
        of_product = arrived.setdefault(change["product_id"], [])
        if change["id"] not in of_product:
            of_product.append(change["id"])
    assert arrived == expected
    assert await states(database) == {"delivered": 360}


async def test_what_is_newer_waits_for_what_is_claimed_or_postponed(database: Database) -> None:
    first, second = WebhookOutbox(database), WebhookOutbox(database)
    old = price_change(1)
    await first.add([old])
    claimed = await first.claim()
    assert claimed is not None
    new = replace(old, id="new", at=old.at + timedelta(seconds=1))
    other = price_change(2)
    await second.add([new, other])
    others = await second.claim()
    assert others is not None
    assert [change.id for change in others.changes] == [other.id]
    assert await second.claim() is None
    await first.postpone(claimed, 3600)
    assert await second.claim() is None

    late = await database[WEBHOOK_OUTBOX].update_many({}, {"$set": {"due_at": NOON}})
    assert late.modified_count == 3
    both = await second.claim()
    assert both is not None
    assert [change.id for change in both.changes if change.product_id == 1] == [old.id, "new"]
    newest = replace(old, id="newest", at=old.at + timedelta(seconds=2))
    await first.add([newest])
    assert await first.claim() is None
    await second.settle(both)
    last = await first.claim()
    assert last is not None
    assert [change.id for change in last.changes] == ["newest"]


async def test_the_proxy_of_the_environment_is_used(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.receive)
    async with TestServer(app) as proxy:
        monkeypatch.setenv("http_proxy", str(proxy.make_url("/")))
        hook = webhook(database, "http://receiver.example/hook", Counts())
        hook.start()
        await hook.publish([price_change(1)])
        await receiver.has(1)
        await hook.close()
        monkeypatch.setenv("no_proxy", "receiver.example")
        failing = Counts()
        hook = webhook(database, "http://receiver.example/hook", failing)
        hook.start()
        await hook.publish([price_change(2)])
        await hook.close()
    assert [change["product_id"] for change in receiver.accepted] == [1]
    assert failing["failed"] >= 1
