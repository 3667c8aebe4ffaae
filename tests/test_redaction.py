from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ali1688_spider.redaction import (
    MIN_SECRET_LENGTH,
    SecretRedactor,
    redact_foreign,
    redact_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = 'p+s/s= w&"?ä'

FORMS: list[Callable[[str], str]] = [
    str,
    quote,
    lambda secret: quote(secret, safe=""),
    quote_plus,
    lambda secret: re.sub("%..", lambda escape: escape[0].lower(), quote(secret)),
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: secret.encode().hex(),
    lambda secret: secret.encode().hex().upper(),
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_replaced(form: Callable[[str], str]) -> None:
    text = f"before {form(SECRET)} after {form(SECRET)}"
    assert SecretRedactor([SECRET]).redact(text) == "before *** after ***"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "a", "ab", "1000000:"])
@pytest.mark.parametrize("after", ["", "z", "yz", ":more"])
def test_base64_is_replaced_also_within_a_longer_text(
    encode: Callable[[bytes], bytes], before: str, after: str
) -> None:
    secret = "s3cr3t>>>???value"
    encoded = encode(f"{before}{secret}{after}".encode()).decode()
    redacted = SecretRedactor([secret]).redact(f"Authorization: Basic {encoded}")
    left, right = redacted.removeprefix("Authorization: Basic ").split("***")
    assert left == encoded[: -(-len(before) * 4 // 3)]
    assert encoded.endswith(right)
    assert len(right.rstrip("=")) <= -(-len(after) * 4 // 3) + 1


@settings(deadline=None)
@given(
    st.text(min_size=MIN_SECRET_LENGTH, max_size=20),
    st.sampled_from(FORMS),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_form_survives(secret: str, form: Callable[[str], str], before: str, after: str) -> None:
    try:
        shown = form(secret)
    except UnicodeEncodeError:  # half of a surrogate pair has no such form
        return
    redacted = SecretRedactor([secret]).redact(before + shown + after)
    assert all(shown not in part for part in redacted.split("***"))


def test_half_a_surrogate_pair_may_be_secret() -> None:
    assert SecretRedactor(["secret\ud800"]).redact("a secret\ud800") == "a ***"


def test_short_texts_are_no_secrets() -> None:
    redactor = SecretRedactor(["", "12345"])
    assert redactor.redact("12345 and more") == "12345 and more"
    assert SecretRedactor(["123456"]).redact("123456 and more") == "*** and more"


def test_a_secret_within_a_secret() -> None:
    assert SecretRedactor(["secret", "secret-token"]).redact("secret-token secret") == "*** ***"


def test_secrets_are_added() -> None:
    redactor = SecretRedactor()
    assert redactor.redact("a refreshed token") == "a refreshed token"
    redactor.add("refreshed", "")
    assert redactor.redact("a refreshed token") == "a *** token"


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("redis://:pass@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://user:pass@host", "rediss://user:***@host"),
        ("redis://user:p@ss/w:rd@host:6379", "redis://user:***@host:6379"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://host?password=pass&db=1", "redis://host?password=***&db=1"),
        ("mongodb://u:p%40ss@a:27017,b:27018/db?w=1", "mongodb://u:***@a:27017,b:27018/db?w=1"),
        ("mongodb+srv://u:pass@cluster.example", "mongodb+srv://u:***@cluster.example"),
        ("mongodb://a/?tlsCertificateKeyFilePassword=p&w=1", None),
        ("http://proxy:pass@host:3128/", "http://proxy:***@host:3128/"),
        ("https://host:443/a@b?x=c@d", "https://host:443/a@b?x=c@d"),
        ("https://host/?access_token=abc#top", "https://host/?access_token=***#top"),
        ("cannot reach 'redis://:pass@host', nor x@y", "cannot reach 'redis://:***@host', nor x@y"),
        ("no address", "no address"),
    ],
)
def test_passwords_in_addresses(url: str, redacted: str | None) -> None:
    expected = redacted or "mongodb://a/?tlsCertificateKeyFilePassword=***&w=1"
    assert redact_url(url) == expected
    assert SecretRedactor().redact(url) == expected
    assert redact_url(expected) == expected


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("see https://gw.open.1688.com/openapi?sign=1 now", "see *** now"),
        ("access_token=abc, next", "access_token=***, next"),
        ('{"session": "abc", "code": 27}', '{"session": "***", "code": 27}'),
        ("_aop_signature = AB12", "_aop_signature = ***"),
        ("bad 0123456789ABCDEF0123456789ABCDEF here", "bad *** here"),
        ("令牌3f2a9c1e-7b44-4f0e-9a55-0c1d2e3f4a5b无效", "令牌***无效"),
        ("商品[610000000001]不存在", "商品[610000000001]不存在"),
        ("Invalid session: expired", "Invalid session: expired"),
        ("缺少必要的参数" * 10, "缺少必要的参数" * 10),
        ("isv.item-not-exist:invalid-numIid-or-iid", "isv.item-not-exist:invalid-numIid-or-iid"),
    ],
)
def test_foreign_texts_lose_what_looks_secret(text: str, redacted: str) -> None:
    assert redact_foreign(text) == redacted


@pytest.mark.parametrize("piece", ["a.", "?token", "redis://:", "a/", "token ", "://", "f", "@"])
def test_long_texts_are_no_burden(piece: str) -> None:
    text = f"://@{piece * 20_000}"
    assert len(redact_foreign(redact_url(text))) <= len(text)
