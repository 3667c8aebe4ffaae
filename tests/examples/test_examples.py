from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from ali1688_spider.delivery.webhook import signature
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
CHANGE = {
    "id": "7::price:1",
    "product_id": 7,
    "sku_id": None,
    "field": "price",
    "old": "12.50",
    "new": "10.00",
    "percent": -20.0,
    "at": "2026-11-23T12:00:00.000Z",
}


def consume(redis_url: str) -> str:
    script = str(EXAMPLES / "consume_changes.py")
    command = [sys.executable, script, redis_url, "--idle", "0.1"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return ended.stdout


def test_a_consumer_handles_each_change_once(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.xadd("ali1688:changes", {"change": json.dumps(CHANGE)})
        client.xadd("ali1688:changes", {"change": json.dumps({**CHANGE, "sku_id": 3})})
    assert consume(redis_url).splitlines() == [
        "2026-11-23T12:00:00.000Z product 7: price 12.50 -> 10.00 (-20.0 %)",
        "2026-11-23T12:00:00.000Z product 7 SKU 3: price 12.50 -> 10.00 (-20.0 %)",
    ]
    assert consume(redis_url) == ""


def test_a_consumer_takes_over_what_another_has_left(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.xgroup_create("ali1688:changes", "example", mkstream=True)
        entries = [
            client.xadd("ali1688:changes", {"change": json.dumps({**CHANGE, "sku_id": number})})
            for number in (1, 2, 3)
        ]
        client.xreadgroup("example", "crashed", {"ali1688:changes": ">"})
        client.xclaim("ali1688:changes", "example", "crashed", 0, entries[:2], idle=3_600_000)
        client.xdel("ali1688:changes", entries[0])
    assert consume(redis_url).splitlines() == [
        "2026-11-23T12:00:00.000Z product 7 SKU 2: price 12.50 -> 10.00 (-20.0 %)",
    ]


@pytest.fixture
def receiver() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, EXAMPLES / "receive_webhook.py", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "WEBHOOK_SECRET": "s3cret"},
    ) as process:
        wait_until_it_listens(port)
        yield f"http://127.0.0.1:{port}/", process
        process.kill()


def wait_until_it_listens(port: int) -> None:
    for _ in range(1000):
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.01)
    raise TimeoutError(port)


def post(url: str, secret: str, timestamp: int) -> int:
    body = json.dumps({"changes": [CHANGE]}).encode()
    headers = {
        "X-Ali1688-Timestamp": str(timestamp),
        "X-Ali1688-Signature": signature(secret, str(timestamp), body),
    }
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_receiver_believes_what_is_signed(receiver: tuple[str, subprocess.Popen[str]]) -> None:
    url, process = receiver
    now = int(time.time())
    assert post(url, "wrong", now) == 401
    assert post(url, "s3cret", now - 3600) == 401
    assert post(url, "s3cret", now) == 204
    assert post(url, "s3cret", now) == 204
    process.kill()
    assert process.stdout is not None
    assert [json.loads(line) for line in process.stdout] == [CHANGE]
