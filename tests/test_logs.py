from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.logs import raise_log_threshold, redact_record
from ali1688_spider.redaction import SecretRedactor

if TYPE_CHECKING:
    from collections.abc import Iterator


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
