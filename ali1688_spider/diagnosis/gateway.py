"""Looks at the platform: signature, clock, token, and the permission of each API.

The gateway checks a call in the order API, signature, token, permission, parameters. So a call
without parameters shows all of it and uses nothing up: when only the parameters are missed, the
rest is well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ali1688_spider.diagnosis import Finding
from ali1688_spider.gateway import errors

if TYPE_CHECKING:
    from ali1688_spider.gateway.client import Client

CLOCK_TOLERANCE = 60.0
"""Seconds of skew that nobody has to do anything about."""
_INVALID_METHOD = "22"  # router and top: no API of this name
TIME_API = "system:currentTime-1"


def gateway_findings(client: Client) -> Iterator[Finding]:
    """Yield what a few calls find, the most basic first; what depends on it only when it is well.

    Tokens are not refreshed.
    """
    names = (client.apis.product.name, client.apis.search.name)
    first = TIME_API if client.protocol == "param2" else names[0]
    error = _probe(client, first)
    if isinstance(error, errors.TransportError):
        yield Finding("fail", "Gateway", f"{client.gateway}: {error}. {error.advice}")
        return
    yield Finding("ok", "Gateway", f"{client.gateway} answers")
    if client.clock.measured_skew is not None:
        yield _clock(client.clock.measured_skew)
    if isinstance(error, errors.ClockError):
        error = _probe(client, first)  # by the gateway's time
    if isinstance(error, errors.CredentialsError | errors.ClockError):
        yield Finding("fail", "Signature", f"is refused ({error}). {error.advice}")
        return
    yield Finding("ok", "Signature", "app key and secret are accepted")
    found = [_probe(client, name) for name in names]
    yield _token(client, found)
    for name, error in zip(names, found, strict=True):
        yield api_finding(name, error)


def _probe(client: Client, api_name: str) -> errors.CallError | None:
    """Return how a call without parameters fails; None when it returns data."""
    try:
        asyncio.run(client.attempt(api_name, {}, text_expected=api_name == TIME_API))
    except errors.CallError as error:
        return error
    return None


def _clock(skew: float) -> Finding:
    text = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the gateway's"
    if abs(skew) <= CLOCK_TOLERANCE:
        return Finding("ok", "Clock", f"is {text}")
    return Finding(
        "warn", "Clock", f"is {text}; signatures make up for it, but set this machine's clock (NTP)"
    )


def _token(client: Client, found: list[errors.CallError | None]) -> Finding:
    grant = client.tokens.grant
    refused = next((error for error in found if isinstance(error, errors.TokenRefusedError)), None)
    if refused is None:
        used = "is accepted" if grant.access_token else "is not needed"
        return Finding("ok", "Access token", used)
    if grant.access_token and grant.refresh_token:
        advice = "The next crawl refreshes it with ALI1688_REFRESH_TOKEN."
        return Finding("warn", "Access token", f"is expired or invalid ({refused}). {advice}")
    what = "is expired or invalid" if grant.access_token else "is missing"
    return Finding("fail", "Access token", f"{what} ({refused}). {refused.advice}")


def api_finding(name: str, error: errors.CallError | None) -> Finding:  # noqa: PLR0911  # one for each error
    """Return whether the API may be used, by how a call without parameters failed."""
    subject = f"API {name}"
    match error:
        case errors.InvalidCallError(code=code) if code == _INVALID_METHOD:
            return Finding("fail", subject, f"does not exist. {errors.ApiUnknownError.advice}")
        case None | errors.ProductGoneError() | errors.InvalidCallError():
            return Finding("ok", subject, "may be used")
        case errors.ApiUnknownError():
            return Finding("fail", subject, f"does not exist ({error}). {error.advice}")
        case errors.PermissionMissingError() | errors.PackageUsedUpError():
            return Finding("fail", subject, f"may not be used ({error}). {error.advice}")
        case errors.TokenRefusedError():
            return Finding("warn", subject, "cannot be known before the access token is accepted")
        case errors.FlowControlError():
            return Finding("warn", subject, f"cannot be known now ({error}). {error.advice}")
    return Finding("fail", subject, f"{error}. {error.advice}")
