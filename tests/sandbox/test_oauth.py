from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.caller import KEY, PRODUCT, SECRET, TOKEN, param2_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Answer, Caller

APP = {"client_id": KEY, "client_secret": SECRET}
REFRESH = APP | {"grant_type": "refresh_token"}
BACK = "http://localhost:8000/back"
WRONG_REFRESH_TOKEN = {
    "error_message": "wrong refreshToken",
    "exception": "wrong refreshToken",
}
CALL = {"productID": "610000000001", "webSite": "1688"}


@pytest.fixture
async def guarded(start: Callable[..., Awaitable[Caller]]) -> Caller:
    return await start(access_token="first", refresh_token="again", token_lifetime=100)


async def token(gateway: Caller, protocol: str = "param2", **params: str) -> Answer:
    return await gateway.send(
        "POST", f"/openapi/{param2_path(TOKEN, protocol=protocol)}", data=params
    )


async def code(gateway: Caller, **changes: str) -> str:
    params = {"client_id": KEY, "site": "1688", "redirect_uri": BACK, "state": "s"} | changes
    answer = await gateway.send("GET", "/oauth/authorize", params=params)
    assert answer.status == 302
    address = urlsplit(answer.headers["Location"])
    query = parse_qs(address.query)
    assert address._replace(query="").geturl() == BACK
    assert query["state"] == ["s"]
    return query["code"][0]


async def allowed(gateway: Caller, access_token: str) -> bool:
    answer = await gateway.param2(PRODUCT, access_token=access_token, **CALL)
    return answer.status == 200


@pytest.mark.parametrize("protocol", ["param2", "http"])
@pytest.mark.parametrize("name", ["refresh_token", "refreshToken"])
async def test_a_refresh_replaces_both_tokens(guarded: Caller, protocol: str, name: str) -> None:
    assert await allowed(guarded, "first")
    answer = await token(guarded, protocol, **REFRESH, **{name: "again"})
    assert answer.status == 200
    fields = answer.json
    assert set(fields) == {
        "access_token",
        "expires_in",
        "refresh_token",
        "refresh_token_timeout",
        "memberId",
        "aliId",
    }
    assert all(isinstance(value, str) for value in fields.values())
    assert fields["expires_in"] == "100"
    assert re.fullmatch(r"\d{17}\+0800", fields["refresh_token_timeout"])
    assert not await allowed(guarded, "first")
    assert await allowed(guarded, fields["access_token"])
    used = await token(guarded, **REFRESH, refresh_token="again")
    assert (used.status, used.json) == (400, WRONG_REFRESH_TOKEN)
    report = await guarded.status()
    assert report["token_refreshes"] == 1
    assert report["by_api"][TOKEN] == 2


async def test_a_refresh_may_keep_the_refresh_token(
    start: Callable[..., Awaitable[Caller]],
) -> None:
    gateway = await start(access_token="first", refresh_token="again", omit_refresh_token=True)
    for _ in range(2):
        answer = (await token(gateway, **REFRESH, refresh_token="again")).json
        assert "refresh_token" not in answer
        assert await allowed(gateway, answer["access_token"])


async def test_a_token_expires(guarded: Caller) -> None:
    await guarded.control("settings", {"clock_skew": 101})
    assert not await allowed(guarded, "first")
    fields = (await token(guarded, **REFRESH, refresh_token="again")).json
    assert await allowed(guarded, fields["access_token"])


async def test_a_token_can_be_made_to_expire(guarded: Caller) -> None:
    await guarded.control("settings", {"expire_token": True})
    assert not await allowed(guarded, "first")
    await guarded.control("settings", {"access_token": "second"})
    assert not await allowed(guarded, "first")
    assert await allowed(guarded, "second")


async def test_a_code_is_exchanged_once(guarded: Caller) -> None:
    exchange = APP | {
        "grant_type": "authorization_code",
        "need_refresh_token": "true",
        "redirect_uri": BACK,
        "code": await code(guarded),
    }
    fields = (await token(guarded, **exchange)).json
    assert await allowed(guarded, fields["access_token"])
    assert (await token(guarded, **REFRESH, refresh_token=fields["refresh_token"])).status == 200
    assert (await token(guarded, **exchange)).json == {
        "error": "invalid_grant",
        "error_description": "the code is unknown, used or expired",
    }
    assert (await guarded.status())["token_refreshes"] == 1


async def test_a_refresh_token_comes_when_it_is_needed(guarded: Caller) -> None:
    exchange = APP | {"grant_type": "authorization_code", "redirect_uri": BACK}
    fields = (await token(guarded, **exchange, code=await code(guarded))).json
    assert "refresh_token" not in fields


async def test_a_code_expires_after_two_minutes(guarded: Caller) -> None:
    exchange = APP | {"grant_type": "authorization_code", "redirect_uri": BACK}
    exchange["code"] = await code(guarded)
    await guarded.control("settings", {"clock_skew": 121})
    assert (await token(guarded, **exchange)).json["error"] == "invalid_grant"
    exchange["code"] = await code(guarded)
    await guarded.control("settings", {"clock_skew": 121 + 110})
    assert "access_token" in (await token(guarded, **exchange)).json


async def test_a_code_can_be_shown_instead(gateway: Caller) -> None:
    params = {"client_id": KEY, "site": "1688", "redirect_uri": "urn:ietf:wg:oauth:2.0:oob"}
    answer = await gateway.send("GET", "/oauth/authorize", params=params)
    assert (answer.status, answer.body.startswith(b"urn:ietf:wg:oauth:2.0:oob?code=")) == (
        200,
        True,
    )


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"client_id": "1"}, "invalid_client"),
        ({"site": "taobao"}, "invalid_client"),
        ({"redirect_uri": ""}, "invalid_request"),
    ],
)
async def test_wrong_authorisations(gateway: Caller, params: dict[str, str], error: str) -> None:
    usual = {"client_id": KEY, "site": "1688", "redirect_uri": BACK}
    answer = await gateway.send("GET", "/oauth/authorize", params=usual | params)
    assert (answer.status, answer.json["error"]) == (400, error)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (REFRESH | {"client_secret": "x"}, "invalid_client"),
        (REFRESH | {"client_id": "x"}, "invalid_client"),
        (APP | {"grant_type": "password"}, "unsupported_grant_type"),
        (APP, "unsupported_grant_type"),
        (REFRESH, "invalid_request"),
        (APP | {"grant_type": "authorization_code", "code": "x"}, "invalid_grant"),
    ],
)
async def test_wrong_requests_for_a_token(
    guarded: Caller, params: dict[str, str], error: str
) -> None:
    answer = await token(guarded, **params)
    assert answer.status == 400
    assert answer.json["error"] == error
    assert answer.json["error_description"]
    report: dict[str, Any] = await guarded.status()
    assert (report["errors"], report["token_refreshes"]) == ({error: 1}, 0)


@pytest.mark.parametrize(
    "tokens", [{"refresh_token": "x"}, {"refresh_token": "again", "refreshToken": "x"}]
)
async def test_a_wrong_refresh_token(guarded: Caller, tokens: dict[str, str]) -> None:
    answer = await token(guarded, **REFRESH, **tokens)
    assert (answer.status, answer.json) == (400, WRONG_REFRESH_TOKEN)
    assert (await guarded.status())["errors"] == {"wrong-refresh-token": 1}


async def test_a_code_belongs_to_its_address(guarded: Caller) -> None:
    exchange = APP | {"grant_type": "authorization_code", "redirect_uri": BACK + "/other"}
    answer = await token(guarded, **exchange, code=await code(guarded))
    assert answer.json["error"] == "invalid_grant"


async def test_secrets_are_not_taken_by_get(guarded: Caller) -> None:
    path = f"/openapi/{param2_path(TOKEN)}"
    answer = await guarded.send("GET", path, params=REFRESH | {"refresh_token": "again"})
    assert answer.json == {"error": "invalid_request", "error_description": "call with POST"}
