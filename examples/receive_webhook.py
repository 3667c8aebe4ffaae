# ruff: noqa: INP001, T201  # a script that prints
"""Receives changes by webhook, and believes only what the secret has signed.

The body is ``{"changes": [...]}``. ``X-Ali1688-Signature`` is ``sha256=`` and the HMAC-SHA256, in
hex, of ``X-Ali1688-Timestamp``, a dot and the body. Answer 2xx once a delivery is handled; anything
else, and it comes again. It also comes again when the response was lost, so remember the ids of
changes.

    WEBHOOK_SECRET=... python receive_webhook.py 8080
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE_SECONDS = 300
LARGEST_BODY = 4 * 1024 * 1024

secret = os.environ.get("WEBHOOK_SECRET", "").encode()
handled: set[str] = set()  # in a real system: a unique key of a database


def handle(change: dict[str, Any]) -> None:
    """Do what your system does about a change; amounts come as exact decimal text."""
    print(json.dumps(change, ensure_ascii=False), flush=True)


def is_genuine(signature: str, timestamp: str, body: bytes) -> bool:
    """Tell whether the sender knows the secret, and sent this just now."""
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    digest = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={digest}".encode(), signature.encode())


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what is genuine, 401 to what is not."""

    def do_POST(self) -> None:  # http.server's name for it
        """Handle one delivery."""
        length = int(self.headers.get("Content-Length", "0"))
        if length > LARGEST_BODY:
            self.send_error(413)
            return
        body = self.rfile.read(length)
        signature = self.headers.get("X-Ali1688-Signature", "")
        if not is_genuine(signature, self.headers.get("X-Ali1688-Timestamp", ""), body):
            self.send_error(401)
            return
        for change in json.loads(body)["changes"]:
            if change["id"] not in handled:
                handle(change)
                handled.add(change["id"])
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    if not secret:
        sys.exit("WEBHOOK_SECRET is empty: set it to the value of ALI1688_WEBHOOK_SECRET")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
