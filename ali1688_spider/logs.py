"""The log as JSON, one object a line, for ``ALI1688_LOG_FORMAT=json``.

Scrapy makes the handler of its log itself, with a format for text. With JSON the handler is made
here, and Scrapy is told to make none. A record is a line whatever it holds: with its exception and
its stack, of any program part, and without secrets, as :mod:`.redaction` leaves it.
"""

from __future__ import annotations

import atexit
import functools
import io
import json
import logging
import math
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scrapy import Spider
from scrapy.settings import BaseSettings, Settings
from scrapy.utils.log import configure_logging, get_scrapy_root_handler
from twisted.logger import globalLogBeginner

from ali1688_spider.redaction import redact_logs

logger = logging.getLogger(__name__)

SETTING = "ALI1688_LOG_FORMAT"

FIELDS = ("outcome", "stats")
"""Attributes of a record, given by ``extra``, that are fields of its object."""

_STATS_LOGGER = "scrapy.statscollectors"
_UNSAFE = re.compile("[\x85\u2028\u2029\ud800-\udfff]")
"""What some programs take for the end of a line, and what UTF-8 cannot hold."""


def is_json(settings: BaseSettings) -> bool:
    """Return whether the log is JSON; a value that is none means no, and is refused elsewhere."""
    return str(settings.get(SETTING, "")).strip() == "json"


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object without line breaks.

    Its fields are ``time`` (ISO 8601, UTC, in milliseconds), ``level``, ``logger``, ``message``,
    ``pid``; and where there is one ``spider``, ``job`` (Scrapyd's id), ``exception`` (the
    traceback), ``stack``, and :data:`FIELDS`.

    Args:
        spider: Name of the spider of records that do not say one themselves.
    """

    def __init__(self, spider: str = "") -> None:
        super().__init__()
        self._spider = spider
        self._job = os.environ.get("SCRAPY_JOB", "")
        self._redact = redact_logs().redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        spider = getattr(record, "spider", None)
        fields = {
            "time": _moment(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "spider": str(getattr(spider, "name", spider or self._spider)),
            "job": self._job,
            "pid": record.process or os.getpid(),
            "exception": self._exception(record),
            "stack": record.stack_info or "",
        }
        told = {name: value for name, value in fields.items() if value != "" or name == "message"}
        for name in FIELDS:
            if (value := getattr(record, name, None)) is not None:
                told[name] = _plain(value, self._redact)
        if record.name == _STATS_LOGGER and isinstance(spider, Spider):
            told["stats"] = _plain(spider.crawler.stats.get_stats(), self._redact)
        text = json.dumps(told, ensure_ascii=False)
        return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

    def _exception(self, record: logging.LogRecord) -> str:
        if record.exc_text:
            return record.exc_text
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            return self.formatException(record.exc_info)
        return ""


def log_as_json(settings: Settings, spider: str = "") -> None:
    """Write the log of this process as JSON to where the *settings* say.

    Call it before Scrapy sets up its log, as a program does that makes a ``CrawlerProcess`` of the
    *settings*. Warnings are records as well, and so is the exception that ends the program or a
    thread.

    Args:
        settings: Scrapy's.
        spider: Name of the spider that this process runs.
    """

    def tell_of_end(*exception: Any) -> None:
        sentence = "The program ends, by an error that nobody expected"
        tell(logger, logging.CRITICAL, sentence, settings, spider=spider, exc_info=exception)

    def tell_of_thread(end: threading.ExceptHookArgs) -> None:
        if end.exc_type is not SystemExit:
            sentence = "A thread has ended, by an error that nobody expected"
            logger.error(sentence, exc_info=end.exc_value)

    sys.excepthook, threading.excepthook = tell_of_end, tell_of_thread
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8")
    logging.captureWarnings(True)
    _keep_twisted_from_standard_error()
    handler = _handler(settings)
    handler.setLevel(settings.get("LOG_LEVEL"))
    handler.setFormatter(JsonFormatter(spider))
    logging.root.setLevel(logging.NOTSET)
    logging.root.addHandler(handler)
    settings.set("LOG_INSTALL_ROOT_HANDLER", False, "cmdline")


def configure_log(settings: Settings) -> None:
    """Set up the log of a command without Scrapy's process, as that would, in either format."""
    if is_json(settings):
        log_as_json(settings)
    configure_logging(settings)


def format_scrapy_log(spider: str) -> None:
    """Make JSON of a log that Scrapy has set up, for other commands of Scrapy's than ``crawl``."""
    if (handler := get_scrapy_root_handler()) is not None:
        handler.setFormatter(JsonFormatter(spider))


def format_last_resort() -> None:
    """Make JSON of what is logged where no log is set up: warnings and errors of a command."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(JsonFormatter())


def tell(
    log: logging.Logger,
    level: int,
    message: str,
    settings: BaseSettings,
    *,
    text: str = "",
    spider: str = "",
    exc_info: Any = None,
    **fields: Mapping[str, object],
) -> None:
    """Write something to standard error, whatever the log is; to a log in a file as well.

    Args:
        log: Whose record it is.
        level: The record's.
        message: The record's.
        settings: Scrapy's; they say where the log is, and its format.
        text: What a person reads instead of *message*, where the log is text.
        spider: Name of the spider, for a log that is JSON.
        exc_info: The record's exception.
        fields: Those of :data:`FIELDS` that the record has.
    """
    record = log.makeRecord(log.name, level, "", 0, message, (), exc_info, extra=fields)
    line = JsonFormatter(spider).format(record) if is_json(settings) else text or message
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
    if settings.get("LOG_FILE") and log.hasHandlers():
        log.handle(record)


@functools.cache
def _keep_twisted_from_standard_error() -> None:
    """Have Twisted print no failures there as text; Scrapy makes records of them."""
    show_warning = warnings.showwarning
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    warnings.showwarning = show_warning  # which Twisted replaces


def _handler(settings: BaseSettings) -> logging.Handler:
    """Return a handler that writes UTF-8 to where Scrapy's would write."""
    if file := settings.get("LOG_FILE"):
        mode = "a" if settings.getbool("LOG_FILE_APPEND") else "w"
        # No FileHandler: Scrapy resets the logging, which closes the files of all handlers.
        stream = Path(file).open(mode, encoding="utf-8")  # noqa: SIM115  # closed at exit
        handler = logging.StreamHandler(stream)
        atexit.register(stream.close)
        atexit.register(logging.root.removeHandler, handler)  # before that
        return handler
    return logging.StreamHandler() if settings.getbool("LOG_ENABLED") else logging.NullHandler()


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object, redact: Callable[[str], str]) -> object:
    """Return what JSON can hold of a value, without secrets."""
    match value:
        case Mapping():
            return {redact(str(key)): _plain(part, redact) for key, part in value.items()}
        case list() | tuple() | set():
            return [_plain(part, redact) for part in value]
        case datetime():
            return _moment(value)
        case bool() | int() | None:
            return value
        case float() if math.isfinite(value):
            return value
    return redact(str(value))
