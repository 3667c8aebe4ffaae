"""The signatures that the gateway expects, written from its rules alone.

The client's own signing is another implementation; that the two agree is what a test shows.
Sorting text by code points is the same as sorting its UTF-8 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGN_METHODS = ("md5", "hmac", "hmac-sha256")


def router_signature(params: Mapping[str, str], secret: str) -> str:
    """Return the ``sign`` of a call: MD5 over the sorted pairs and then the secret."""
    return hashlib.md5((_sorted_pairs(params) + secret).encode()).hexdigest().upper()  # noqa: S324


def top_signature(params: Mapping[str, str], secret: str) -> str:
    """Return the ``sign`` of a call to the Taobao Open Platform by its own ``sign_method``.

    Raises:
        ValueError: The ``sign_method`` is none of the platform's.
    """
    pairs = _sorted_pairs(params)
    match params["sign_method"]:
        case "md5":
            digest = hashlib.md5((secret + pairs + secret).encode()).hexdigest()  # noqa: S324
        case "hmac":
            digest = hmac.new(secret.encode(), pairs.encode(), hashlib.md5).hexdigest()
        case "hmac-sha256":
            digest = hmac.new(secret.encode(), pairs.encode(), hashlib.sha256).hexdigest()
        case other:
            raise ValueError(f"{other} is none of {', '.join(SIGN_METHODS)}")
    return digest.upper()


def param2_signature(path: str, params: Mapping[str, str], secret: str) -> str:
    """Return the ``_aop_signature`` of a call.

    Args:
        path: What stands between ``/openapi/`` and the query, with the app key at its end.
        params: All parameters; the signature itself and empty ones do not count.
        secret: The app's secret.
    """
    pairs = sorted(
        name + value for name, value in params.items() if value and name != "_aop_signature"
    )
    text = path + "".join(pairs)
    return hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest().upper()


def equal(given: str, expected: str) -> bool:
    """Whether the signature *given* is *expected*, letter for letter."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _sorted_pairs(params: Mapping[str, str]) -> str:
    return "".join(name + params[name] for name in sorted(params) if name != "sign")
