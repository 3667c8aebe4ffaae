"""A log record is one JSON object on one line, whatever it holds."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.settings import Settings
from scrapy.spiders import Spider
from scrapy.utils.test import get_crawler

from ali1688_spider.logs import JsonFormatter, is_json, tell
from ali1688_spider.redaction import redact_logs

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-of-logs"


@pytest.fixture(autouse=True)
def secret_is_known() -> None:
    redact_logs(SECRET)


def made(message: object = "text", *args: object, **options: Any) -> logging.LogRecord:
    """Return a record as a logger makes it."""
    log = logging.getLogger("a.logger")
    info, extra = options.pop("exc_info", None), options.pop("extra", None)
    return log.makeRecord(
        log.name, logging.WARNING, "file.py", 1, message, args, info, None, extra, **options
    )


def formatted(record: logging.LogRecord, spider: str = "") -> dict[str, Any]:
    """Return the object of a record, which is one line of UTF-8."""
    line = JsonFormatter(spider).format(record)
    assert line.splitlines() == [line]
    fields: dict[str, Any] = json.loads(line.encode("utf-8").decode())
    return fields


def test_the_fields_of_a_record() -> None:
    record = made("%d of %s", 3, "杯子")
    record.created = datetime(2026, 11, 29, 12, 45, 0, 123_900, UTC).timestamp()
    assert JsonFormatter().format(record) == (
        '{"time": "2026-11-29T12:45:00.123Z", "level": "WARNING", "logger": "a.logger", '
        f'"message": "3 of 杯子", "pid": {os.getpid()}}}'
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two\nlines\r\n\tand \x1b[31m a third\x85with\u2028others\u2029",
        'quotes " and \\ and \\u2028',
        "half of a pair: \ud83d",
        "a path \udcff\\\udcfe",
        "🍵",
    ],
)
def test_any_text_is_one_line_and_comes_back(text: str) -> None:
    assert formatted(made(text))["message"] == text


def test_what_can_be_read_is_not_escaped() -> None:
    assert '"跨境 → 🍵 é"' in JsonFormatter().format(made("跨境 → 🍵 é"))


def test_no_secret_gets_through() -> None:
    try:
        raise ValueError(f"at redis://:other@host with {SECRET}")  # noqa: TRY301
    except ValueError:
        failed = made("%s failed", SECRET, exc_info=sys.exc_info(), sinfo=f"Stack:\n{SECRET}")
    told = formatted(failed)
    assert told["message"] == "*** failed"
    assert told["exception"].startswith("Traceback (most recent call last):\n")
    assert told["exception"].endswith("\nValueError: at redis://:***@host with ***")
    assert told["stack"] == "Stack:\n***"
    stats = {f"seen/{SECRET}": {"value": [SECRET]}}
    assert formatted(made(extra={"stats": stats}))["stats"] == {"seen/***": {"value": ["***"]}}


def test_an_exception_that_is_none() -> None:
    assert "exception" not in formatted(made(exc_info=(None, None, None)))


def test_a_record_that_cannot_be_merged_is_shown_all_the_same() -> None:
    assert formatted(made("%d products", "no number"))["message"] == "%d products ('no number',)"


def test_values_that_json_does_not_have() -> None:
    at = datetime(2026, 11, 29, 12, 45, tzinfo=UTC)
    values = {1: at, "a": Decimal("1.10"), "b": float("nan"), "c": 0.5, "d": None, "e": True}
    assert formatted(made(extra={"outcome": values}))["outcome"] == {
        "1": "2026-11-29T12:45:00.000Z",
        "a": "1.10",
        "b": "nan",
        "c": 0.5,
        "d": None,
        "e": True,
    }


def test_the_spider_is_that_of_the_record_or_of_the_process() -> None:
    spider = Spider.from_crawler(get_crawler(), name="product")
    assert "spider" not in formatted(made())
    assert formatted(made(), "search")["spider"] == "search"
    assert formatted(made(extra={"spider": spider}), "search")["spider"] == "product"
    assert formatted(made(extra={"spider": "watch"}), "search")["spider"] == "watch"


def test_the_job_is_scrapyd_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRAPY_JOB", "6487ec79947edab326d6db28a2d86511")
    assert formatted(made())["job"] == "6487ec79947edab326d6db28a2d86511"


def test_the_statistics_of_a_crawl_are_a_field(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    crawler = get_crawler()
    crawler.spider = crawler._create_spider("product")
    crawler.stats.set_value("ali1688/calls", 7)
    crawler.stats.close_spider(reason="finished")
    told = formatted(caplog.records[-1])
    assert told["message"] == "Dumping Scrapy stats:\n{'ali1688/calls': 7}"
    assert told["stats"] == {"ali1688/calls": 7}


@pytest.mark.parametrize(
    ("value", "json"), [("json", True), (" json ", True), ("text", False), ("JSON", False)]
)
def test_only_json_is_json(value: str, *, json: bool) -> None:
    assert is_json(Settings({"ALI1688_LOG_FORMAT": value})) is json
    assert not is_json(Settings())


def test_what_a_person_has_to_see_goes_to_standard_error_and_into_a_file(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    log = logging.getLogger("a.logger")
    settings: dict[str, Any] = {"LOG_FILE": str(tmp_path / "log")}
    tell(log, logging.ERROR, "it is 100% wrong", Settings(settings), text="Error: it is wrong.")
    assert capsys.readouterr().err == "Error: it is wrong.\n"
    assert caplog.messages == ["it is 100% wrong"]
    settings = {"ALI1688_LOG_FORMAT": "json", "LOG_ENABLED": False}
    tell(log, logging.INFO, "3 wanted", Settings(settings), text="?", outcome={"wanted": 3})
    told = json.loads(capsys.readouterr().err)
    assert (told["level"], told["message"], told["outcome"]) == ("INFO", "3 wanted", {"wanted": 3})
    assert len(caplog.messages) == 1


def test_logging_s_own_records_have_a_process() -> None:
    record = made()
    record.process = None
    assert formatted(record)["pid"] == os.getpid()
    assert formatted(logging.makeLogRecord(vars(SimpleNamespace(msg="x"))))["message"] == "x"
