from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.clock import GatewayClock
from ali1688_spider.gateway.errors import (
    AuthorizationError,
    CallTimeoutError,
    ServiceError,
    TokenStoreError,
)
from ali1688_spider.gateway.token_stores import FileTokenStore, RedisTokenStore, TokenStore
from ali1688_spider.gateway.tokens import Fetch, TokenGrant, TokenKeeper
from ali1688_spider.redaction import SecretRedactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CONFIGURED = TokenGrant.configured("access-1", "refresh-1")


class Platform:
    """Grants ``access-2``, ``access-3``, … for the latest refresh token only."""

    def __init__(self) -> None:
        self.generation = 1
        self.asked: Counter[str] = Counter()
        self.error: Exception | None = None

    async def fetch(self, refresh_token: str) -> Mapping[str, Any]:
        self.asked[refresh_token] += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if refresh_token != f"refresh-{self.generation}":
            raise AuthorizationError("void")
        self.generation += 1
        number = self.generation
        return {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}"}


class Time:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        self.seconds += 0.001
        return self.seconds


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def store(tmp_path: Path) -> FileTokenStore:
    return FileTokenStore(tmp_path / "tokens" / "token.json")


def keeper_of(
    store: TokenStore, fetch: Fetch, configured: TokenGrant = CONFIGURED, time: Time | None = None
) -> TokenKeeper:
    time = time or Time()
    return TokenKeeper(
        configured, store, GatewayClock(time), fetch, backoff=Backoff(10.0, 40.0), monotonic=time
    )


async def test_the_configured_token_is_used_until_it_is_refused(
    store: FileTokenStore, platform: Platform
) -> None:
    keeper = keeper_of(store, platform.fetch)
    await keeper.load()
    assert keeper.current() == "access-1"
    assert await keeper.refresh("access-1") == "access-2"
    assert keeper.current() == "access-2"
    assert keeper.grant.refresh_token == "refresh-2"
    assert await keeper.refresh("access-2") == "access-3"
    assert platform.asked == {"refresh-1": 1, "refresh-2": 1}


async def test_many_calls_notice_and_one_refreshes(
    store: FileTokenStore, platform: Platform
) -> None:
    keeper = keeper_of(store, platform.fetch)
    tokens = await asyncio.gather(*(keeper.refresh("access-1") for _ in range(100)))
    assert set(tokens) == {"access-2"}
    assert await keeper.refresh("access-1") == "access-2"
    assert platform.asked == {"refresh-1": 1}


@pytest.fixture
def redis_stores(redis_url: str) -> Iterator[list[TokenStore]]:
    clients = [redis.Redis.from_url(redis_url) for _ in range(4)]
    yield [RedisTokenStore(client, "1000000", "test123") for client in clients]
    for client in clients:
        client.close()


async def test_many_workers_notice_and_one_refreshes(
    redis_stores: list[TokenStore], platform: Platform
) -> None:
    time = Time()
    keepers = [keeper_of(store, platform.fetch, time=time) for store in redis_stores]
    for generation in (1, 2, 3):
        tokens = await asyncio.gather(
            *(keeper.refresh(f"access-{generation}") for keeper in keepers for _ in range(5))
        )
        assert set(tokens) == {f"access-{generation + 1}"}
    assert platform.asked == {"refresh-1": 1, "refresh-2": 1, "refresh-3": 1}


async def test_the_next_run_takes_over_what_was_kept(
    store: FileTokenStore, platform: Platform
) -> None:
    await keeper_of(store, platform.fetch).refresh("access-1")
    keeper = keeper_of(store, platform.fetch)
    await keeper.load()
    assert keeper.current() == "access-2"


async def test_newly_configured_tokens_count_more_than_what_was_kept(
    store: FileTokenStore, platform: Platform
) -> None:
    await keeper_of(store, platform.fetch).refresh("access-1")
    keeper = keeper_of(store, platform.fetch, TokenGrant.configured("access-9", "refresh-2"))
    await keeper.load()
    assert keeper.current() == "access-9"
    assert await keeper.refresh("access-9") == "access-3"


async def test_a_refresh_token_alone_is_enough(store: FileTokenStore, platform: Platform) -> None:
    keeper = keeper_of(store, platform.fetch, TokenGrant.configured("", "refresh-1"))
    assert keeper.current() == ""
    assert await keeper.refresh("") == "access-2"


async def test_without_a_refresh_token_a_person_has_to_authorise(
    store: FileTokenStore, platform: Platform
) -> None:
    keeper = keeper_of(store, platform.fetch, TokenGrant.configured("access-1", ""))
    with pytest.raises(AuthorizationError, match="there is no refresh token"):
        await keeper.refresh("access-1")
    assert not platform.asked


async def test_all_who_wait_get_the_failure_of_one_refresh(
    store: FileTokenStore, platform: Platform
) -> None:
    keeper = keeper_of(store, platform.fetch)
    platform.error = ServiceError("down")
    outcomes = await asyncio.gather(
        *(keeper.refresh("access-1") for _ in range(10)), return_exceptions=True
    )
    assert outcomes == [platform.error] * 10
    assert platform.asked == {"refresh-1": 1}


async def test_failures_are_not_hammered(store: FileTokenStore, platform: Platform) -> None:
    time = Time()
    keeper = keeper_of(store, platform.fetch, time=time)
    platform.error = ServiceError("down")
    asked = []
    for wait in (0, 9.9, 0.2, 19.5, 0.6):
        time.seconds += wait
        with pytest.raises(ServiceError):
            await keeper.refresh("access-1")
        asked.append(platform.asked["refresh-1"])
    assert asked == [1, 1, 2, 2, 3]

    platform.error = None
    time.seconds += 41
    assert await keeper.refresh("access-1") == "access-2"
    platform.error = ServiceError("down again")
    with pytest.raises(ServiceError, match="down again"):
        await keeper.refresh("access-2")


async def test_who_is_cancelled_takes_the_refresh_from_nobody(
    store: FileTokenStore, platform: Platform
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def fetch(refresh_token: str) -> Mapping[str, Any]:
        asked.set()
        await answer.wait()
        return await platform.fetch(refresh_token)

    keeper = keeper_of(store, fetch)
    first = asyncio.create_task(keeper.refresh("access-1"))
    second = asyncio.create_task(keeper.refresh("access-1"))
    await asked.wait()
    first.cancel()
    answer.set()
    assert await second == "access-2"
    assert first.cancelled()
    assert platform.asked == {"refresh-1": 1}


async def test_a_refresh_without_a_response_ends(
    store: FileTokenStore, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ali1688_spider.gateway.tokens.FETCH_SECONDS", 0.01)
    answers = False

    async def fetch(refresh_token: str) -> Mapping[str, Any]:
        if answers:
            return await platform.fetch(refresh_token)
        await asyncio.Event().wait()
        raise AssertionError

    time = Time()
    keeper = keeper_of(store, fetch, time=time)
    with pytest.raises(CallTimeoutError):
        await keeper.refresh("access-1")
    time.seconds += 11
    answers = True
    assert await keeper.refresh("access-1") == "access-2"


async def test_the_tokens_of_a_new_authorisation_are_used_and_kept(
    store: FileTokenStore, platform: Platform
) -> None:
    await keeper_of(store, platform.fetch).adopt({"access_token": "granted"})
    keeper = keeper_of(store, platform.fetch)
    await keeper.load()
    assert (keeper.current(), keeper.grant.refresh_token) == ("granted", "")


async def test_a_token_that_cannot_be_kept_is_used_and_not_given_up_for_an_older_one(
    tmp_path: Path, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    class FullDisk(FileTokenStore):
        full = False

        async def save(self, grant: TokenGrant) -> None:
            if self.full:
                raise TokenStoreError("the token file: No space left on device")
            await super().save(grant)

    store = FullDisk(tmp_path / "token.json")
    keeper = keeper_of(store, platform.fetch)
    await keeper.refresh("access-1")
    store.full = True
    assert await keeper.refresh("access-2") == "access-3"
    assert caplog.messages == ["The refreshed token could not be kept: this process alone has it"]
    store.full = False
    assert await keeper.refresh("access-3") == "access-4"
    assert platform.asked == {"refresh-1": 1, "refresh-2": 1, "refresh-3": 1}


async def test_a_store_that_is_away_is_reported_and_asks_nobody(platform: Platform) -> None:
    client = redis.Redis(unix_socket_path="/nowhere/redis.sock", retry=Retry(NoBackoff(), 0))
    keeper = keeper_of(RedisTokenStore(client, "1000000", "test123"), platform.fetch)
    with pytest.raises(TokenStoreError):
        await keeper.load()
    with pytest.raises(TokenStoreError):
        await keeper.refresh("access-1")
    assert not platform.asked


async def test_every_token_is_redacted(store: FileTokenStore, platform: Platform) -> None:
    redactor = SecretRedactor()
    keeper = TokenKeeper(CONFIGURED, store, GatewayClock(), platform.fetch, redactor=redactor)
    assert redactor.redact("access-1 refresh-1 access-2") == "*** *** access-2"
    await keeper.refresh("access-1")
    assert redactor.redact("access-1 access-2 refresh-2") == "*** *** ***"
