"""Failures on the way to the gateway, known by the names of their exceptions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ali1688_spider.gateway.errors.tree import (
    ConnectionFailedError,
    ConnectionRefusedByHostError,
    HostUnknownError,
    NoAnswerInTimeError,
    TlsError,
    UnreadableAnswerError,
)

if TYPE_CHECKING:
    from ali1688_spider.gateway.errors.tree import TransportError

_BY_NAME: dict[str, type[TransportError]] = {
    # Scrapy
    "IgnoreRequest": UnreadableAnswerError,  # longer than DOWNLOAD_MAXSIZE when decompressed
    "CannotResolveHostError": HostUnknownError,
    "DownloadCancelledError": UnreadableAnswerError,  # longer than DOWNLOAD_MAXSIZE
    "DownloadConnectionRefusedError": ConnectionRefusedByHostError,
    "DownloadFailedError": ConnectionFailedError,
    "DownloadTimeoutError": NoAnswerInTimeError,
    "ResponseDataLossError": UnreadableAnswerError,
    # Python
    "ConnectionError": ConnectionFailedError,
    "ConnectionRefusedError": ConnectionRefusedByHostError,
    "SSLError": TlsError,
    "TimeoutError": NoAnswerInTimeError,
    "gaierror": HostUnknownError,
}

_TLS = re.compile(r"\bSSL\b|\bTLS\b|certificate", re.IGNORECASE)


def transport_error(exception: BaseException) -> TransportError | None:
    """Return the typed error for a failed download, or None if the exception is something else.

    The exception's text is not taken over: it may contain the URL. Scrapy reports a failed TLS
    handshake as a failed download, so the text decides between those two.
    """
    names = [cls.__name__ for cls in type(exception).__mro__]
    error = next((_BY_NAME[name] for name in names if name in _BY_NAME), None)
    if error is ConnectionFailedError and _TLS.search(str(exception)):
        error = TlsError
    return None if error is None else error(f"{error.error_class}: {names[0]}")
