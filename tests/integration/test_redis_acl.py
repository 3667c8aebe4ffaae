"""The users of Redis that ``docs/how-to/redis.md`` creates may do what they need, and no more.

What crawls and commands then have kept in Redis is listed in docstrings.
"""

from __future__ import annotations

import json
import re
import shlex
import urllib.request
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.exceptions import NoPermissionError

from ali1688_spider.cache import RedisStore
from ali1688_spider.delivery import redis_stream
from ali1688_spider.gateway.token_stores import RedisTokenStore
from ali1688_spider.quota.breaker import RedisOutage
from ali1688_spider.quota.limits import RedisQuota
from ali1688_spider.scheduling import keys
from ali1688_spider.scheduling.dupefilter import RedisDupeFilter
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.statistics import sums
from ali1688_spider.storage.failed_calls import RedisFailedCallStore
from ali1688_spider.watching.hints import RedisHintStore
from ali1688_spider.watching.redis_store import RedisWatchStore
from tests.harness import FIRST_PRODUCT, ROOT, Cluster, eventually, products
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness import Process

KEY_DOCUMENTATION = (
    keys,
    sums,
    redis_stream,
    RedisDupeFilter,
    RedisQuota,
    RedisOutage,
    RedisFailedCallStore,
    RedisStore,
    RedisTokenStore,
    RedisWatchStore,
    RedisHintStore,
)
"""What lists its keys in its docstring, each with its type."""

PAGE = ROOT / "docs" / "how-to" / "redis.md"
PASSWORD = "only-of-this-test"
WORKER, PRODUCER, READER = "ali1688", "ali1688-producer", "ali1688-dashboard"
KEYWORD = "ab60"  # finds 60 products, on two pages


def users_of_the_page() -> dict[str, list[str]]:
    """Return the commands of the page that create users, by the name of the user."""
    text = PAGE.read_text().replace("\\\n", " ").replace("CHOOSE-A-PASSWORD", PASSWORD)
    commands = re.findall(r"^redis-cli (ACL SETUSER .+ on .+)$", text, re.MULTILINE)
    return {words[2]: words for words in map(shlex.split, commands)}


def of_any_spider(key: str) -> str:
    """Return the key with a word in the place of its spider's name."""
    return re.sub("^({?)(product|search|watch):", r"\1SPIDER:", key)


def documented_keys() -> list[re.Pattern[str]]:
    """Return patterns of the keys that docstrings list, for any spider."""
    patterns = []
    for each in KEY_DOCUMENTATION:
        listed = re.findall("``([^`]+)`` (?:STRING|LIST|SET|HASH|ZSET|STREAM)", each.__doc__ or "")
        assert listed, each
        patterns += [re.sub("<[^>]+>", ".+", re.escape(of_any_spider(key))) for key in listed]
    return [re.compile(pattern) for pattern in patterns]


class GuardedCluster(Cluster):
    """Workers on a Redis that lets in nobody but an administrator and the users of the page.

    Attributes:
        redis: The administrator's client.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        super().__init__(folder, settings)
        everything: dict[str, Any] = {"categories": ["+@all"], "keys": ["*"]}
        self.redis.acl_setuser("admin", enabled=True, passwords=[f"+{PASSWORD}"], **everything)
        self.redis.close()
        self.redis = self.client_of("admin")
        self.queue = LeaseQueue(self.redis, SimpleNamespace(name="product"), keys.QUEUE_KEY)
        for words in users_of_the_page().values():
            self.redis.execute_command(*words)
        self.redis.acl_setuser("default", enabled=False)
        self.settings |= {
            "REDIS_URL": self.url_of(WORKER),
            "ALI1688_PROTOCOL": "param2",
            "ALI1688_GATEWAY": f"{self.gateway.url}/openapi",
        }

    def url_of(self, user: str) -> str:
        return self.redis_url.replace("://", f"://{user}:{PASSWORD}@")

    def client_of(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.url_of(user))

    @property
    def refusals(self) -> list[tuple[str, str, str]]:
        """What was refused: to whom, why, and what."""
        entries: Any = self.redis.acl_log()
        return [(each["username"], each["reason"], each["object"]) for each in entries]

    def do(self, *command: str, **settings: str) -> Process:
        """Run a ``scrapy`` command, which has to end well."""
        return self.run(*command, **settings).finish().ended_well()

    def give_up(self, product_id: int) -> None:
        """Have a crawl give up the call for a product."""
        self.gateway.fail(product_id=product_id, faults=["isv"])
        crawl = self.run("crawl", "product", "-a", f"ids={product_id}", ALI1688_CACHE_TTL="0")
        assert crawl.finish().stats["ali1688/failed_calls"] == 1


@pytest.fixture
def cluster(tmp_path: Path, mongo_uri: str, mongo_database: str) -> Iterator[GuardedCluster]:
    """Servers: until the end of the test nothing is refused, and no key is undocumented."""
    settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    with GuardedCluster(tmp_path, settings) as cluster:
        yield cluster
        assert cluster.refusals == []
        found = {of_any_spider(key.decode()) for key in cluster.redis.scan_iter()}
        patterns = documented_keys()
        unknown = {key for key in found if not any(each.fullmatch(key) for each in patterns)}
        assert not {key for key in unknown if ":broken:" not in key}


def listed(ids: list[int]) -> str:
    return f"ids={','.join(map(str, ids))}"


def test_workers_share_ids_and_hear_of_pushed_ones(cluster: GuardedCluster) -> None:
    shared, pushed = products(40), products(5, FIRST_PRODUCT + 100)
    produced = products(5, FIRST_PRODUCT + 200)
    workers = [cluster.start(listed(shared)) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    idle = cluster.start()
    eventually(lambda: idle.has_opened)
    cluster.do("push", "product", *map(str, pushed))
    with cluster.client_of(PRODUCER) as producer:
        producer.lpush("product:start_urls", *produced, "nonsense")
    wanted = {*shared, *pushed, *produced}
    eventually(lambda: set(cluster.gateway.by_product) == wanted and cluster.done)
    assert idle.stop() == 0
    assert "Redis does not tell of changes" not in idle.log


def test_a_worker_takes_over_and_sets_a_broken_key_aside(cluster: GuardedCluster) -> None:
    cluster.gateway.set(latency=300)
    ids = products(60)
    cluster.produce(ids)
    killed, other = cluster.start(), cluster.start("idle=1")
    cluster.gateway.wait_for(10)
    killed.kill()
    cluster.redis.set("{product:start_urls}:times", "no sorted set")
    assert other.wait() == 0
    assert cluster.done
    assert set(cluster.gateway.by_product) == set(ids)
    assert "is set aside as {product:start_urls}:times:broken:" in other.log


def test_workers_wait_for_a_gateway_that_is_away(cluster: GuardedCluster) -> None:
    cluster.kill_gateway()
    cluster.produce(products(20))
    worker = cluster.start("idle=1")
    eventually(lambda: "The gateway takes no calls" in worker.log)
    cluster.restart_gateway()
    assert worker.wait() == 0
    assert cluster.done


def test_a_search_remembers_what_it_has_seen(cluster: GuardedCluster) -> None:
    search = ("crawl", "search", "-a", f"keyword={KEYWORD}", "-a", "details=1")
    first, second = (cluster.do(*search) for _ in range(2))
    assert first.stats["item_scraped_count"] == 60
    assert second.stats["ali1688/cache/hit"] >= 60


def test_tokens_are_refreshed_for_all(cluster: GuardedCluster) -> None:
    cluster.gateway.set(access_token="token-one", refresh_token="refresh-one", expire_token=True)
    tokens = {"ALI1688_ACCESS_TOKEN": "token-one", "ALI1688_REFRESH_TOKEN": "refresh-one"}
    crawl = cluster.do("crawl", "product", "-a", listed(products(20)), **tokens)
    assert crawl.stats["ali1688/token/refreshes"] == 1
    assert cluster.redis.exists("ali1688:{1000000}:token")


def test_changes_reach_the_stream(cluster: GuardedCluster) -> None:
    crawl = ("crawl", "product", "-a", listed(products(5)))
    cluster.do(*crawl)
    cluster.gateway.product(FIRST_PRODUCT, price="9.90")
    cluster.do(*crawl, ALI1688_CACHE_TTL="0")
    assert cluster.redis.xlen("ali1688:changes") >= 1


def test_failed_calls_are_kept_in_redis_and_tried_again(cluster: GuardedCluster) -> None:
    cluster.settings["MONGO_URI"] = ""
    cluster.give_up(FIRST_PRODUCT)
    assert str(FIRST_PRODUCT) in cluster.do("failed", "list", "--by-error").stdout
    cluster.gateway.fail(product_id=FIRST_PRODUCT, faults=[])
    cluster.do("failed", "retry", "-o", "again.jsonl")
    cluster.do("crawl", "product", "-a", "idle=0")
    cluster.give_up(FIRST_PRODUCT)
    cluster.do("failed", "drop", "--yes")
    assert cluster.redis.zcard("ali1688:failed_calls") == 0


def test_an_operator_steers_the_queue(cluster: GuardedCluster) -> None:
    cluster.produce(products(5))
    cluster.do("push", "product", str(FIRST_PRODUCT + 9))
    assert "is paused by " in cluster.do("queue", "pause", "--for", "1h").stdout
    assert str(FIRST_PRODUCT + 9) in cluster.do("queue", "peek").stdout
    assert "is paused by " in cluster.do("queue", "status").stdout
    assert "6 calls removed" in cluster.do("queue", "clear", "--yes").stdout
    assert "is resumed" in cluster.do("queue", "resume").stdout
    assert "ok    Redis: " in cluster.do("doctor").stdout
    assert "ok    Pause: " in cluster.do("doctor", "--end-pause").stdout


def test_a_watch_looks_at_pages_and_asks_for_messages(cluster: GuardedCluster) -> None:
    cluster.gateway.product(FIRST_PRODUCT, followed=True)
    cluster.gateway.product(FIRST_PRODUCT, stock=3)  # which makes a message
    settings = {"ALI1688_MESSAGES": "poll", "ALI1688_DAILY_QUOTA": "0"}
    watch = cluster.start(f"keyword={KEYWORD}", "follow=1", spider="watch", **settings)
    tag = "{watch:start_urls}"
    eventually(lambda: cluster.redis.hlen(f"{tag}:watched") == 60)
    eventually(lambda: cluster.redis.scard(f"{tag}:followed") >= 1)
    eventually(lambda: cluster.redis.zcard(f"{tag}:messages") > 0)

    def has_looked() -> bool:
        calls: Any = cluster.redis.zrange(f"{tag}:delayed", 0, -1)
        if looks := {call: 1 for call in calls if not call.isdigit()}:
            cluster.redis.zadd(f"{tag}:delayed", looks)  # due at once
        return cluster.redis.hlen(f"{tag}:rows") > 0

    eventually(has_looked)
    assert watch.stop() == 0
    assert "60 watched products" in cluster.do("watch", "list").stdout
    watched: Any = cluster.redis.hkeys(f"{tag}:watched")
    cluster.do("unwatch", watched[0].decode())
    assert cluster.redis.hlen(f"{tag}:watched") == 59


def test_a_user_that_only_reads_shows_the_state(cluster: GuardedCluster) -> None:
    cluster.give_up(FIRST_PRODUCT)
    reader = {"REDIS_URL": cluster.url_of(READER)}
    state = json.loads(cluster.run("status", "--json", **reader).finish().stdout)
    assert state["redis"]["error"] == ""
    assert state["totals"]["product"]["ali1688/calls"] == 1
    dashboard = cluster.run("dashboard", "--port", str(free_port()), **reader)
    eventually(lambda: "Dashboard: " in dashboard.stdout or not dashboard.is_running)
    address = dashboard.stdout.split("Dashboard: ")[1].split("#")[0]
    for page in ("", "metrics", "api/state", "products", "changes"):
        with urllib.request.urlopen(address + page, timeout=30) as response:
            assert response.status == 200
    without_mongo = json.loads(
        cluster.run("status", "--json", MONGO_URI="", **reader).finish().stdout
    )
    assert without_mongo["failed"]["error"] == ""


def test_a_command_says_that_it_is_refused(cluster: GuardedCluster) -> None:
    push = cluster.run("push", "product", "1", REDIS_URL=cluster.url_of(PRODUCER)).finish()
    assert push.exit_code == 1
    assert push.log.startswith("Error: Redis rejects the command (")
    assert {(user, reason) for user, reason, _ in cluster.refusals} == {(PRODUCER, "command")}
    cluster.redis.acl_log_reset()


@pytest.mark.parametrize(
    ("user", "command"),
    [
        (WORKER, "GET of:another:program"),
        (WORKER, "SET product:start_urls2 x"),
        (WORKER, "FLUSHALL"),
        (WORKER, "KEYS *"),
        (WORKER, "SCAN 0"),
        (WORKER, "CONFIG GET dir"),
        (WORKER, "CLIENT KILL TYPE normal"),
        (WORKER, "ACL LIST"),
        (WORKER, "PUBLISH news x"),
        (WORKER, "SCRIPT FLUSH"),
        (PRODUCER, "LPUSH search:start_urls 1"),
        (PRODUCER, "LRANGE product:start_urls 0 1"),
        (PRODUCER, "DEL product:start_urls"),
        (PRODUCER, "EVAL return 0"),
        (READER, "LPUSH product:start_urls 1"),
        (READER, "DEL {product:start_urls}:requests"),
        (READER, "GET ali1688:cache:1"),
        (READER, "XRANGE ali1688:changes - +"),
    ],
)
def test_anything_else_is_refused(redis_url: str, user: str, command: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.execute_command(*users_of_the_page()[user])
        address = redis_url.replace("://", f"://{user}:{PASSWORD}@")
        with redis.Redis.from_url(address) as client, pytest.raises(NoPermissionError):
            client.execute_command(*command.split())
        server.acl_deluser(user)
