"""``scrapy failed``: what was given up is listed, and tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness import Administration, Gateway, Scrapy

    Ids = Callable[[int], Sequence[int]]


@pytest.fixture
def given_up(scrapy: Scrapy, gateway: Gateway, ids: Ids) -> Callable[..., list[int]]:
    """Return what has a crawl of four products give two of them up."""

    def crawl(**settings: str) -> list[int]:
        first, second, *_ = wanted = list(ids(4))
        gateway.fail(product_id=first, faults=["isv"])
        gateway.fail(product_id=second, faults=["html", "isp", "reset"])
        crawl = scrapy.crawl_incompletely(
            *("product", "-a", f"ids={','.join(map(str, wanted))}", "-O", "first.jsonl"),
            ALI1688_MAX_ATTEMPTS="1",
            **settings,
        )
        assert set(crawl.read("first.jsonl")) == set(wanted[2:])
        assert crawl.stats["ali1688/failed_calls"] == 2
        assert "ali1688/retries" not in crawl.stats
        return [first, second]

    return crawl


def test_without_any_server(
    scrapy: Scrapy,
    administration: Administration,
    gateway: Gateway,
    given_up: Callable[..., list[int]],
) -> None:
    first, second = given_up()
    listed = administration.run("failed", "list")
    assert (listed.exit_code, listed.log) == (0, "")
    assert "2 calls were given up" in listed.stdout
    for words in (str(first), str(second), "product", "isv.invalid-parameter", "HTML"):
        assert words in listed.stdout
    nowhere = administration.run("failed", "retry")
    assert nowhere.exit_code == 1
    assert nowhere.log == (
        "Error: say where the products go: -o FILE, such as -o products.jsonl, or set MONGO_URI.\n"
    )

    # The first comes back, the second fails once more and is listed anew.
    retry = ("failed", "retry", "-o", "again.jsonl")
    retried = administration.run(*retry, ALI1688_MAX_ATTEMPTS="1")
    assert (retried.exit_code, retried.stdout) == (0, "2 calls made again.\n")
    assert set(scrapy.read("again.jsonl")) == {first}
    listed = administration.run("failed", "list")
    assert "1 calls were given up" in listed.stdout
    assert "isp.remote-service-error" in listed.stdout
    gateway.fail(product_id=second, faults=[])
    assert administration.run(*retry).exit_code == 0
    assert administration.run("failed", "list").stdout == "No call was given up.\n"
    assert set(scrapy.read("again.jsonl")) == {first, second}


def test_with_redis(
    *,
    scrapy: Scrapy,
    administration: Administration,
    gateway: Gateway,
    given_up: Callable[..., list[int]],
    redis_url: str,
) -> None:
    wanted = given_up(REDIS_URL=redis_url)
    gateway.reset()
    retried = administration.run("failed", "retry", REDIS_URL=redis_url)
    assert (retried.exit_code, retried.stdout) == (0, "2 calls queued again.\n")
    listed = administration.run("failed", "list", REDIS_URL=redis_url)
    assert listed.stdout == "No call was given up.\n"
    worker = scrapy.crawl("product", "-a", "idle=0", "-O", "again.jsonl", REDIS_URL=redis_url)
    assert set(worker.read("again.jsonl")) == set(wanted)


def test_with_mongodb(
    *,
    administration: Administration,
    gateway: Gateway,
    given_up: Callable[..., list[int]],
    mongo_uri: str,
    mongo_database: str,
) -> None:
    settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    wanted = given_up(**settings)
    gateway.reset()
    retried = administration.run("failed", "retry", "--limit", "1", **settings)
    assert (retried.exit_code, retried.stdout) == (0, "1 calls made again.\n")
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_uri)
    with client:
        stored = {document["_id"] for document in client[mongo_database]["products"].find()}
        (failed,) = client[mongo_database]["failed_calls"].find()
    assert len(stored & set(wanted)) == 1
    assert failed["params"]["product_id"] in set(wanted) - stored


@pytest.mark.parametrize("store", ["file", "redis", "mongodb"])
def test_by_error_and_dropped(
    store: str,
    *,
    scrapy: Scrapy,
    given_up: Callable[..., list[int]],
    redis_url: str,
    mongo_uri: str,
    mongo_database: str,
) -> None:
    if store == "redis":
        scrapy.settings["REDIS_URL"] = redis_url
    elif store == "mongodb":
        scrapy.settings |= {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    first, second = given_up()
    listed = scrapy.run("failed", "list", "--by-error")
    assert (listed.exit_code, listed.log) == (0, "")
    assert "2 calls were given up" in listed.stdout
    for words in ("isv.invalid-parameter", "HTML", str(first), str(second)):
        assert words in listed.stdout

    asked = scrapy.run("failed", "drop", "--error", "HTML")
    assert asked.exit_code == 1
    assert asked.log.startswith("Error: Drop 1 of the calls that were given up? ")
    dropped = scrapy.run("failed", "drop", "--error", "HTML", "--yes")
    assert (dropped.exit_code, dropped.stdout) == (0, "1 calls dropped.\n")
    left = scrapy.run("failed", "list").stdout
    assert str(first) in left
    assert str(second) not in left
    assert scrapy.run("failed", "drop", "--yes").stdout == "1 calls dropped.\n"
    assert scrapy.run("failed", "drop", "--yes").stdout == "No call was given up.\n"
