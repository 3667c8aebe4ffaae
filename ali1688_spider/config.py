"""What a user may set, read from Scrapy's settings once and checked as a whole.

Scrapy's own settings stay with Scrapy; here are the names that begin with ``ALI1688_`` and the
addresses of Redis and MongoDB. ``settings.py`` has their defaults and says where values come from.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, get_args
from urllib.parse import urlsplit

from redis.connection import parse_url

from ali1688_spider.delivery.settings import DeliverySettings
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.redaction import redact_url
from ali1688_spider.storage.database import check_uri

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

ProtocolName: TypeAlias = Literal["router", "param2", "top"]
SignMethod: TypeAlias = Literal["md5", "hmac", "hmac-sha256"]

DEFAULT_GATEWAYS: dict[ProtocolName, str] = {
    "router": "https://gw.api.1688.com/router/json",
    "param2": "https://gw.open.1688.com/openapi",
    "top": "https://gw.api.taobao.com/router/rest",
}
_Choice = TypeVar("_Choice", bound=str)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATH = re.compile(r"[\w.~!$&'()*+,;=:@%/-]*", re.ASCII)  # what Scrapy leaves as it is
_SERVERS = ("REDIS_URL", "MONGO_URI", "MONGO_DATABASE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The checked settings; each field is the setting of its name, with ``ALI1688_`` before it.

    Secrets have no place in ``repr()``. Seconds and calls per second are floats.
    """

    app_key: str
    app_secret: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    protocol: ProtocolName
    gateway: str
    sign_method: SignMethod
    http_method: Literal["GET", "POST"]
    product_api: str
    search_api: str
    qps: float
    daily_quota: int
    cache_ttl: float
    max_attempts: int
    lease_seconds: float
    history_days: float
    redis_url: str = field(repr=False)
    mongo_uri: str = field(repr=False)
    mongo_database: str
    delivery: DeliverySettings

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no log, file or database may show."""
        tokens = (self.access_token, self.refresh_token)
        # The address of a webhook often carries a token of its own.
        webhook = (self.delivery.webhook_url, self.delivery.webhook_secret)
        return tuple(filter(None, (self.app_secret, *tokens, *webhook)))

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Config:
        """Read and check the settings.

        Raises:
            ConfigurationError: One sentence that names the first wrong setting and the way out.
        """
        protocol: ProtocolName = _choice(settings, "ALI1688_PROTOCOL", get_args(ProtocolName))
        config = cls(
            app_key=_required(settings, "ALI1688_APP_KEY"),
            app_secret=_required(settings, "ALI1688_APP_SECRET"),
            access_token=_text(settings, "ALI1688_ACCESS_TOKEN"),
            refresh_token=_text(settings, "ALI1688_REFRESH_TOKEN"),
            protocol=protocol,
            gateway=_gateway(settings, protocol),
            sign_method=_choice(settings, "ALI1688_SIGN_METHOD", get_args(SignMethod)),
            http_method=_choice(settings, "ALI1688_HTTP_METHOD", ("POST", "GET")),
            product_api=_text(settings, "ALI1688_PRODUCT_API"),
            search_api=_text(settings, "ALI1688_SEARCH_API"),
            qps=_number(settings, "ALI1688_QPS", "calls per second, or 0 for no limit"),
            daily_quota=read_daily_quota(settings),
            cache_ttl=_number(settings, "ALI1688_CACHE_TTL", "seconds, or 0 for no cache"),
            max_attempts=_whole(settings, "ALI1688_MAX_ATTEMPTS", "tries, 1 or more", least=1),
            lease_seconds=_number(settings, "ALI1688_LEASE_SECONDS", "seconds, 1 or more", least=1),
            history_days=_number(settings, "ALI1688_HISTORY_DAYS", "days, or 0 to keep all"),
            redis_url=read_redis_url(settings),
            mongo_uri=_mongo_uri(settings),
            mongo_database=_database(settings),
            delivery=DeliverySettings.from_settings(settings),
        )
        # Only to refuse the names of APIs that the protocol does not have.
        choose_apis(protocol, config.product_api, config.search_api)
        return config


def read_redis_url(settings: BaseSettings) -> str:
    """Return ``REDIS_URL``, which needs no other setting; empty when it is not set.

    Raises:
        ConfigurationError: It cannot be read.
    """
    url = _url(settings, "REDIS_URL", ("redis", "rediss", "unix"))
    try:
        parse_url(url or "redis://")  # type: ignore[no-untyped-call]  # upstream has no types here
    # What the client says quotes parts of the address, and they may be the password.
    except ValueError:
        raise ConfigurationError(
            "REDIS_URL cannot be read: write redis://user:password@host:6379/0 with every special "
            "character of the user name and the password percent-encoded"
        ) from None
    return url


def read_daily_quota(settings: BaseSettings) -> int:
    """Return ``ALI1688_DAILY_QUOTA``, which needs no other setting.

    Raises:
        ConfigurationError: It is no number of calls.
    """
    return _whole(settings, "ALI1688_DAILY_QUOTA", "calls, or 0 for no limit")


def strip_settings(settings: BaseSettings) -> None:
    """Take white space off the ends of the project's settings, wherever they come from.

    So what is checked here is what other components read.
    """
    for name in settings:
        is_ours = str(name).startswith("ALI1688_") or name in _SERVERS
        value = settings[name] if is_ours else None
        if isinstance(value, str) and value != value.strip():
            settings.set(name, value.strip(), settings.getpriority(name) or 0)


def _text(settings: BaseSettings, name: str) -> str:
    value = settings.get(name)
    return "" if value is None else str(value).strip()


def _required(settings: BaseSettings, name: str) -> str:
    value = _text(settings, name)
    if value:
        return value
    raise ConfigurationError(
        f"{name} is missing: put it into .env (see .env.example), the environment or -s {name}=…"
    )


def _choice(settings: BaseSettings, name: str, choices: tuple[_Choice, ...]) -> _Choice:
    value = _text(settings, name)
    for choice in choices:
        if value == choice:
            return choice
    raise ConfigurationError(f"{name} is {value!r}: set it to one of {', '.join(choices)}")


def _number(settings: BaseSettings, name: str, meaning: str, *, least: float = 0) -> float:
    text = _text(settings, name)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and value >= least:
        return value
    raise ConfigurationError(f"{name} is {text!r}: set it to a number of {meaning}")


def _whole(settings: BaseSettings, name: str, meaning: str, *, least: int = 0) -> int:
    value = _number(settings, name, meaning, least=least)
    if value.is_integer():
        return int(value)
    raise ConfigurationError(f"{name} is {_text(settings, name)!r}: set it to a whole number")


def _gateway(settings: BaseSettings, protocol: ProtocolName) -> str:
    """Return the one spelling of the address, in which all requests go there."""
    value = _text(settings, "ALI1688_GATEWAY") or DEFAULT_GATEWAYS[protocol]
    shown, example = redact_url(value), DEFAULT_GATEWAYS[protocol]
    wanted = f"ALI1688_GATEWAY is {shown!r}: set it to a URL such as {example}"
    try:
        parts = urlsplit(value)
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:  # UnicodeError of a name that is no host's is one
        raise ConfigurationError(wanted) from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"ALI1688_GATEWAY has a user name in it: set it to a URL such as {example}"
        )
    is_plain = _PATH.fullmatch(parts.path) and not parts.query and not parts.fragment
    if parts.scheme not in _DEFAULT_PORTS or not host or port == 0 or not is_plain:
        raise ConfigurationError(wanted)
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{port}"
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def _host(name: str) -> str:
    """Return a host name in lower case and ASCII, without the dot at its end."""
    if ":" in name:
        return f"[{name}]"
    return name.removesuffix(".").encode("idna").decode().lower()


def _url(settings: BaseSettings, name: str, schemes: tuple[str, ...]) -> str:
    value = _text(settings, name)
    if value and value.partition("://")[0] not in schemes:
        raise ConfigurationError(
            f"{name} is no such address: begin it with {schemes[0]}://, or leave it empty"
        )
    return value


def _mongo_uri(settings: BaseSettings) -> str:
    uri = _url(settings, "MONGO_URI", ("mongodb", "mongodb+srv"))
    if uri:
        check_uri(uri)
    return uri


def _database(settings: BaseSettings) -> str:
    value = _text(settings, "MONGO_DATABASE")
    if not value or len(value.encode()) > 63 or set(value) & set('/\\. "$*<>:|?\0'):
        raise ConfigurationError(
            f"MONGO_DATABASE is {value!r}: set it to a name of letters, digits, - and _"
        )
    return value
