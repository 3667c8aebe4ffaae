"""No secret is anywhere that a person or a file could see, whatever goes wrong."""

from __future__ import annotations

import base64
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pymongo
from bson import json_util
from redis import Redis

from ali1688_spider.cache import CachedResponse
from ali1688_spider.gateway.token_stores import FileTokenStore, RedisTokenStore
from ali1688_spider.quota.breaker import FIRST_CALLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.harness import Gateway, Process, Scrapy

    Settings = Callable[[str], dict[str, str]]
    Ids = Callable[[int], Sequence[int]]

# What differs when quoted, and in base64.
APP_SECRET = "app/secret+marked=1é"
ACCESS_TOKEN = "access/token+marked=2é"
REFRESH_TOKEN = "refresh/token+marked=3é"
SETTINGS = {
    "ALI1688_APP_SECRET": APP_SECRET,
    "ALI1688_ACCESS_TOKEN": ACCESS_TOKEN,
    "ALI1688_REFRESH_TOKEN": REFRESH_TOKEN,
    "ALI1688_CACHE_TTL": "600",
    "ALI1688_MAX_ATTEMPTS": "2",
    "LOG_LEVEL": "DEBUG",
}
FAULTS = [
    *("reset", "cut-connection", "500", "html", "truncated", "empty", "bare-string", "redirect"),
    *("business-error", "isp", "rate-limit", "expired-session", "isv", "invalid-parameter"),
]
SIGNED = re.compile(r"(?i)\b(sign|_aop_signature|session|access_token|client_secret)=[^*]")


def forms(secret: str) -> Iterator[str]:
    """Yield how a secret looks plain, quoted, and in base64 wherever it begins."""
    yield from (secret, quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield quote(secret, safe="").lower()
    yield secret.encode("unicode_escape").decode()
    for before in range(3):
        encoded = base64.b64encode(b"." * before + secret.encode())
        inner = encoded[4 if before else 0 : len(encoded) // 4 * 4 - 4].decode()
        yield from (inner, inner.replace("+", "-").replace("/", "_"))


def crawl_through_trouble(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, settings: dict[str, str]
) -> Process:
    gateway.set(
        app_secret=APP_SECRET,
        access_token=ACCESS_TOKEN,
        refresh_token=REFRESH_TOKEN,
    )
    wanted = list(ids(len(FAULTS) + 6))
    # The first calls open the breaker; the one after them finds that the gateway is back.
    *first, _fine = wanted[: FIRST_CALLS + 1]
    failing = [*first, *wanted[FIRST_CALLS + 1 :]]
    for fault in FAULTS:
        gateway.fail(product_id=failing.pop(0), faults=[fault])
    given_up, gone, rejected, *_ = failing
    gateway.fail(product_id=given_up, faults=["html", "isp"] * 2)  # it may be excused once
    gateway.product(gone, removed=True)
    gateway.product(rejected, answer={"result": {"product": {}}, "productInfo": {}})
    gateway.set(expire_token=True)
    # A secret has got into a file of ids, too.
    (scrapy.folder / "ids.txt").write_text(f"access_token {ACCESS_TOKEN}\n")
    crawl = scrapy.crawl_incompletely(
        "product",
        *("-a", f"ids={','.join(map(str, wanted))}", "-a", "ids_file=ids.txt"),
        *("-O", "products.jsonl", "-O", "products.csv"),
        **SETTINGS | settings,
    )
    assert crawl.stats["ali1688/token/refreshes"] >= 1
    assert crawl.stats["ali1688/failed_calls"] == 3
    assert crawl.stats["ali1688/items/rejected"] == 1
    assert crawl.stats["ali1688/gateway/outages"] == 1
    assert crawl.stats["ali1688/retries"] > 8
    assert gateway.status()["refused_signatures"] == 0
    assert len(crawl.log) > 10_000
    return crawl


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each file that a crawl has left, as text; of the cache its answers."""
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in {"token.json", "ids.txt"}:
            yield str(path), path.read_bytes().decode("latin-1")
    cache = folder / ".scrapy" / "ali1688" / "cache.sqlite"
    if cache.exists():
        with closing(sqlite3.connect(cache)) as connection:
            for key, data in connection.execute("SELECT key, data FROM responses"):
                yield f"cache {key}", str(CachedResponse.decode(data))


def redis_values(redis: Redis) -> Iterator[tuple[str, str]]:
    """Yield each key with its value; of the cache its answers."""
    readers: dict[Any, Callable[[bytes], Any]] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"stream": redis.xrange,
    }
    keys: Any = redis.scan_iter()
    for key in keys:
        value = readers[redis.type(key)](key)
        if key.startswith(b"ali1688:cache:"):
            value = CachedResponse.decode(value)
        yield str(key), f"{key!r} {value!r}"


def mongo_documents(uri: str, database: str) -> Iterator[tuple[str, str]]:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri)
    with client:
        for name in client[database].list_collection_names():
            for document in client[database][name].find():
                yield name, json_util.dumps(document, ensure_ascii=False)


def check(secrets: Sequence[str], places: Sequence[tuple[str, str]]) -> None:
    searched = [form for secret in secrets for form in forms(secret)]
    for place, text in places:
        found = [form for form in searched if form in text]
        assert not found, f"{found} in {place}"
        signed = SIGNED.search(text)
        assert signed is None, f"{signed} in {place}"


async def test_with_redis_and_mongodb(
    *,
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: Settings,
    ids: Ids,
    redis_url: str,
    mongo_uri: str,
    mongo_database: str,
) -> None:
    settings = settings_for("param2") | {
        "ALI1688_HTTP_METHOD": "GET",
        "REDIS_URL": redis_url,
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": mongo_database,
    }
    crawl = crawl_through_trouble(scrapy, gateway, ids, settings)
    with Redis.from_url(redis_url) as redis:
        grant = await RedisTokenStore(redis, "1000000", APP_SECRET).load()
        in_redis = list(redis_values(redis))
    assert grant is not None
    secrets = [APP_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, grant.access_token, grant.refresh_token]
    in_mongo = list(mongo_documents(mongo_uri, mongo_database))
    assert {name for name, _ in in_mongo} >= {"products", "rejected_items", "failed_calls"}
    assert any(place.startswith("b'ali1688:cache:") for place, _ in in_redis)
    check(
        secrets,
        [
            *(("log", crawl.log), ("output", crawl.stdout)),
            *(*files(scrapy.folder), *in_redis, *in_mongo),
        ],
    )


async def test_without_any_server(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings, ids: Ids
) -> None:
    crawl = crawl_through_trouble(scrapy, gateway, ids, settings_for("router"))
    kept = scrapy.folder / ".scrapy" / "ali1688"
    grant = await FileTokenStore(kept / "token.json").load()
    assert grant is not None
    secrets = [APP_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, grant.access_token, grant.refresh_token]
    found = dict(files(scrapy.folder))
    assert str(kept / "failed_calls.jsonl") in found
    assert any(place.startswith("cache ") for place in found)
    check(secrets, [("log", crawl.log), ("output", crawl.stdout), *found.items()])


def test_an_env_file_that_others_can_read_is_warned_about(scrapy: Scrapy, ids: Ids) -> None:
    file = scrapy.folder / ".env"
    file.write_text(f"ALI1688_ACCESS_TOKEN={ACCESS_TOKEN}\n")
    file.chmod(0o644)
    crawl = scrapy.crawl("product", "-a", f"ids={ids(1)[0]}")
    assert f"WARNING: Others can read the secrets in {file}: run chmod 600 {file}" in crawl.log
    assert ACCESS_TOKEN not in crawl.log
