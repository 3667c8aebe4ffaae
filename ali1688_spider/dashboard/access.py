"""Who may see the dashboard, and what a browser may do with its pages.

On a loopback address everybody on this machine may look; on any other one, only who has the token,
whatever the address of the client, since a proxy in front of the dashboard is on this machine, too.
What changes something needs the token everywhere.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from aiohttp import hdrs, web

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.fields import PICTURE_HOST

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ACTION_HEADER = "X-Ali1688-Action"
"""No page of another site can send it without this server's consent, which it never gives."""

OPEN_TO_ALL = "/healthz"
BASIC = 'Basic realm="ali1688", charset="UTF-8"'
SAFE_METHODS = {hdrs.METH_GET, hdrs.METH_HEAD}

HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            f"img-src 'self' data: https://*.{PICTURE_HOST}",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Access:
    """What the dashboard asks of a request.

    Attributes:
        host: The address that it listens on.
        token: What opens it; on loopback one is made up when none is configured.
        is_local: Whether it is reached from this machine alone: it listens on loopback, and there
            is no name under which a proxy passes on what others want.
        names: Host names under which it is reached, beside addresses.
    """

    host: str
    token: str
    is_local: bool
    names: frozenset[str]

    @classmethod
    def of(cls, host: str, token: str, names: Collection[str]) -> Access:
        """Check what was configured.

        Raises:
            ConfigurationError: Others could reach the dashboard, and there is no token.
        """
        is_local = _is_loopback(host) and not names
        if not is_local and not token:
            where = f"as {', '.join(names)}" if names else f"at {host}"
            raise ConfigurationError(
                f"others can reach the dashboard {where}: set ALI1688_DASHBOARD_TOKEN to a long "
                "random text, which it then asks for"
            )
        known = {"localhost", host.lower(), *(name.lower() for name in names)}
        return cls(host, token or secrets.token_urlsafe(24), is_local, frozenset(known))

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what may not be, and put the headers on every response."""
        try:
            self._check(request)
            response = await handler(request)
        except web.HTTPException as error:
            response = error
        except Exception:
            # The last that sees it: aiohttp would answer without the headers.
            logger.exception("The request for %s failed", request.path)
            response = web.HTTPInternalServerError(text="The log says what went wrong\n")
        if not response.prepared:
            add_headers(response)
        if isinstance(response, web.HTTPException):
            raise response
        return response

    def _check(self, request: web.Request) -> None:
        if not self._is_known_host(request.host):
            # Of a site whose name was pointed at this address, to read it in a visitor's browser.
            raise web.HTTPForbidden(
                text=f"The dashboard is not known as {request.host[:200]}: open it by its address, "
                "or start it with --name\n"
            )
        is_action = request.method not in SAFE_METHODS
        if request.path == OPEN_TO_ALL and not is_action:
            return
        if (is_action or not self.is_local) and not self._has_token(request):
            text = "The token of the dashboard is needed: as a bearer token, or as the password\n"
            # Where a page is asked for, the browser asks for the token.
            headers = {} if is_action else {hdrs.WWW_AUTHENTICATE: BASIC}
            raise web.HTTPUnauthorized(text=text, headers=headers)
        if is_action and ACTION_HEADER not in request.headers:
            raise web.HTTPForbidden(text=f"The header {ACTION_HEADER} is missing\n")

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        given = b""
        if scheme.lower() == "bearer":
            given = value.strip().encode(errors="surrogateescape")
        elif scheme.lower() == "basic":
            try:
                given = base64.b64decode(value, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        return hmac.compare_digest(given, self.token.encode())

    def _is_known_host(self, host: str) -> bool:
        name = _without_port(host)
        if name in self.names:
            return True
        # A site that is opened by an address cannot be another one than this.
        return _is_loopback(name) if self.is_local else _is_address(name)


def add_headers(response: web.StreamResponse) -> None:
    """Put the headers on a response that a security review expects."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback
