"""Keeps secrets out of whatever a person or a file could see."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
    there also inside a longer encoded text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Know these secrets; those shorter than ``MIN_SECRET_LENGTH`` are ignored."""
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
    yield json.dumps(secret)[1:-1]
    yield data.hex()
    yield data.hex().upper()
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
