from __future__ import annotations

import socket
import ssl

import pytest

from ali1688_spider.gateway.errors import Reaction, transport_error


def scrapy_like(name: str, text: str) -> Exception:
    kind: type[Exception] = type(name, (Exception,), {})
    return kind(text)


SECRET_URL = "https://gw.api.1688.com/router/json?sign=ABCDEF"


@pytest.mark.parametrize(
    ("exception", "error_class"),
    [
        (scrapy_like("DownloadTimeoutError", f"Getting {SECRET_URL} took too long"), "timeout"),
        (scrapy_like("DownloadConnectionRefusedError", SECRET_URL), "connection_refused"),
        (scrapy_like("DownloadFailedError", SECRET_URL), "connection"),
        (
            scrapy_like(
                "DownloadFailedError", "[('SSL routines', '', 'certificate verify failed')]"
            ),
            "tls",
        ),
        (scrapy_like("ResponseDataLossError", SECRET_URL), "unreadable_answer"),
        (scrapy_like("DownloadCancelledError", SECRET_URL), "unreadable_answer"),
        (scrapy_like("CannotResolveHostError", SECRET_URL), "unknown_host"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(SECRET_URL), "connection"),
        (ssl.SSLCertVerificationError("self-signed certificate"), "tls"),
        (socket.gaierror(-2, "Name or service not known"), "unknown_host"),
    ],
)
def test_failed_downloads(exception: Exception, error_class: str) -> None:
    error = transport_error(exception)
    assert error is not None
    assert (error.reaction, error.error_class) == (Reaction.RETRY, error_class)
    assert error.message == f"{error_class}: {type(exception).__name__}"
    assert error.status is None
    assert error.__cause__ is None
    assert "sign" not in str(error)


def test_other_exceptions_are_not_taken_for_failed_downloads() -> None:
    assert transport_error(KeyError("x")) is None
    assert transport_error(scrapy_like("DropItem", "x")) is None
