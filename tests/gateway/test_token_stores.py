from __future__ import annotations

import asyncio
import base64
import logging
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ali1688_spider.gateway.errors import TokenStoreError
from ali1688_spider.gateway.token_stores import FileTokenStore, RedisTokenStore, TokenStore
from ali1688_spider.gateway.tokens import TokenGrant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP_KEY, APP_SECRET = "1000000", "test123"
KEY = "ali1688:{1000000}:token"
LOCK = "ali1688:{1000000}:token:lock"
GRANT = TokenGrant(
    "access-token-of-the-app",
    "refresh-token-of-the-app",
    "origin",
    obtained_at=datetime(2026, 10, 10, tzinfo=UTC),
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_it_keeps_one_grant_in_a_file(tmp_path: Path) -> None:
    store = FileTokenStore(tmp_path / "tokens" / "1000000.json")
    assert await store.load() is None
    await store.save(TokenGrant("before"))
    await store.save(GRANT)
    assert await store.load() == GRANT
    assert await FileTokenStore(tmp_path / "tokens" / "1000000.json").load() == GRANT
    assert names_in(tmp_path / "tokens") == ["1000000.json"]


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens" / "1000000.json"
    store = FileTokenStore(path)
    async with store.exclusive():
        await store.save(GRANT)
    assert mode(path.parent) == 0o700
    names = names_in(path.parent)
    assert names == ["1000000.json", "1000000.json.lock"]
    assert [mode(path.parent / name) for name in names] == [0o600, 0o600]


async def test_a_file_that_was_open_to_others_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token.json"
    path.write_text(GRANT.to_json().decode())
    path.chmod(0o644)
    assert await FileTokenStore(path).load() == GRANT
    assert mode(path) == 0o600
    assert caplog.messages == [f"The token file {path} was open to others: now mode 600"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]"])
async def test_a_damaged_file_counts_as_none(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token.json"
    path.write_bytes(content)
    path.chmod(0o600)
    assert await FileTokenStore(path).load() is None
    assert caplog.record_tuples == [
        (
            "ali1688_spider.gateway.token_stores",
            logging.WARNING,
            f"The token file {path} is damaged and not used",
        )
    ]


async def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    path.mkdir()
    store = FileTokenStore(path)
    with pytest.raises(TokenStoreError, match="the token file: Is a directory"):
        await store.save(GRANT)
    with pytest.raises(TokenStoreError, match="the token file: Is a directory"):
        await store.load()
    assert names_in(tmp_path) == ["token.json"]


async def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileTokenStore(tmp_path / "file" / "token.json")
    with pytest.raises(TokenStoreError, match="the token file:"):
        async with store.exclusive():
            pass


async def test_one_at_a_time_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    inside = 0
    most = 0

    async def enter() -> None:
        nonlocal inside, most
        async with FileTokenStore(path).exclusive():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(4)))
    assert most == 1


async def test_an_error_inside_is_passed_on_and_frees_the_lock_in_a_file(tmp_path: Path) -> None:
    store = FileTokenStore(tmp_path / "token.json")
    with pytest.raises(OSError, match="of another matter"):
        async with store.exclusive():
            raise OSError("of another matter")
    async with store.exclusive():
        pass


async def test_without_a_place_to_keep_them_they_last_as_long_as_the_store() -> None:
    store = TokenStore()
    assert await store.load() is None
    async with store.exclusive():
        await store.save(GRANT)
    assert await store.load() == GRANT
    assert await TokenStore().load() is None


@pytest.fixture(params=[False, True], ids=["bytes", "text"])
def client(request: pytest.FixtureRequest, redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url, decode_responses=request.param)
    yield client
    client.close()


@pytest.fixture
def store(client: redis.Redis) -> RedisTokenStore:
    return RedisTokenStore(client, APP_KEY, APP_SECRET)


async def test_it_keeps_one_grant_in_redis(client: redis.Redis, store: RedisTokenStore) -> None:
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


async def test_one_at_a_time_in_redis(client: redis.Redis) -> None:
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


async def test_an_error_inside_is_passed_on_and_frees_the_lock_in_redis(
    client: redis.Redis, store: RedisTokenStore
) -> None:
    with pytest.raises(ValueError, match="of another matter"):
        async with store.exclusive():
            raise ValueError("of another matter")
    assert client.exists(LOCK) == 0


async def test_redis_away_is_reported() -> None:
    client = redis.Redis(unix_socket_path="/nowhere/redis.sock", retry=Retry(NoBackoff(), 0))
    store = RedisTokenStore(client, APP_KEY, APP_SECRET)
    with pytest.raises(TokenStoreError, match="Redis: Error 2 connecting"):
        await store.load()
    with pytest.raises(TokenStoreError, match="Redis: Error 2 connecting"):
        await store.save(GRANT)
    with pytest.raises(TokenStoreError, match="Redis: Error 2 connecting"):
        async with store.exclusive():
            pass
