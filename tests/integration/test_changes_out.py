"""Changes reach a stream and a webhook: each of them, and each once for who listens."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis

from tests.harness import eventually
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pymongo.database import Database

    from tests.harness import Gateway, Scrapy

    Ids = Callable[[int], Sequence[int]]

SECRET = "only the two of us know"
PAST = datetime(2000, 1, 1, tzinfo=UTC)


class Receiver:
    """What another company might run: checks signatures, and knows changes by their ids.

    Attributes:
        answers: While it is not set, posts are kept waiting.
        posts: How many came.
        changes: What was accepted, by id.
        forged: How many posts had a wrong signature.
    """

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.posts = 0
        self.forged = 0
        self.changes: dict[str, Any] = {}
        self._server: ThreadingHTTPServer | None = None
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/hook"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                signed = self.headers["X-Ali1688-Timestamp"].encode() + b"." + body
                expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
                receiver.forged += self.headers["X-Ali1688-Signature"] != f"sha256={expected}"
                receiver.posts += 1
                receiver.answers.wait()
                receiver.changes |= {each["id"]: each for each in json.loads(body)["changes"]}
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.answers.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


@pytest.fixture
def receiver(scrapy: Scrapy) -> Iterator[Receiver]:
    receiver = Receiver()
    scrapy.settings |= {"ALI1688_WEBHOOK_URL": receiver.url, "ALI1688_WEBHOOK_SECRET": SECRET}
    yield receiver
    receiver.stop()


@pytest.fixture
def database(
    scrapy: Scrapy, mongo_uri: str, mongo_database: str
) -> Iterator[Database[dict[str, Any]]]:
    scrapy.settings |= {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        yield client[mongo_database]


def listed(ids: Sequence[int]) -> str:
    return f"ids={','.join(map(str, ids))}"


def stream(redis_url: str) -> list[Any]:
    """Return the changes of the stream, in order."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        entries: Any = client.xrange("ali1688:changes")
    return [json.loads(entry["change"]) for _, entry in entries]


def raised(gateway: Gateway, product_id: int) -> tuple[Decimal, Decimal]:
    """Raise a price by a cent; return the price before and after."""
    before = gateway.product(product_id)["price"]
    after = gateway.product(product_id, price=str(Decimal(before) + Decimal("0.01")))["price"]
    return Decimal(before), Decimal(after)


def prices(change: Any) -> tuple[Decimal, Decimal]:
    return Decimal(change["old"]), Decimal(change["new"])


@pytest.mark.chaotic
def test_a_crawl_that_is_killed_while_it_delivers(
    *,
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
    redis_url: str,
    receiver: Receiver,
) -> None:
    scrapy.settings |= {"REDIS_URL": redis_url, "ALI1688_LEASE_SECONDS": "1"}
    public = [each for each in ids(90) if not gateway.product(each)["traits"]["private"]]
    scrapy.crawl("product", "-a", listed(public))
    expected = {product_id: raised(gateway, product_id) for product_id in public}
    receiver.answers.clear()
    receiver.start()
    gateway.set(latency=100)
    crawl = scrapy.start("crawl", "product", "-a", listed(public))
    eventually(lambda: receiver.posts and len(stream(redis_url)) > 10)
    crawl.kill()
    receiver.answers.set()
    assert len(stream(redis_url)) < len(public)

    # A minute later the lease of the killed one has run out.
    lease = database["webhook_outbox"].update_one({"_id": "sender"}, {"$set": {"until": PAST}})
    assert lease.matched_count == 1
    finished = scrapy.crawl("product", "-a", listed(public))

    assert finished.stats["finish_reason"] == "finished"
    told = stream(redis_url)
    assert len(told) == len({change["id"] for change in told}) == len(public)
    assert {change["product_id"]: prices(change) for change in told} == expected
    assert receiver.changes == {change["id"]: change for change in told}
    assert receiver.forged == 0
    assert {each["_id"] for each in database["product_changes"].find()} == set(receiver.changes)
    assert database["webhook_outbox"].count_documents({"state": "waiting"}) == 0


def test_a_receiver_that_is_down_gets_all_later(
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
    receiver: Receiver,
) -> None:
    public = [each for each in ids(9) if not gateway.product(each)["traits"]["private"]]
    scrapy.crawl("product", "-a", listed(public))
    for product_id in public:
        raised(gateway, product_id)
    crawl = scrapy.crawl("product", "-a", listed(public))
    assert crawl.stats["item_scraped_count"] == len(public)
    assert crawl.stats["ali1688/webhook/failed"] > 0
    assert "The webhook takes no changes, they wait and are kept" in crawl.log
    assert receiver.url not in crawl.log
    recorded = {each["_id"] for each in database["product_changes"].find()}
    assert len(recorded) == len(public)

    receiver.start()
    # By then the next try is due.
    database["webhook_outbox"].update_many({}, {"$set": {"due_at": PAST}})
    crawl = scrapy.crawl("product", "-a", listed(public))
    assert crawl.stats["ali1688/items/unchanged"] == len(public)
    assert crawl.stats["ali1688/webhook/delivered"] == len(public)
    assert set(receiver.changes) == recorded
    posts = receiver.posts
    scrapy.crawl("product", "-a", listed(public))
    assert (receiver.posts, receiver.forged) == (posts, 0)


def test_filters(
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
    redis_url: str,
) -> None:
    scrapy.settings |= {
        "REDIS_URL": redis_url,
        "ALI1688_CHANGE_FIELDS": "price,name",
        "ALI1688_CHANGE_MIN_PERCENT": "5",
    }
    much, little, stock, name = [
        each for each in ids(9) if not gateway.product(each)["traits"]["private"]
    ][:4]
    for product_id in (much, little):
        gateway.product(product_id, price="100.00")
    chosen = listed([much, little, stock, name])
    scrapy.crawl("product", "-a", chosen)
    gateway.product(much, price="95.00")
    gateway.product(little, price="104.99")
    gateway.product(stock, stock=1)
    gateway.product(name, name="新款")
    scrapy.crawl("product", "-a", chosen)
    assert database["product_changes"].count_documents({}) == 4
    told = sorted(stream(redis_url), key=lambda change: change["field"])
    assert [(change["product_id"], change["field"]) for change in told] == [
        (name, "name"),
        (much, "price"),
    ]
    assert told[0]["new"] == "新款"
    assert prices(told[1]) == (Decimal(100), Decimal(95))
    assert told[1]["percent"] == -5.0


def test_every_client_of_redis_heeds_its_parameters(
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
    redis_url: str,
) -> None:
    public = [each for each in ids(9) if not gateway.product(each)["traits"]["private"]]
    given_up, changed, *_ = public
    address = redis_url.removesuffix("/0")
    gateway.fail(product_id=given_up, faults=["isv"] * 2)
    scrapy.settings |= {"REDIS_URL": address, "ALI1688_MAX_ATTEMPTS": "1"}
    parameters = ("-s", 'REDIS_PARAMS={"db": 5}')
    scrapy.crawl_incompletely("product", "-a", listed([given_up, changed]), *parameters)
    assert database["failed_calls"].count_documents({}) == 1
    raised(gateway, changed)
    scrapy.crawl_incompletely(
        "product", "-a", listed([given_up, changed]), *parameters, MONGO_URI=""
    )
    scrapy.crawl("product", "-a", listed([changed]), *parameters)
    shown = scrapy.run("failed", "list", *parameters, MONGO_URI="")
    assert "1 calls were given up" in shown.stdout
    with (
        redis.Redis.from_url(address) as other,
        redis.Redis.from_url(address, db=5) as meant,
    ):
        assert other.dbsize() == 0
        assert meant.zcard("ali1688:failed_calls") == 1
        assert meant.xlen("ali1688:changes") == 1
