"""How a receiver of webhooks knows that a delivery is ours, and fresh."""

from __future__ import annotations

import hashlib
import hmac

SIGNATURE_HEADER = "X-Ali1688-Signature"
TIMESTAMP_HEADER = "X-Ali1688-Timestamp"
DELIVERY_HEADER = "X-Ali1688-Delivery"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return ``sha256=`` and the HMAC-SHA256, in hex, of the timestamp, a dot and the body.

    Args:
        secret: What both sides know.
        timestamp: Unix time of the sending, in seconds: signed, so that a receiver can refuse a
            delivery that somebody recorded and sends again later.
        body: The bytes as they are sent.
    """
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
