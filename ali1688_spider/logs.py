"""Keeps secrets out of every log of this process, and skips records that no handler would emit."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from ali1688_spider.redaction import SecretRedactor

_redactor = SecretRedactor()
_make_record = logging.getLogRecordFactory()


def redact_logs(*secrets: str) -> SecretRedactor:
    """Redact these secrets from now on; further ones can be added to what is returned.

    It works where log records are made, not on a handler: Scrapy, and programs that embed it,
    install handlers at any time.
    """
    _redactor.add(*secrets)
    logging.setLogRecordFactory(_redacted_record)
    return _redactor


def raise_log_threshold() -> None:
    """Give the loggers the level of the root logger's most talkative handler."""
    lowest = min((handler.level for handler in logging.root.handlers), default=logging.NOTSET)
    for name in ("", "scrapy"):  # Scrapy gives its own logger a level
        logging.getLogger(name).setLevel(lowest)


def redact_record(record: logging.LogRecord, redactor: SecretRedactor) -> None:
    """Redact message, arguments, exception and stack of a record in place.

    A record without a secret is left as it is.
    """
    _redact_message(record, redactor)
    _redact_exception(record, redactor)
    if record.stack_info:
        record.stack_info = redactor.redact(record.stack_info)


def _redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _make_record(*args, **kwargs)
    redact_record(record, _redactor)
    return record


def _redact_message(record: logging.LogRecord, redactor: SecretRedactor) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  # the arguments' own code runs here
        # Logging would print the broken record to standard error, arguments and all.
        record.msg = redactor.redact(f"{record.msg} {record.args!r}")
        record.args = None
        return
    redacted = redactor.redact(message)
    if redacted != message:
        record.msg, record.args = redacted, None


def _redact_exception(record: logging.LogRecord, redactor: SecretRedactor) -> None:
    text = record.exc_text
    if not text and isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    if not text:
        return
    redacted = redactor.redact(text)
    if redacted != text:
        record.exc_text = redacted
        record.exc_info = None  # handlers would format it again, with the secret
