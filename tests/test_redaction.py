from __future__ import annotations

import base64
import io
import json
import logging
import re
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ali1688_spider.redaction import (
    MIN_SECRET_LENGTH,
    SecretRedactor,
    raise_log_threshold,
    redact_foreign,
    redact_record,
    redact_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root, scrapy = logging.getLogger(), logging.getLogger("scrapy")
    before = root.handlers[:], root.level, scrapy.level
    yield root
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    scrapy.setLevel(before[2])


def handler(level: int) -> logging.Handler:
    handler = logging.NullHandler()
    handler.setLevel(level)
    return handler


def test_records_that_no_handler_takes_are_not_made(root: logging.Logger) -> None:
    logging.getLogger("scrapy").setLevel(logging.DEBUG)
    root.handlers[:] = [handler(logging.WARNING), handler(logging.INFO)]  # none of pytest's
    raise_log_threshold()
    for name in ("scrapy.core.scraper", "pymongo.command"):
        assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
        assert logging.getLogger(name).isEnabledFor(logging.INFO)


def test_a_handler_that_takes_all_gets_all(root: logging.Logger) -> None:
    root.handlers[:] = [handler(logging.INFO), handler(logging.NOTSET)]
    raise_log_threshold()
    assert logging.getLogger("pymongo.command").isEnabledFor(logging.DEBUG)


def redacted(record: logging.LogRecord) -> logging.LogRecord:
    redact_record(record, SecretRedactor(["s3cr3t-token"]))
    return record


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(output: io.StringIO) -> Iterator[logging.Logger]:
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.addFilter(redacted)
    log = logging.getLogger("test-redaction.child")
    parent = logging.getLogger("test-redaction")
    parent.propagate = False
    parent.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield log
    parent.removeHandler(handler)


def fail(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


class Lazy:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<{self.text}>"


@pytest.mark.parametrize(
    ("message", "args", "shown"),
    [
        ("token s3cr3t-token", (), "token ***"),
        ("token %s %d%%", ("s3cr3t-token", 5), "token *** 5%"),
        ("token %(token)s", ({"token": "s3cr3t-token"},), "token ***"),
        ("call %r", (Lazy("s3cr3t-token"),), "call <***>"),
        ("split s3cr3t-%s", ("token",), "split ***"),
        (Lazy("s3cr3t-token"), (), "<***>"),
        ("100% s3cr3t-token", (), "100% ***"),
        ("at %s", ("redis://:other@host",), "at redis://:***@host"),
    ],
)
def test_messages_and_arguments(
    message: object, args: tuple[object, ...], shown: str, log: logging.Logger, output: io.StringIO
) -> None:
    log.info(message, *args)
    assert output.getvalue() == f"INFO: {shown}\n"


def test_a_record_without_a_secret_is_left_as_it_is() -> None:
    args = {"name": "value"}
    record = logging.LogRecord("n", logging.INFO, "p", 1, "%(name)s", (args,), None)
    before = dict(vars(record))
    redacted(record)
    assert vars(record) == before


def test_a_record_that_cannot_be_formatted_shows_no_secret(
    log: logging.Logger, output: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("token %d", "s3cr3t-token")
    assert output.getvalue() == "INFO: token %d ('***',)\n"
    assert capsys.readouterr().err == ""


def test_exceptions_with_their_causes_are_redacted(
    log: logging.Logger, output: io.StringIO
) -> None:
    try:
        fail(ValueError("at redis://:other@host"), cause=KeyError("s3cr3t-token"))
    except ValueError:
        log.exception("failed")
    text = output.getvalue()
    assert text.startswith("ERROR: failed\nKeyError: '***'\n\nThe above exception was the direct")
    assert "Traceback (most recent call last):\n" in text
    assert text.endswith("ValueError: at redis://:***@host\n")
    assert "s3cr3t-token" not in text


def test_a_redacted_exception_is_out_of_reach_of_other_handlers() -> None:
    try:
        fail(ValueError("s3cr3t-token"))
    except ValueError:
        info = sys.exc_info()
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "failed", (), info)
    redacted(record)
    assert record.exc_info is None
    assert record.exc_text is not None
    assert record.exc_text.endswith("ValueError: ***")


def test_an_exception_without_a_secret_stays_whole() -> None:
    try:
        fail(ValueError("harmless"))
    except ValueError:
        info = sys.exc_info()
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "failed", (), info)
    redacted(record)
    assert record.exc_info is info
    assert record.exc_text is None


def test_what_a_formatter_left_behind_is_redacted() -> None:
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "failed", (), None)
    record.exc_text = "ValueError: s3cr3t-token"
    record.stack_info = "in s3cr3t-token"
    redacted(record)
    assert (record.exc_text, record.stack_info) == ("ValueError: ***", "in ***")


def test_no_exception_at_all_is_none() -> None:
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "failed", (), (None, None, None))
    redacted(record)
    assert record.exc_text is None
