"""Access tokens: refreshed once, kept for the next run, got by ``scrapy auth``."""

from __future__ import annotations

import json
import stat
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest
from redis import Redis

from tests.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness import Administration, Gateway, Scrapy

    Settings = Callable[[str], dict[str, str]]
    Ids = Callable[[int], Sequence[int]]

pytestmark = pytest.mark.real_start

TOKENS = {"ALI1688_ACCESS_TOKEN": "access-token-one", "ALI1688_REFRESH_TOKEN": "refresh-token-one"}


def listed(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids))


@pytest.fixture
def tokens(gateway: Gateway) -> dict[str, str]:
    gateway.set(access_token="access-token-one", refresh_token="refresh-token-one")
    return TOKENS


@pytest.mark.parametrize(("protocol", "with_redis"), [("param2", True), ("router", False)])
def test_a_token_that_expires_in_between_is_refreshed_once(
    *,
    protocol: str,
    with_redis: bool,
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: Settings,
    ids: Ids,
    redis_url: str,
    tokens: dict[str, str],
) -> None:
    settings = settings_for(protocol) | tokens
    settings["REDIS_URL"] = redis_url if with_redis else ""
    # The whole crowd of calls in the middle of the crawl notices it.
    gateway.set(latency=100)
    running = scrapy.start(
        "crawl", "product", "-a", f"ids={listed(ids(150))}", "-O", "all.jsonl", **settings
    )
    eventually(lambda: gateway.status(products=False)["answered"] >= 20)
    assert running.is_running
    gateway.set(expire_token=True)
    crawl = running.finish().ended_well()
    assert set(crawl.read("all.jsonl")) == set(ids(150))
    status = gateway.status()
    assert status["token_refreshes"] == 1
    assert crawl.stats["ali1688/token/refreshes"] == 1
    assert status["errors"]["invalid-session"] == crawl.stats["ali1688/errors/token"] > 1
    assert "ali1688/failed_calls" not in crawl.stats

    # The next run begins with the token that was kept, not with the configured one.
    gateway.reset_counts()
    scrapy.crawl("product", "-a", f"ids={listed(ids(20))}", **settings)
    status = gateway.status()
    assert (status["calls"], status["answered"], status["token_refreshes"]) == (20, 20, 0)

    if with_redis:
        with Redis.from_url(redis_url) as redis:
            kept = redis.get("ali1688:{1000000}:token")
        assert isinstance(kept, bytes)
        assert b"token" not in kept
    else:
        file = scrapy.folder / ".scrapy" / "ali1688" / "token.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["refresh_token"] not in {"", "refresh-token-one"}


def test_the_refresh_token_stays_when_the_answer_has_none(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings, ids: Ids, tokens: dict[str, str]
) -> None:
    gateway.set(omit_refresh_token=True)
    gateway.set(expire_token=True)
    scrapy.crawl("product", "-a", f"ids={ids(1)[0]}", **settings_for("param2"), **tokens)
    file = scrapy.folder / ".scrapy" / "ali1688" / "token.json"
    assert json.loads(file.read_text())["refresh_token"] == "refresh-token-one"
    gateway.set(expire_token=True)
    scrapy.crawl("product", "-a", f"ids={ids(1)[0]}", **settings_for("param2"), **tokens)
    assert gateway.status()["token_refreshes"] == 2


@pytest.mark.parametrize("refresh_token", ["", "refresh-token-void"])
def test_a_token_that_cannot_be_refreshed_ends_the_crawl(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings, ids: Ids, refresh_token: str
) -> None:
    gateway.set(access_token="access-token-one", refresh_token="refresh-token-one")
    crawl = scrapy.run(
        *("crawl", "product", "-a", f"ids={listed(ids(200))}"),
        **settings_for("param2"),
        ALI1688_ACCESS_TOKEN="access-token-void",
        ALI1688_REFRESH_TOKEN=refresh_token,
    )
    assert crawl.exit_code == 1
    assert crawl.stats["finish_reason"] == "bad_credentials"
    assert "Traceback" not in crawl.log
    assert crawl.log.count(" ERROR: ") == 1
    assert "Authorise the app again with `scrapy auth`" in crawl.log
    assert gateway.status()["calls"] <= 5


class StayingWhereItIs(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def agree(address: str, gateway: Gateway) -> str:
    """Do as a user who agrees; return the address that the gateway sends this user to."""
    at_gateway = f"{gateway.url}/oauth/authorize?{urlsplit(address).query}"
    with pytest.raises(HTTPError) as redirect:
        urllib.request.build_opener(StayingWhereItIs).open(at_gateway)
    with redirect.value as answer:
        return str(answer.headers["Location"])


def test_a_user_authorises_the_app(
    *,
    scrapy: Scrapy,
    administration: Administration,
    gateway: Gateway,
    settings_for: Settings,
    ids: Ids,
    redis_url: str,
) -> None:
    gateway.set(access_token="of-another-authorisation")
    settings = settings_for("param2") | {"REDIS_URL": redis_url}
    callback = "https://example.com/callback"
    asked = administration.run("auth", "--redirect-uri", callback, **settings)
    assert asked.exit_code == 0
    (address,) = [line.strip() for line in asked.stdout.splitlines() if "oauth/authorize" in line]
    assert address.startswith("https://auth.1688.com/oauth/authorize?")
    query = parse_qs(urlsplit(address).query)
    assert query["client_id"] == ["1000000"]
    assert query["redirect_uri"] == [callback]
    sent_to = agree(address, gateway)
    assert parse_qs(urlsplit(sent_to).query)["state"] == query["state"]

    arguments = ("auth", "--redirect-uri", callback, "--code", sent_to)
    exchanged = administration.run(*arguments, **settings)
    assert exchanged.exit_code == 0, exchanged.log
    assert exchanged.stdout.startswith("The tokens are kept")
    crawl = scrapy.crawl("product", "-a", f"ids={listed(ids(3))}", **settings)
    assert crawl.stats["item_scraped_count"] == 3
    assert gateway.status()["errors"] == {}

    again = administration.run(*arguments, **settings)
    assert again.exit_code == 1
    assert again.log.startswith("Error: invalid_grant: the code is unknown, used or expired")
    assert again.log.endswith("belong to ALI1688_APP_KEY.\n")
    assert "Traceback" not in again.log
