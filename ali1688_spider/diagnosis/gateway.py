"""Looks at the platform: signature, clock, token, and the permission of each API.

The gateway checks a call in the order API, signature, token, permission, parameters. So a call
without parameters shows all of it and uses nothing up: when only the parameters are missed, the
rest is well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ali1688_spider.diagnosis import Finding
from ali1688_spider.gateway import errors
from ali1688_spider.gateway.catalogue import product_apis, search_apis
from ali1688_spider.gateway.messages import CONFIRM_API, read_page, undelivered

if TYPE_CHECKING:
    from ali1688_spider.gateway.client import Client

CLOCK_TOLERANCE = 60.0
"""Seconds of skew that nobody has to do anything about."""
_INVALID_METHOD = "22"  # router and top: no API of this name
TIME_API = "system:currentTime-1"
_SEES_THE_CALL = (
    errors.BusinessRefusalError,
    errors.InvalidCallError,
    errors.NoProductError,
    errors.NotServedError,
    errors.ProductGoneError,
)
"""How a call without parameters fails at an API that the app may use."""


def gateway_findings(client: Client) -> Iterator[Finding]:
    """Yield what a few calls find, the most basic first; what depends on it only when it is well.

    Tokens are not refreshed.
    """
    names = (client.apis.product.name, client.apis.search.name)
    others = [name for name in _catalogue(client) if name not in names]
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
    found = {name: _probe(client, name) for name in names}
    yield _token(client, found.values())
    for name, error in found.items():
        yield api_finding(name, error)
    if not any(isinstance(error, errors.TokenRefusedError) for error in found.values()):
        found |= {name: _probe(client, name) for name in others}
        yield from _other_apis({name: found[name] for name in others})
        yield from _proposals(client, {name for name in found if is_open(found[name])})


def messages_finding(client: Client, last_kept: str, *, is_wanted: bool) -> Finding | None:
    """Return whether messages of the platform arrive; None where that is no question.

    Asking for them confirms nothing, so it may be done at any time.

    Args:
        client: Access to the platform.
        last_kept: When the last message was kept, and by whom; empty for never.
        is_wanted: Whether the watch is to ask for them.
    """
    call = undelivered()
    try:
        data = asyncio.run(client.attempt(call.api, call.params))
    except (errors.TransportError, errors.CredentialsError):
        return None  # as all calls fail
    except errors.ApiClosedError as error:
        text = f"cannot be asked for ({error}): order {call.api} and {CONFIRM_API} for the app"
        end = ", or set ALI1688_MESSAGES=off" if is_wanted else " if changes are to be told"
        return Finding("fail" if is_wanted else "ok", "Messages", text + end)
    except errors.CallError as error:
        return Finding("warn", "Messages", f"cannot be asked for now ({error}). {error.advice}")
    waiting = read_page(data)[1]
    told = f"{waiting:,} wait undelivered"
    if last_kept:
        return Finding("ok", "Messages", f"{told}; the last one was kept {last_kept}")
    if is_wanted:
        advice = (
            "choose the products' topics in the open platform's console, and have the watched "
            "products followed: scrapy crawl watch -a follow=1"
        )
        return Finding("ok", "Messages", f"{told}; none was kept yet: {advice}")
    advice = "have scrapy crawl watch ask for them (ALI1688_MESSAGES=poll), or run scrapy receive"
    return Finding("warn" if waiting else "ok", "Messages", f"{told}; none was kept: {advice}")


def _catalogue(client: Client) -> list[str]:
    apis = (*product_apis(client.protocol), *search_apis(client.protocol))
    return [api.name for api in apis]


def is_open(error: errors.CallError | None) -> bool:
    """Whether the app may use the API at which a call without parameters failed so."""
    is_unknown_name = isinstance(error, errors.InvalidCallError) and error.code == _INVALID_METHOD
    return error is None or (isinstance(error, _SEES_THE_CALL) and not is_unknown_name)


def _other_apis(found: dict[str, errors.CallError | None]) -> Iterator[Finding]:
    """Yield which of the APIs that are not chosen are open, closed, or not known to be either."""
    opened = [name for name, error in found.items() if is_open(error)]
    closed = [n for n, error in found.items() if isinstance(error, errors.ApiClosedError)]
    unknown = [name for name in found if name not in (*opened, *closed)]
    said = {"Other open APIs": opened, "Other closed APIs": closed, "Other APIs, unknown": unknown}
    for subject, names in said.items():
        if names:
            yield Finding("ok", subject, ", ".join(names))


def _proposals(client: Client, opened: set[str]) -> Iterator[Finding]:
    """Yield the settings to use: the chosen API where it is open, else the most useful open one."""
    # Those that show every product come first.
    products = sorted(
        product_apis(client.protocol), key=lambda api: api.needs_relation or api.curated_only
    )
    searches = [api for api in search_apis(client.protocol) if api.kind in ("keyword", "own")]
    for subject, setting, candidates in (
        ("For products", "ALI1688_PRODUCT_API", [client.apis.product, *products]),
        ("For searches", "ALI1688_SEARCH_API", [client.apis.search, *searches]),
    ):
        if name := next((api.name for api in candidates if api.name in opened), ""):
            yield Finding("ok", subject, f"{setting}={name}")


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


def _token(client: Client, found: Iterable[errors.CallError | None]) -> Finding:
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
    if error is None or is_open(error):
        return Finding("ok", subject, "may be used")
    match error:
        case errors.InvalidCallError(code=code) if code == _INVALID_METHOD:
            return Finding("fail", subject, f"does not exist. {errors.ApiUnknownError.advice}")
        case errors.ApiUnknownError():
            return Finding("fail", subject, f"does not exist ({error}). {error.advice}")
        case errors.PermissionMissingError() | errors.PackageUsedUpError():
            return Finding("fail", subject, f"may not be used ({error}). {error.advice}")
        case errors.TokenRefusedError():
            return Finding("warn", subject, "cannot be known before the access token is accepted")
        case errors.FlowControlError():
            return Finding("warn", subject, f"cannot be known now ({error}). {error.advice}")
    return Finding("fail", subject, f"{error}. {error.advice}")
