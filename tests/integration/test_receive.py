"""``scrapy receive`` takes what the platform has signed, and answers 204 when it is kept."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import pytest

from ali1688_spider.local_servers import start_redis
from tests.harness import FIRST_PRODUCT, eventually, products
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.harness import Gateway, Process, Scrapy

EXPIRE = "PRODUCT_RELATION_VIEW_PRODUCT_EXPIRE"
SELDOM = ("-a", "min_interval=86400", "-a", "max_interval=86400")
SECRET = "test123"
FIRST, SECOND = FIRST_PRODUCT, FIRST_PRODUCT + 1


def message(number: int, *product_ids: int, topic: str = EXPIRE, **fields: Any) -> dict[str, Any]:
    data = {"productIds": ",".join(map(str, product_ids)), "memberId": "m"}
    return {"msgId": number, "type": topic, "data": data, "gmtBorn": 1, **fields}


def signed(**fields: str) -> dict[str, str]:
    text = "".join(sorted(name + value for name, value in fields.items()))
    return fields | {"_aop_signature": hmac.new(SECRET.encode(), text.encode(), "sha1").hexdigest()}


def post(url: str, form: dict[str, str] | bytes, method: str = "POST") -> int:
    """Post a form; return the status of the answer."""
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    request = urllib.request.Request(url, body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status: int = response.status
    except urllib.error.HTTPError as error:
        with closing(error):
            return error.code
    return status


def send(url: str, *messages: dict[str, Any]) -> list[int]:
    return [post(url, signed(message=json.dumps(each))) for each in messages]


@pytest.fixture
def settings(scrapy: Scrapy, settings_for: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """The settings of all commands, which reach the gateway by ``param2``."""
    scrapy.settings |= settings_for("param2") | {"ALI1688_DAILY_QUOTA": "0"}
    return scrapy.settings


def watched(scrapy: Scrapy, gateway: Gateway, ids: Sequence[int]) -> Process:
    """Return a watch that has fetched the products."""
    worker = scrapy.start("crawl", "watch", *SELDOM, "-a", f"ids={','.join(map(str, ids))}")
    eventually(lambda: gateway.by_product == dict.fromkeys(ids, 1))
    return worker


def listening(scrapy: Scrapy, *arguments: str) -> tuple[Process, str]:
    """Return a receiver and its address."""
    receiver = scrapy.start("receive", "--port", "0", *arguments)
    eventually(lambda: "\n" in receiver.stdout or not receiver.is_running)
    assert receiver.is_running, receiver.log
    line = receiver.stdout.splitlines()[0]
    assert line.startswith("Listening on http://127.0.0.1:")
    assert "in the open platform's console enter" in line
    return receiver, line.split()[2].rstrip(":")


def stopped(receiver: Process) -> dict[str, int]:
    """Ask a receiver to end, which it does well; return its statistics."""
    receiver.stop()
    return {name.rpartition("/")[2]: n for name, n in receiver.ended_well().stats.items()}


def test_its_log_may_be_json(scrapy: Scrapy, settings: dict[str, str], gateway: Gateway) -> None:
    settings["ALI1688_LOG_FORMAT"] = "json"
    refused = scrapy.run("receive", "--port", "0")
    assert refused.exit_code == 1
    (record,) = map(json.loads, refused.log.splitlines())
    assert (record["level"], record["message"][:24]) == ("ERROR", "nothing is watched here,")
    assert scrapy.start("crawl", "watch", *SELDOM, "-a", f"ids={FIRST}").is_running
    eventually(lambda: gateway.calls == 1)
    receiver, url = listening(scrapy)
    assert send(url, message(5, FIRST)) == [204]
    receiver.stop()
    (record,) = map(json.loads, receiver.log.splitlines())
    assert record["message"] == "Messages: 0 duplicates, 1 received, 0 unwatched, 1 watched"
    assert record["logger"] == "ali1688_spider.commands.receive"


@pytest.mark.parametrize("with_redis", [False, True])
def test_what_is_posted_is_fetched_at_once(
    *,
    with_redis: bool,
    scrapy: Scrapy,
    settings: dict[str, str],
    gateway: Gateway,
    request: pytest.FixtureRequest,
) -> None:
    if with_redis:
        settings["REDIS_URL"] = request.getfixturevalue("redis_url")
    ids = products(3)
    worker = watched(scrapy, gateway, ids)
    receiver, url = listening(scrapy)
    first = message(5, FIRST, 42)
    assert send(url, first, first) == [204, 204]
    assert send(f"{url}any/path?here=1", message(4, SECOND)) == [204]  # older: there is no order
    eventually(lambda: gateway.by_product == dict.fromkeys(ids, 1) | {FIRST: 2, SECOND: 2})
    assert send(url, message(6, topic="ORDER_BUYER_VIEW_ORDER_PAY")) == [204]
    assert send(url, message(7, data="{"), message(8, data={}), message(7, data="{")) == [204] * 3
    stats = stopped(receiver)
    assert stats == {
        "received": 4,
        "duplicates": 2,
        "watched": 2,
        "unwatched": 1,
        "other_topics": 1,
        "malformed": 3,
    }
    assert receiver.log.count("WARNING: A message of the platform cannot be used") == 1
    assert worker.stop() == 0
    again, url = listening(scrapy)
    assert send(url, first) == [204]
    assert stopped(again) == {"received": 0, "duplicates": 1, "watched": 0, "unwatched": 0}


@pytest.mark.chaotic
def test_the_sandbox_posts_duplicates_in_disorder(
    scrapy: Scrapy, settings: dict[str, str], gateway: Gateway, redis_url: str
) -> None:
    settings["REDIS_URL"] = redis_url
    ids = products(5)
    worker = watched(scrapy, gateway, ids)
    receiver, url = listening(scrapy)
    gateway.set(callback=url, callback_faults=["duplicates", "disorder"], callback_retry=0.1)
    for product_id in ids:
        gateway.product(product_id, followed=True)
        gateway.product(product_id, name=f"new name of {product_id}")
    made = gateway.status()["messages"]["made"]
    assert made == 10
    eventually(lambda: gateway.status()["messages"].get("taken") == made)
    eventually(lambda: all(count > 1 for count in gateway.by_product.values()))
    stats = stopped(receiver)
    assert (stats["received"], stats["duplicates"]) == (made, made)
    assert worker.stop() == 0


def test_what_is_not_signed_is_refused(
    scrapy: Scrapy, settings: dict[str, str], redis_url: str
) -> None:
    settings["REDIS_URL"] = redis_url
    receiver, url = listening(scrapy, "-s", "LOG_LEVEL=DEBUG")
    good = signed(message=json.dumps(message(1, FIRST)))
    secretive = {"message": json.dumps(message(2, FIRST, userInfo="who-nobody-may-see"))}
    for form in (
        {},
        {"message": good["message"]},
        {**good, "more": "1"},
        {**good, "_aop_signature": "0" * 40},
        {**secretive, "_aop_signature": good["_aop_signature"]},
        b"",
        b"\xff\xfe{}",
        json.dumps(message(1, FIRST)).encode(),
        urlencode([*good.items(), ("message", "twice")]).encode(),
    ):
        assert post(url, form) == 401
    for fields in ({}, {"a": "1"}, {"message": "{"}, {"message": '{"msgId": 1}'}):
        assert post(url, signed(**fields)) == 400
    assert post(url, {**good, "_aop_signature": good["_aop_signature"].upper()}) == 204
    assert post(url, good, "PUT") == 405
    assert stopped(receiver)["wrong_signature"] == 9
    for text in (SECRET, good["_aop_signature"], "who-nobody-may-see", "memberId"):
        assert text not in receiver.log + receiver.stdout


def test_what_is_too_long_or_too_slow_is_refused(
    scrapy: Scrapy, settings: dict[str, str], redis_url: str
) -> None:
    settings["REDIS_URL"] = redis_url
    receiver, url = listening(scrapy)
    assert post(url, signed(message=json.dumps(message(1, FIRST)), padding="x" * 300_000)) == 413
    host, port = urlsplit(url).hostname, urlsplit(url).port
    with socket.create_connection((host, port), 60) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nmessage=")
        assert send(url, message(2, FIRST)) == [204]  # meanwhile others are served
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    with socket.create_connection((host, port), 60) as gone:
        gone.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nmessage=")
    with socket.create_connection((host, port), 60) as odd:
        odd.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
        assert b" 400 Bad Request" in odd.recv(1000)
    assert send(url, message(3, FIRST)) == [204]
    stats = stopped(receiver)
    assert (stats["too_long"], stats["too_slow"], stats["received"]) == (1, 1, 2)


def test_while_redis_is_away_messages_come_again(
    scrapy: Scrapy, settings: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    arguments = ["--appendonly", "yes", "--appendfsync", "always"]
    server = start_redis(tmp_path / "redis", port=port, arguments=arguments)
    try:
        settings["REDIS_URL"] = server.url
        receiver, url = listening(scrapy)
        assert send(url, message(1, FIRST)) == [204]
        server.kill()
        assert send(url, message(2, FIRST), message(2, FIRST)) == [503, 503]
        server = start_redis(tmp_path / "redis", port=port, arguments=arguments)
        assert send(url, message(2, FIRST), message(1, FIRST)) == [204, 204]
        stats = stopped(receiver)
    finally:
        server.kill()
    assert (stats["received"], stats["duplicates"], stats["store_away"]) == (2, 1, 2)
    assert receiver.log.count("WARNING: Messages cannot be kept (") == 1
    assert receiver.log.count("Messages are kept again") == 1


def test_while_the_file_is_locked_messages_come_again(
    scrapy: Scrapy, settings: dict[str, str], gateway: Gateway
) -> None:
    assert settings
    assert watched(scrapy, gateway, [FIRST]).stop() == 0
    receiver, url = listening(scrapy)
    path = scrapy.folder / ".scrapy" / "ali1688" / "watch.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert send(url, message(1, FIRST)) == [503]
        other.execute("ROLLBACK")
    assert send(url, message(1, FIRST)) == [204]
    assert stopped(receiver)["received"] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "say where to listen: --port, from 0 to 65535, and no more"),
        (("--port", "70000"), "say where to listen: --port, from 0 to 65535, and no more"),
        (("--port", "1", "more"), "say where to listen: --port, from 0 to 65535, and no more"),
        (("--port", "0"), "nothing is watched here, there is no "),
    ],
)
def test_wrong_arguments(scrapy: Scrapy, arguments: tuple[str, ...], sentence: str) -> None:
    command = scrapy.run("receive", *arguments)
    assert command.exit_code == 1
    assert command.log.splitlines()[-1].startswith(f"Error: {sentence}")


def test_a_port_that_is_taken(scrapy: Scrapy, settings: dict[str, str], redis_url: str) -> None:
    settings["REDIS_URL"] = redis_url
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = scrapy.run("receive", "--port", port)
    assert command.exit_code == 1
    assert f"Error: 127.0.0.1:{port} cannot be listened on (" in command.log
    assert "choose another --port or --host." in command.log


def test_the_signature_is_that_of_the_page() -> None:
    text = 'message{"msgId":1}'
    right = hmac.new(SECRET.encode(), text.encode(), hashlib.sha1).hexdigest()
    assert signed(message='{"msgId":1}')["_aop_signature"] == right
