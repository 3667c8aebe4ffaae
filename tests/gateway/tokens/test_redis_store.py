from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ali1688_spider.gateway.tokens import RedisTokenStore, TokenGrant, TokenStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

APP_KEY, APP_SECRET = "1000000", "test123"
KEY = "ali1688:{1000000}:token"
LOCK = "ali1688:{1000000}:token:lock"
GRANT = TokenGrant(
    "access-token-of-the-app",
    "refresh-token-of-the-app",
    "origin",
    obtained_at=datetime(2026, 10, 10, tzinfo=UTC),
)


@pytest.fixture(params=[False, True], ids=["bytes", "text"])
def client(request: pytest.FixtureRequest, redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url, decode_responses=request.param)
    yield client
    client.close()


@pytest.fixture
def store(client: redis.Redis) -> RedisTokenStore:
    return RedisTokenStore(client, APP_KEY, APP_SECRET)


async def test_it_keeps_one_grant(client: redis.Redis, store: RedisTokenStore) -> None:
    assert await store.load() is None
    await store.save(TokenGrant("before"))
    await store.save(GRANT)
    assert await store.load() == GRANT
    assert await RedisTokenStore(client, APP_KEY, APP_SECRET).load() == GRANT
    assert await RedisTokenStore(client, "1000001", APP_SECRET).load() is None


async def test_redis_sees_no_token(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        await RedisTokenStore(client, APP_KEY, APP_SECRET).save(GRANT)
        assert client.keys() == [KEY.encode()]
        kept = client.get(KEY)
    assert isinstance(kept, bytes)
    seen = kept + base64.urlsafe_b64decode(kept)
    for secret in (GRANT.access_token, GRANT.refresh_token, APP_SECRET):
        for form in (secret, quote(secret), base64.b64encode(secret.encode()).decode()):
            assert form.encode() not in seen


async def test_nobody_else_can_plant_a_token(
    client: redis.Redis, store: RedisTokenStore, caplog: pytest.LogCaptureFixture
) -> None:
    warning = "The tokens in Redis are not of this app secret and not used"
    await RedisTokenStore(client, APP_KEY, "another secret").save(GRANT)
    assert await store.load() is None
    client.set(KEY, GRANT.to_json())
    assert await store.load() is None
    assert caplog.messages == [warning, warning]


async def test_one_at_a_time(client: redis.Redis) -> None:
    inside = 0
    most = 0

    async def enter() -> None:
        nonlocal inside, most
        async with RedisTokenStore(client, APP_KEY, APP_SECRET).exclusive():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(4)))
    assert most == 1
    assert client.keys() == []


async def test_the_lock_of_a_dead_worker_ends(client: redis.Redis, store: RedisTokenStore) -> None:
    client.set(LOCK, "of a dead worker", px=50)
    async with store.exclusive():
        lifetime = client.pttl(LOCK)
        assert isinstance(lifetime, int)
        assert 0 < lifetime <= 60_000


async def test_a_lock_that_was_lost_is_not_taken_from_its_new_owner(
    client: redis.Redis, store: RedisTokenStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with store.exclusive():
        client.set(LOCK, "of another worker")
    assert client.exists(LOCK) == 1
    assert caplog.messages == [
        "The lock of the token refresh ends by itself in 60 s (LockNotOwnedError)"
    ]


async def test_an_error_inside_is_passed_on_and_frees_the_lock(
    client: redis.Redis, store: RedisTokenStore
) -> None:
    with pytest.raises(ValueError, match="of another matter"):
        async with store.exclusive():
            raise ValueError("of another matter")
    assert client.exists(LOCK) == 0


async def test_redis_away_is_reported() -> None:
    client = redis.Redis(unix_socket_path="/nowhere/redis.sock", retry=Retry(NoBackoff(), 0))
    store = RedisTokenStore(client, APP_KEY, APP_SECRET)
    with pytest.raises(TokenStoreError, match="Redis: ConnectionError"):
        await store.load()
    with pytest.raises(TokenStoreError, match="Redis: ConnectionError"):
        await store.save(GRANT)
    with pytest.raises(TokenStoreError, match="Redis: ConnectionError"):
        async with store.exclusive():
            pass
