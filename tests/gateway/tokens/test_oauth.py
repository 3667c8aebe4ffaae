from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from ali1688_spider.gateway.tokens import (
    authorization_url,
    exchange_parameters,
    refresh_parameters,
)


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


def test_a_code_is_exchanged() -> None:
    assert exchange_parameters("1000000", "test123", code="c", redirect_uri="http://localhost") == {
        "grant_type": "authorization_code",
        "need_refresh_token": "true",
        "client_id": "1000000",
        "client_secret": "test123",
        "redirect_uri": "http://localhost",
        "code": "c",
    }


def test_a_refresh_sends_both_names_of_the_token() -> None:
    assert refresh_parameters("1000000", "test123", refresh_token="r") == {
        "grant_type": "refresh_token",
        "client_id": "1000000",
        "client_secret": "test123",
        "refresh_token": "r",
        "refreshToken": "r",
    }
