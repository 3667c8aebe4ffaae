"""Keeps secrets out of whatever a person or a file could see, every log of this process too."""

from __future__ import annotations

import base64
import json
import logging
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"

MIN_SECRET_LENGTH = 6
"""Shorter texts are not treated as secrets: they would blot out ordinary words and numbers
wherever those occur, and no real credential is that short."""

# Repetitions are bounded where text that almost matches would otherwise cost its length squared.
_STORE_URL = re.compile(
    r"(?i)\b((?:rediss?|mongodb(?:\+srv)?)://[^\s:/@\"'<>]*):[^\s\"'<>]{0,300}@"
)
_OTHER_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^\s:/@\"'<>]*):[^\s/@\"'<>]{0,300}@")
_URL_OPTION = re.compile(
    r"(?i)([?&](?:[a-z_]{0,40}(?:password|passwd|secret|token)[a-z_]{0,40}"
    r"|session|sign|_aop_signature)=)[^\s&#\"'<>]+"
)

_NAMED = re.compile(
    r"(?ia)\b((?:access|refresh)?_?token|session(?:_?key)?|(?:_aop_)?sign(?:ature)?"
    r"|(?:(?:app|client)_?)?secret|password)(\"?\s*=\s*\"?|\"\s*:\s*\")[^\s,;&\"'}\])]+"
)
_LOOKS_SECRET = re.compile(
    r"(?ia)\b(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{24,}|[\w+/-]{40,})\b"
)
_ADDRESS = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>]+")


def redact_url(text: str) -> str:
    """Return the text with the password of each URL in it replaced by ``***``.

    Covers passwords before the host, also those that should have been quoted and were not
    (``redis://:p@ss/word@host``), and those given as an option (``?password=``), a call's token
    and signature among them.
    """
    if "://" not in text:
        return text
    if "@" in text:
        text = _STORE_URL.sub(rf"\1:{MASK}@", text)
        text = _OTHER_URL.sub(rf"\1:{MASK}@", text)
    return _URL_OPTION.sub(rf"\1{MASK}", text)


def redact_foreign(text: str) -> str:
    """Return a message of the platform, which may repeat a call's parameters, without secrets.

    Whatever looks like a URL or a secret is taken for one.
    """
    text = _ADDRESS.sub(MASK, text)
    text = _NAMED.sub(rf"\1\2{MASK}", text)
    return _LOOKS_SECRET.sub(MASK, text)


class SecretRedactor:
    """Replaces known secrets by ``***``, in every form in which they travel.

    The forms: plain, URL-quoted, escaped for JSON, hexadecimal, and base64 (both alphabets),
    there also inside a longer encoded text. Secrets shorter than ``MIN_SECRET_LENGTH`` are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Know further secrets, such as a token that was just refreshed."""
        forms = {form for secret in secrets for form in _forms(secret)} - self._forms
        if forms:
            self._forms |= forms
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def redact(self, text: str) -> str:
        """Return the text without the known secrets and without passwords in URLs."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        return redact_url(text)


def _forms(secret: str) -> Iterator[str]:
    if len(secret) < MIN_SECRET_LENGTH:
        return
    data = secret.encode("utf-8", "surrogatepass")
    yield secret
    for quoted in (quote(data), quote(data, safe=""), quote_plus(data)):
        yield quoted
        yield re.sub("%..", lambda escape: escape[0].lower(), quoted)
    yield from (json.dumps(secret)[1:-1], data.hex(), data.hex().upper())
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield _base64_core(data, offset, encode(bytes(offset) + data).decode())


def _base64_core(data: bytes, offset: int, encoded: str) -> str:
    """Return the characters that depend on the data alone, whatever stands before and after it.

    Six bits are a character; those that share bits with a neighbour are left out.
    """
    first = -(-offset * 8 // 6)
    last = (offset + len(data)) * 8 // 6
    return encoded[first:last]


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


def _redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _make_record(*args, **kwargs)
    redact_record(record, _redactor)
    return record


def redact_record(record: logging.LogRecord, redactor: SecretRedactor) -> None:
    """Redact message, arguments, exception and stack in place; leave what has no secret."""
    _redact_message(record, redactor)
    _redact_exception(record, redactor)
    if record.stack_info:
        record.stack_info = redactor.redact(record.stack_info)


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
    text = record.exc_text or ""
    if not text and isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    redacted = redactor.redact(text)
    if redacted != text:
        record.exc_text = redacted
        record.exc_info = None  # handlers would format it again, with the secret
