"""Keeps secrets out of every log of this process, whoever writes to it."""

from __future__ import annotations

import logging
from typing import Any

from ali1688_spider.redaction import RedactingFilter, SecretRedactor

_redactor = SecretRedactor()
_filter = RedactingFilter(_redactor)
_make_record = logging.getLogRecordFactory()


def redact_logs(*secrets: str) -> SecretRedactor:
    """Have these secrets redacted from now on; return what further ones can be told to.

    It works where log records are made, not on a handler: Scrapy, and who embeds it, install
    handlers at any time.
    """
    _redactor.add(*secrets)
    logging.setLogRecordFactory(_redacted_record)
    return _redactor


def _redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _make_record(*args, **kwargs)
    _filter.filter(record)
    return record


# The second has a level of its own, given by Scrapy.
_LOGGERS = ("", "scrapy")


def raise_log_threshold() -> None:
    """Give the loggers the level of the root logger's most talkative handler."""
    lowest = min((handler.level for handler in logging.root.handlers), default=logging.NOTSET)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(lowest)
