"""The servers that everybody is measured with."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.request import Request, urlopen

import pymongo
import redis

from ali1688_spider.local_servers import start_mongo, start_redis, start_sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_ID = 610_000_000_001
PRODUCTS = 2_000_000
DATABASE = "benchmarks"


class Stage:
    """Redis, a MongoDB server and the sandbox; a context manager.

    Attributes:
        redis: A client of Redis.
        redis_url: Its address.
        mongo: A client of MongoDB.
        environment: What tells a worker where all of them are. The project's limits are off: they
            are what it would wait for; all else stays at its default.
    """

    redis: Any
    redis_url: str
    mongo: pymongo.MongoClient[dict[str, Any]]
    environment: dict[str, str]
    _stored_before: datetime | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            redis_server = start_redis(self.folder / "redis")
            stack.callback(redis_server.stop)
            mongo_server = start_mongo(self.folder / "mongo")
            stack.callback(mongo_server.kill)
            sandbox = start_sandbox(self.folder / "sandbox", ["--products", str(PRODUCTS)])
            stack.callback(sandbox.stop)
            self.redis_url = redis_server.url
            self.redis = redis.Redis.from_url(redis_server.url)
            stack.callback(self.redis.close)
            self.mongo = pymongo.MongoClient(mongo_server.url)
            stack.callback(self.mongo.close)
            self._sandbox_url = sandbox.url
            self.environment = {
                "ALI1688_APP_KEY": "1000000",
                "ALI1688_APP_SECRET": "test123",
                "ALI1688_PROTOCOL": "router",
                "ALI1688_GATEWAY": f"{sandbox.url}/router/json",
                "ALI1688_QPS": "0",
                "ALI1688_DAILY_QUOTA": "0",
                "REDIS_URL": redis_server.url,
                "MONGO_URI": mongo_server.url,
                "MONGO_DATABASE": DATABASE,
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def clear(self) -> None:
        """Empty Redis and the database, and forget what the gateway counted."""
        self.redis.flushall()
        self.mongo.drop_database(DATABASE)
        self._stored_before = None
        self.forget_calls()

    def forget_calls(self) -> None:
        """Let the gateway count from zero."""
        self._control("reset", {})

    def configure_gateway(self, settings: Mapping[str, Any]) -> None:
        """Change options of the sandbox while it runs."""
        self._control("settings", settings)

    def gateway_counts(self) -> dict[str, Any]:
        """Return what the gateway has counted."""
        return self._control("status?products=0")

    def count_again(self) -> None:
        """From now on, count the products that are stored another time."""
        self._stored_before = datetime.now(UTC)

    def stored(self) -> int:
        """Return how many products were stored, or stored again."""
        products = self.mongo[DATABASE]["products"]
        if self._stored_before is None:
            return products.estimated_document_count()
        return products.count_documents({"fetched_at": {"$gt": self._stored_before}})

    def _control(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self._sandbox_url}/_sandbox/{path}", data=data)
        with urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        return answer
