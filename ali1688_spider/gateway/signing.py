"""The three ways to sign a call. Each takes the parameters as text and returns upper-case hex.

Sources: the signature pages of the 1688 Open Platform (``param2``) and of the Taobao Open Platform
(``top``); ``router`` is the older rule with the secret at the end only.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

SignMethod: TypeAlias = Literal["md5", "hmac", "hmac-sha256"]


def sign_router(params: Mapping[str, str], secret: str) -> str:
    """Return ``MD5(k1v1k2v2… + secret)``, the names in order."""
    return _md5(_joined_by_name(params) + secret)


def sign_param2(url_path: str, params: Mapping[str, str], secret: str) -> str:
    """Return ``HMAC-SHA1(urlPath + pairs, secret)``, without ``_aop_signature`` among *params*.

    The pairs ``name + value`` are sorted as wholes, in byte order: by name alone ``keyword`` and
    ``keywordTranslate`` could come out the other way round.
    """
    pairs = sorted((name + value).encode() for name, value in params.items())
    message = url_path.encode() + b"".join(pairs)
    return hmac.new(secret.encode(), message, hashlib.sha1).hexdigest().upper()


def sign_top(params: Mapping[str, str], secret: str, sign_method: SignMethod) -> str:
    """Return ``MD5(secret + pairs + secret)``, ``HMAC-MD5(pairs)`` or ``HMAC-SHA256(pairs)``."""
    pairs = _joined_by_name(params)
    if sign_method == "md5":
        return _md5(secret + pairs + secret)
    digest = hashlib.md5 if sign_method == "hmac" else hashlib.sha256
    return hmac.new(secret.encode(), pairs.encode(), digest).hexdigest().upper()


def _joined_by_name(params: Mapping[str, str]) -> str:
    return "".join(name + params[name] for name in sorted(params))


def _md5(text: str) -> str:
    # The platform's rule, not a choice: MD5 authenticates nothing by itself.
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
