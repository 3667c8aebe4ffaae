from __future__ import annotations

import asyncio
import json
import logging
import math
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
PAST = datetime(2000, 1, 1, tzinfo=UTC)


class Receiver:
    """Answers with the given statuses, then with 204; keeps what it accepted."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.refuses: Callable[[list[dict[str, Any]]], bool] = lambda _changes: False
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
        changes = json.loads(body)["changes"]
        if self.refuses(changes):
            return web.Response(status=503)
        if self.statuses:
            return web.Response(status=self.statuses.pop(0), headers={"Location": "/other"})
        self.deliveries.add(request.headers["X-Ali1688-Delivery"])
        async with self.arrived:
            self.accepted += changes
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


@asynccontextmanager
async def sending(database: Database, url: str, **options: Any) -> AsyncIterator[Webhook]:
    """A webhook that sends, and is closed at the end."""
    hook = Webhook(url, SECRET, database, **{"backoff": Backoff(base=1e-3, cap=1e-3)} | options)
    hook.start()
    yield hook
    await hook.close()


async def states(database: Database) -> dict[str, int]:
    counts = Counts()
    async for document in database[WEBHOOK_OUTBOX].find({"_id": {"$ne": "sender"}}):
        counts.add(document["state"], 1)
    return counts


def test_a_signature_that_openssl_made() -> None:
    # printf '1795435200.{"changes":[]}' | openssl dgst -sha256 -hmac s3cret
    expected = "sha256=94b550de3569f9af97387a34a5917ce7a5f6add865c54a235f5415c47e5fe415"
    assert signature("s3cret", "1795435200", b'{"changes":[]}') == expected


async def test_changes_arrive_signed_and_once(database: Database, receiver: Receiver) -> None:
    counts = Counts()
    changes = [price_change(number) for number in range(250)]
    async with sending(database, receiver.url, count=counts.add) as hook:
        await hook.publish(changes)
        await hook.publish(changes[:30])
        await receiver.has(250)
        await hook.publish(changes[100:])
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
    async with sending(database, receiver.url, count=counts.add) as hook:
        await hook.publish([price_change(1), price_change(2)])
        await receiver.has(2)
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
    url = f"http://127.0.0.1:{unused_tcp_port}/?token=s3cret"
    async with sending(database, url, count=counts.add) as hook:
        await hook.publish([price_change(1)])
    assert counts["failed"] >= 1
    assert await states(database) == {"waiting": 1}

    async with sending(database, receiver.url):
        await receiver.has(1)
    assert await states(database) == {"delivered": 1}


async def test_closing_sends_what_waits(database: Database, receiver: Receiver) -> None:
    async with sending(database, receiver.url) as hook:
        await hook.publish([price_change(number) for number in range(300)])
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
    async with TestServer(app) as server, sending(database, str(server.make_url("/"))) as hook:
        await hook.publish([price_change(1)])
        await entered.wait()
        await hook.close(0.01)
    assert await states(database) == {"waiting": 1}
    assert await WebhookOutbox(database).lease()


async def test_one_worker_at_a_time_has_the_lease(database: Database) -> None:
    outboxes = [WebhookOutbox(database) for _ in range(4)]
    leased = await asyncio.gather(*(outbox.lease() for outbox in outboxes))
    assert sorted(leased) == [False, False, False, True]
    holder = outboxes.pop(leased.index(True))
    assert await holder.lease()
    await outboxes[0].release()
    assert not await outboxes[0].lease()
    await holder.release()
    assert await outboxes[0].lease()
    assert not await holder.lease()


async def test_another_goes_on_once_the_lease_of_a_crashed_one_ran_out(
    database: Database, receiver: Receiver
) -> None:
    assert await WebhookOutbox(database).lease()
    async with sending(database, receiver.url) as hook:
        await hook.publish([price_change(1)])
        await hook.close(0.01)
    assert (receiver.posts, await states(database)) == (0, {"waiting": 1})

    # As earlier versions left it; they claimed each change.
    await database[WEBHOOK_OUTBOX].update_one({"state": "waiting"}, {"$set": {"delivery": "1f"}})
    await database[WEBHOOK_OUTBOX].update_one({"_id": "sender"}, {"$set": {"until": PAST}})
    async with sending(database, receiver.url):
        await receiver.has(1)
    assert await states(database) == {"delivered": 1}


async def test_what_is_always_refused_holds_up_no_other_product(
    database: Database, receiver: Receiver
) -> None:
    receiver.refuses = lambda changes: any(each["product_id"] == 13 for each in changes)
    broken = {"_id": "broken", "change": {"product_id": -1, "at": NOON}}
    due = {"state": "waiting", "attempts": 0, "due_at": PAST}
    await database[WEBHOOK_OUTBOX].insert_one({**broken, **due})
    newer = replace(price_change(13), id="newer", at=NOON + timedelta(hours=1))
    async with sending(database, receiver.url, backoff=Backoff(base=1e-3)) as hook:
        await hook.publish([*(price_change(number) for number in range(150)), newer])
        await receiver.has(149)
    assert {each["product_id"] for each in receiver.accepted} == {*range(150)} - {13}
    assert await states(database) == {"delivered": 149, "waiting": 3}


@pytest.mark.parametrize(
    "url",
    ["http://a..b/", f"http://{'a' * 70}.example/", "http://1.2.3.4.5/", "ftp://example.com/"],
)
async def test_an_address_that_cannot_be_one_is_a_failure_as_any(
    database: Database, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    failures = asyncio.Semaphore(0)
    async with sending(database, url, count=lambda _name, _number: failures.release()) as hook:
        await hook.publish([price_change(1)])
        await failures.acquire()
        await failures.acquire()
    assert await states(database) == {"waiting": 1}
    [message] = caplog.messages
    assert message.startswith("The webhook takes no changes, they wait and are kept: it does not ")
    assert url not in message


async def test_an_outbox_that_cannot_be_used_does_not_end_the_sender(
    database: Database, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    await database[WEBHOOK_OUTBOX].create_index(["change.product_id", "state"], unique=True)
    async with sending(database, receiver.url) as hook:
        while not caplog.messages:
            with pytest.raises(PyMongoError):
                await hook.publish([price_change(1)])
        await database[WEBHOOK_OUTBOX].drop_indexes()
        await hook.publish([price_change(1)])
        await receiver.has(1)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("The webhook takes no changes, they wait and are kept: ")


async def test_changes_of_a_product_never_overtake_each_other(
    database: Database, receiver: Receiver
) -> None:
    """Two senders, and a receiver that fails now and then, and differently for each."""
    generator = random.Random(7)
    receiver.refuses = lambda _changes: generator.random() < 0.5
    backoff = Backoff(base=0.3, cap=0.3)  # long enough to be overtaken in
    expected = {
        product: [f"{product}-{number:02}" for number in range(12)] for product in range(30)
    }
    async with (
        sending(database, receiver.url, backoff=backoff) as one,
        sending(database, receiver.url, backoff=backoff) as other,
    ):
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
            await (other if number % 2 else one).publish(changes)
            await receiver.is_asked_again()
        await receiver.has(360)
    arrived: dict[int, list[str]] = {}
    for change in receiver.accepted:
        of_product = arrived.setdefault(change["product_id"], [])
        if change["id"] not in of_product:
            of_product.append(change["id"])
    assert arrived == expected
    assert await states(database) == {"delivered": 360}


async def test_what_is_newer_waits_for_what_is_postponed(database: Database) -> None:
    outbox = WebhookOutbox(database)
    old = price_change(1)
    await outbox.add([old])
    await outbox.postpone(await outbox.oldest_due(), 3600)
    new = [replace(old, id=f"new-{i:03}", at=old.at + timedelta(seconds=i)) for i in range(1, 200)]
    other = price_change(300)
    await outbox.add([*reversed(new), other])
    sent = await outbox.oldest_due()
    assert [each["_id"] for each in sent] == [other.id]
    await outbox.settle(sent)
    assert await outbox.oldest_due() == []
    assert 0 < await outbox.due_in() <= 3600

    await database[WEBHOOK_OUTBOX].update_one({"_id": old.id}, {"$set": {"due_at": PAST}})
    arrived = []
    while sent := await outbox.oldest_due():
        arrived += [each["_id"] for each in sent]
        await outbox.settle(sent)
    assert arrived == [each.id for each in (old, *new)]
    assert await outbox.due_in() == math.inf


async def test_the_proxy_of_the_environment_is_used(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.receive)
    async with TestServer(app) as proxy:
        monkeypatch.setenv("http_proxy", str(proxy.make_url("/")))
        async with sending(database, "http://receiver.example/hook") as hook:
            await hook.publish([price_change(1)])
            await receiver.has(1)
        monkeypatch.setenv("no_proxy", "receiver.example")
        failing = Counts()
        async with sending(database, "http://receiver.example/hook", count=failing.add) as hook:
            await hook.publish([price_change(2)])
    assert [change["product_id"] for change in receiver.accepted] == [1]
    assert failing["failed"] >= 1
