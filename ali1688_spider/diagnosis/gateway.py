"""Looks at the platform: signature, clock, token, and the permission of each API.

The gateway checks a call in the order API, signature, token, permission, parameters. So a call
without parameters tells all of it and uses nothing up: when only the parameters are missed, the
rest is well.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from ali1688_spider.diagnosis.finding import Finding
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.clock import GatewayClock, http_date
from ali1688_spider.gateway.errors import (
    ApiUnknownError,
    CallError,
    CallWrongError,
    ClockError,
    ConnectionFailedError,
    CredentialsError,
    FlowControlError,
    HostUnknownError,
    NoAnswerInTimeError,
    PackageUsedUpError,
    PermissionMissingError,
    ProductGoneError,
    TlsError,
    TokenRefusedError,
    TransportError,
    read_answer,
)
from ali1688_spider.gateway.protocols import wire_protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ali1688_spider.config import Config

TIMEOUT_SECONDS = 15
CLOCK_TOLERANCE = 60.0
"""Seconds of skew that nobody has to do anything about."""
_INVALID_METHOD = "22"  # router and top: no API of this name
TIME_API = "system:currentTime-1"


@dataclass(slots=True)
class Probe:
    """What a call without parameters was answered; None means data."""

    error: CallError | None
    skew_seconds: float | None


class GatewayDiagnosis:
    """Calls the gateway a few times.

    Args:
        configuration: Whose credentials and APIs are tried.
        access_token: The token in use.
    """

    def __init__(self, config: Config, access_token: str) -> None:
        self._config = config
        self._access_token = access_token
        self._protocol = wire_protocol(config)
        self._clock = GatewayClock()

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield what is found, the most basic first; what depends on it only when it is well."""
        config = self._config
        apis = choose_apis(config.protocol, config.product_api, config.search_api)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            first = TIME_API if config.protocol == "param2" else apis.product.name
            probe = await self._probe(session, first)
            yield _reached(probe, config.gateway)
            if isinstance(probe.error, TransportError):
                return
            if probe.skew_seconds is not None:
                yield _clock(probe.skew_seconds)
            if isinstance(probe.error, ClockError):
                probe = await self._probe(session, first)  # by the gateway's time
            yield _signature(probe)
            if isinstance(probe.error, CredentialsError | ClockError):
                return
            product = await self._probe(session, apis.product.name)
            search = await self._probe(session, apis.search.name)
            yield self._token(product, search)
            for name, answer in ((apis.product.name, product), (apis.search.name, search)):
                yield _api(name, answer)

    async def _probe(self, session: aiohttp.ClientSession, api_name: str) -> Probe:
        call = self._protocol.sign(api_name, {}, access_token=self._access_token, clock=self._clock)
        headers: Mapping[str, str] = {}
        if call.body:
            headers = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
        started = time.monotonic()
        try:
            async with session.request(
                call.http_method, call.url, data=call.body, headers=headers, allow_redirects=False
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Probe(_transport(error), None)
        date = response.headers.get("Date")
        round_trip = time.monotonic() - started
        skew = None
        if date is not None and (moment := http_date(date)) is not None:
            skew = moment.timestamp() + 0.5 - (time.time() - round_trip / 2)
        self._clock.learn(date, round_trip=round_trip)
        try:
            read_answer(
                self._config.protocol,
                response.status,
                response.headers,
                body,
                text_expected=api_name == TIME_API,
            )
        except CallError as error:
            return Probe(error, skew)
        return Probe(None, skew)

    def _token(self, *probes: Probe) -> Finding:
        refused = next(
            (probe.error for probe in probes if isinstance(probe.error, TokenRefusedError)), None
        )
        if refused is None:
            used = "is accepted" if self._access_token else "is not needed"
            return Finding("ok", "Access token", f"{used}")
        if self._access_token and self._config.refresh_token:
            advice = "The next crawl refreshes it with ALI1688_REFRESH_TOKEN."
            return Finding("warn", "Access token", f"is expired or invalid ({refused}). {advice}")
        what = "is expired or invalid" if self._access_token else "is missing"
        return Finding("fail", "Access token", f"{what} ({refused}). {refused.advice}")


def _reached(probe: Probe, gateway: str) -> Finding:
    if isinstance(probe.error, TransportError):
        return Finding("fail", "Gateway", f"{gateway}: {probe.error}. {probe.error.advice}")
    return Finding("ok", "Gateway", f"{gateway} answers")


def _clock(skew: float) -> Finding:
    text = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the gateway's"
    if abs(skew) <= CLOCK_TOLERANCE:
        return Finding("ok", "Clock", f"is {text}")
    return Finding(
        "warn", "Clock", f"is {text}; signatures make up for it, but set this machine's clock (NTP)"
    )


def _signature(probe: Probe) -> Finding:
    if isinstance(probe.error, CredentialsError | ClockError):
        return Finding("fail", "Signature", f"is refused ({probe.error}). {probe.error.advice}")
    return Finding("ok", "Signature", "app key and secret are accepted")


def _api(name: str, probe: Probe) -> Finding:  # noqa: PLR0911  # one for each answer
    error = probe.error
    subject = f"API {name}"
    match error:
        case None | ProductGoneError():
            return Finding("ok", subject, "may be used")
        case CallWrongError(code=code) if code == _INVALID_METHOD:
            return Finding("fail", subject, f"does not exist. {ApiUnknownError.advice}")
        case CallWrongError():
            return Finding("ok", subject, "may be used")
        case ApiUnknownError():
            return Finding("fail", subject, f"does not exist ({error}). {error.advice}")
        case PermissionMissingError() | PackageUsedUpError():
            return Finding("fail", subject, f"may not be used ({error}). {error.advice}")
        case TokenRefusedError():
            return Finding("warn", subject, "cannot be told before the access token is accepted")
        case FlowControlError():
            return Finding("warn", subject, f"cannot be told now ({error}). {error.advice}")
    return Finding("fail", subject, f"{error}. {error.advice}")


def _transport(error: Exception) -> TransportError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return TlsError("the certificate cannot be verified")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return HostUnknownError("the host name does not resolve")
    if isinstance(error, TimeoutError):
        return NoAnswerInTimeError(f"no answer within {TIMEOUT_SECONDS} s")
    return ConnectionFailedError(type(error).__name__)
