"""``scrapy push``: quick, resumable, and in need of nothing but Redis."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue
from tests.harness import SECONDS, Process, Scrapy, eventually
from tests.scheduling.leases import done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Push = Callable[..., Process]

PAGE = "https://detail.1688.com/offer/%d.html"


@pytest.fixture
def queue(redis_url: str) -> Iterator[LeaseQueue]:
    client = redis.Redis.from_url(redis_url)
    yield LeaseQueue(client, SimpleNamespace(name="product"), QUEUE_KEY)
    client.close()


@pytest.fixture
def start(
    redis_url: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Process]]:
    """Start a push, without credentials of the platform."""
    scrapy = Scrapy(tmp_path, tmp_path_factory.mktemp("output"), {"REDIS_URL": redis_url})

    def start(*arguments: str | int | Path, **settings: str) -> Process:
        return scrapy.start("push", *map(str, arguments), **settings)

    yield start
    scrapy.kill()


@pytest.fixture
def push(start: Callable[..., Process]) -> Push:
    """Push to the end."""

    def push(*arguments: Any, text: str = "", **settings: str) -> Process:
        return start(*arguments, **settings).finish(text)

    return push


def queued(queue: LeaseQueue) -> list[int]:
    members: Any = queue.server.zrange(queue.keys.ready, 0, -1)
    return [int(member) for member in members]


def test_ids_are_queued_in_order(push: Push, queue: LeaseQueue) -> None:
    result = push("product", 3, 1, PAGE % 2)
    assert (result.exit_code, result.log) == (0, "")
    assert result.stdout == "3 products queued, 0 were queued already; 3 calls wait now.\n"
    assert queued(queue) == [3, 1, 2]


def test_what_is_queued_or_in_flight_is_not_queued_twice(push: Push, queue: LeaseQueue) -> None:
    push("product", 1, 2, 3)
    (leased,) = queue.lease(1).leases
    result = push("product", 1, 2, 4)
    assert result.stdout == "1 products queued, 2 were queued already; 3 calls wait now.\n"
    assert queued(queue) == [2, 3, 4]
    queue.settle([done(leased)])
    push("product", 1)
    assert queued(queue) == [2, 3, 4, 1]


def test_a_bad_argument_is_named_and_the_others_are_queued(push: Push, queue: LeaseQueue) -> None:
    result = push("product", PAGE % 1, "nonsense", 2)
    assert result.exit_code == 1
    assert queued(queue) == [1, 2]
    assert "\nArgument: 'nonsense' is neither a product id" in result.log


def test_a_priority_moves_products_forward(push: Push, queue: LeaseQueue) -> None:
    push("product", 1, 2, 3)
    assert push("product", 3, 4, "--priority", 5).exit_code == 0
    assert queued(queue) == [3, 4, 1, 2]


@pytest.mark.parametrize("source", ["file", "standard input"])
def test_lines_are_read_and_bad_ones_named(
    push: Push, queue: LeaseQueue, tmp_path: Path, source: str
) -> None:
    lines = f"\ufeff7\n\n# a comment\nnonsense\n{PAGE % 8}\r\n7\n-9\n"
    if source == "file":
        (tmp_path / "ids.txt").write_text(lines)
        result = push("product", "--file", "ids.txt")
    else:
        result = push("product", "--file", "-", text=lines)
    assert result.exit_code == 1
    assert queued(queue) == [7, 8]
    title, first, second, last = result.log.splitlines()
    assert title == "2 entries have no product id:"
    assert first.startswith("Line 4: 'nonsense' is neither a product id nor a product's URL")
    assert second.startswith("Line 7: '-9' is neither a product id nor a product's URL")
    assert last == "Error: 2 entries, see above, are no product; the others are queued."
    assert result.stdout.startswith("2 products queued, 0 were queued already")


@pytest.mark.chaotic
def test_a_large_file_whose_push_was_killed_goes_on_where_it_was(
    push: Push,
    start: Callable[..., Process],
    queue: LeaseQueue,
    tmp_path: Path,
) -> None:
    count = 200_000
    file = tmp_path / "ids.txt"
    file.write_text("".join(f"{number}\n" for number in range(1, count + 1)))
    killed = start("product", "--file", file)
    eventually(lambda: queue.counts().ready >= 30_000, SECONDS)
    killed.kill()
    before = queue.counts().ready
    assert before < count
    # Workers go on meanwhile; what they have done is not queued again.
    queue.settle(map(done, queue.lease(500).leases))

    result = push("product", "--file", file)

    assert result.exit_code == 0, result.log
    assert f"Resuming after the first {before:,}, which an earlier push" in result.stdout
    assert f"{count - before:,} products queued, 0 were queued already" in result.stdout
    assert queued(queue) == list(range(501, count + 1))

    # Pushed whole once more, what is done is queued again and the rest left as it is.
    result = push("product", "--file", file)
    assert f"500 products queued, {count - 500:,} were queued already" in result.stdout
    assert queue.counts().ready == count


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        (["product"], {}, "say which products: ids, or --file FILE."),
        (["shop", 1], {}, "say for which spider: product or watch."),
        ([], {}, "say for which spider: product or watch."),
        (["product", "--file", "none.txt"], {}, "ids_file 'none.txt' cannot be read"),
        (["product", 1], {"REDIS_URL": ""}, "REDIS_URL is empty: set it to the Redis of your"),
        (["product", 1], {"REDIS_URL": "http://localhost"}, "REDIS_URL is not a valid URL"),
        (["product", 1], {"REDIS_URL": "redis://127.0.0.1:1"}, "Redis does not answer"),
    ],
)
def test_errors_are_one_sentence(
    push: Push, arguments: list[str], settings: dict[str, str], sentence: str
) -> None:
    result = push(*arguments, **settings)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.log.startswith("Error: ")
    assert result.log.count("\n") == 1
    assert sentence in result.log


def test_a_push_says_when_redis_lost_what_it_queued(
    start: Callable[..., Process], queue: LeaseQueue, tmp_path: Path
) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("".join(f"{number}\n" for number in range(1, 100_001)))
    process = start("product", "--file", file)
    eventually(lambda: queue.counts().ready >= 10_000, SECONDS)
    queue.server.flushall()
    assert process.wait() == 1
    assert "Error: Redis lost part of the queue" in process.log
