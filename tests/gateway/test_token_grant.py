from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ali1688_spider.gateway.errors import AuthorizationError
from ali1688_spider.gateway.tokens import TokenGrant, authorization_url

NOW = datetime(2026, 10, 10, 8, 0, tzinfo=UTC)
ANSWER = {
    "access_token": "f14da3b8-b0b1-4f73-a5de-9bed637e0188",
    "expires_in": "36000",
    "refresh_token": "479f9564-1049-456e-ab62-29d3e82277d9",
    "refresh_token_timeout": "20270412201638000+0800",
    "memberId": "b2b-1623492085",
    "aliId": "8888888888",
}


def granted(**changes: Any) -> TokenGrant:
    return TokenGrant(origin="o").renewed({**ANSWER, **changes}, now=NOW)


def test_a_response_is_read() -> None:
    grant = granted()
    assert grant.access_token == "f14da3b8-b0b1-4f73-a5de-9bed637e0188"
    assert grant.refresh_token == "479f9564-1049-456e-ab62-29d3e82277d9"
    assert grant.origin == "o"
    assert grant.obtained_at == NOW
    assert grant.expires_at == NOW + timedelta(hours=10)
    assert grant.refresh_expires_at == datetime(2027, 4, 12, 12, 16, 38, tzinfo=UTC)


@pytest.mark.parametrize("value", [36000, "36000", " 36000 ", "36000.0"])
def test_lifetimes_come_as_text_or_number(value: object) -> None:
    assert granted(expires_in=value).expires_at == NOW + timedelta(hours=10)


@pytest.mark.parametrize("value", [None, "", "never", "0", "-1", "1e300", "nan", "inf", "1 hour"])
def test_a_lifetime_that_nobody_understands_is_unknown(value: object) -> None:
    assert granted(expires_in=value).expires_at is None


@pytest.mark.parametrize("value", ["20270412201638+0800", "20270412121638000+0000"])
def test_other_writings_of_the_end(value: str) -> None:
    assert granted(refresh_token_timeout=value).refresh_expires_at == datetime(
        2027, 4, 12, 12, 16, 38, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "value", [None, "", "never", "20279912201638000+0800", "00010101000000000+0800"]
)
def test_an_end_that_nobody_understands_is_unknown(value: object) -> None:
    assert granted(refresh_token_timeout=value).refresh_expires_at is None


@pytest.mark.parametrize("answer", [{}, {"access_token": ""}, {"access_token": None}])
def test_a_response_without_an_access_token_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(AuthorizationError, match="returned no access_token"):
        TokenGrant(origin="o").renewed(answer, now=NOW)


def test_a_refresh_replaces_what_it_answers() -> None:
    later = NOW.astimezone(timezone(timedelta(hours=8))) + timedelta(hours=10)
    renewed = granted().renewed({"access_token": "a2", "refresh_token": "r2"}, now=later)
    assert renewed == TokenGrant("a2", "r2", origin="o", obtained_at=NOW + timedelta(hours=10))


def test_a_refresh_without_a_refresh_token_keeps_the_old_one() -> None:
    renewed = granted().renewed({"access_token": "a2", "expires_in": "60"}, now=NOW)
    assert renewed == TokenGrant(
        "a2",
        ANSWER["refresh_token"],
        origin="o",
        obtained_at=NOW,
        expires_at=NOW + timedelta(seconds=60),
        refresh_expires_at=granted().refresh_expires_at,
    )


def test_other_configured_tokens_have_another_origin() -> None:
    origins = {
        TokenGrant.configured(*tokens).origin
        for tokens in [("a", "r"), ("a", ""), ("", "r"), ("", ""), ("a2", "r")]
    }
    assert len(origins) == 5
    assert TokenGrant.configured("a", "r") == TokenGrant.configured("a", "r")


def test_which_grant_is_newer() -> None:
    configured, first = TokenGrant.configured("a", "r"), granted()
    second = first.renewed({"access_token": "a2"}, now=NOW + timedelta(seconds=1))
    assert first.is_newer_than(configured)
    assert second.is_newer_than(first)
    assert not first.is_newer_than(second)
    assert not first.is_newer_than(first)
    assert not configured.is_newer_than(first)
    assert not configured.is_newer_than(configured)


@pytest.mark.parametrize("grant", [granted(), granted(expires_in=""), TokenGrant()])
def test_it_is_kept_as_json(grant: TokenGrant) -> None:
    assert TokenGrant.from_json(grant.to_json()) == grant
    assert TokenGrant.from_json(grant.to_json().decode()) == grant


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", json.dumps({"obtained_at": "yesterday"}), b"\xff"]
)
def test_other_texts_are_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the kind is all that callers look at
        TokenGrant.from_json(text)


def test_its_repr_shows_no_secret() -> None:
    shown = repr(granted())
    assert ANSWER["access_token"] not in shown
    assert ANSWER["refresh_token"] not in shown


def test_the_page_where_a_user_authorises() -> None:
    url = authorization_url("1000000", "http://localhost:8080/back?x=1&y=2", "a b/c")
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://auth.1688.com/oauth/authorize"
    assert parse_qs(parts.query) == {
        "client_id": ["1000000"],
        "site": ["1688"],
        "redirect_uri": ["http://localhost:8080/back?x=1&y=2"],
        "state": ["a b/c"],
    }
