"""What a user may set, checked once: the project's settings, and the base of spider arguments.

Scrapy's own settings stay with Scrapy; here are the names that begin with ``ALI1688_`` and the
addresses of Redis and MongoDB. ``settings.py`` says where values come from; components read the
checked :class:`Config` only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails
from scrapy.settings import BaseSettings

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.api import Country
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.protocols import (
    DEFAULT_GATEWAYS,
    HttpMethod,
    ProtocolName,
    SignMethod,
)
from ali1688_spider.items import CHANGE_FIELDS, ChangeField
from ali1688_spider.redaction import redact_url

PREFIX = "ALI1688_"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATH = re.compile(r"[\w.~!$&'()*+,;=:@%/-]*", re.ASCII)  # what Scrapy leaves as it is


class UserInput(BaseModel):
    """Base of what a user gives by name, as texts.

    A field's description completes the sentence "NAME is 'value': set it to …". Other mistakes are
    for validators: a ``ValueError`` goes on after the name, a ``ConfigurationError`` says it all.
    """

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Return what is *given*, checked; None and blank texts mean the default.

        Raises:
            ConfigurationError: One sentence that names the first wrong value and the way out.
        """
        values = {name: v.strip() if isinstance(v, str) else v for name, v in given.items()}
        values = {name: value for name, value in values.items() if value not in (None, "")}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
        raise ConfigurationError(cls._sentence(wrong, values))

    @classmethod
    def _sentence(cls, wrong: ErrorDetails, values: Mapping[str, Any]) -> str:
        name = str(wrong["loc"][0])
        if wrong["type"] == "missing":
            places = f".env (scrapy init writes one), the environment or -s {name}=…"
            return f"{name} is missing: put it into {places}"
        if wrong["type"] == "value_error":
            return f"{name} {wrong['ctx']['error']}"
        field = next(each for key, each in cls.model_fields.items() if (each.alias or key) == name)
        wanted = field.description or f"one of {', '.join(get_args(field.annotation))}"
        return f"{name} is {values[name]!r}: set it to {wanted}"


def _number(value: object) -> object:
    with suppress(ValueError):
        return float(str(value))  # 1e5 is whole
    return value


def _check_scheme(url: str, *schemes: str) -> None:
    if url.partition("://")[0] not in schemes:
        raise ValueError(f"is not a valid URL: begin it with {schemes[0]}://, or leave it empty")


def _unreadable(example: str) -> ValueError:
    # What the clients say quotes parts of the URL, maybe the password.
    text = "with every special character of the user name and the password percent-encoded"
    return ValueError(f"cannot be read: write {example} {text}")


def _check_redis_url(url: str) -> str:
    from redis.connection import ConnectionPool  # noqa: PLC0415  # slow, and seldom needed
    from redis.exceptions import RedisError  # noqa: PLC0415  # likewise

    _check_scheme(url, "redis", "rediss", "unix")
    try:
        ConnectionPool.from_url(url).make_connection()  # connects to nothing yet
    except ValueError:
        raise _unreadable("redis://user:password@host:6379/0") from None
    except (TypeError, RedisError):  # as the file of a certificate under a misspelled name
        # Which one is not said: after the question mark of a password comes the password.
        raise ValueError(
            "has an option that is not known, or a wrong value of one: correct what follows the "
            "question mark (one in a password is written %3F)"
        ) from None
    return url


def _check_mongo_uri(uri: str) -> str:
    from pymongo.errors import PyMongoError  # noqa: PLC0415  # likewise
    from pymongo.uri_parser import parse_uri  # noqa: PLC0415  # likewise

    _check_scheme(uri, "mongodb", "mongodb+srv")
    scheme, _, rest = uri.partition("://")
    if scheme == "mongodb+srv":  # as the other scheme, so that no name server is asked
        rest = rest.partition("?")[0]  # options of its own, which the other scheme refuses
    with suppress(PyMongoError, ValueError, TypeError):
        parse_uri(f"mongodb://{rest}", warn=False)
        return uri
    raise _unreadable("mongodb://user:password@host:27017/")


def _check_database(name: str) -> str:
    if len(name.encode()) > 63 or set(name) & set('/\\. "$*<>:|?\0'):
        raise ValueError(f"is {name!r}: set it to a name of letters, digits, - and _")
    return name


def _normal_gateway(url: str, info: ValidationInfo) -> str:
    """Return the one spelling of the address, in which all requests go there."""
    example = DEFAULT_GATEWAYS[info.data.get("protocol", "router")]
    url = url or example
    wanted = f"is {redact_url(url)!r}: set it to a URL such as {example}"
    try:
        parts = urlsplit(url)
        host, port = _normal_host(parts.hostname or ""), parts.port
    except ValueError:  # UnicodeError of a name that is no host's is one
        raise ValueError(wanted) from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"has a user name in it: set it to a URL such as {example}")
    is_plain = _PATH.fullmatch(parts.path) and not parts.query and not parts.fragment
    if parts.scheme not in _DEFAULT_PORTS or not host or port == 0 or not is_plain:
        raise ValueError(wanted)
    port_text = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{port_text}{parts.path.rstrip('/')}"


def _normal_host(name: str) -> str:
    """Return a host name in lower case and ASCII, without the dot at its end."""
    return f"[{name}]" if ":" in name else name.removesuffix(".").encode("idna").decode().lower()


def _check_webhook(url: str) -> str:
    with suppress(ValueError):
        parts = urlsplit(url)
        host = _normal_host(parts.hostname or "")  # as the resolver reads it
        if set(host) <= set("0123456789."):
            ip_address(host)
        if parts.scheme in _DEFAULT_PORTS and parts.port != 0 and not set(host) & set("%, \0"):
            return url
    raise ValueError(
        "is not a valid URL: begin it with https:// and a host name, or leave it empty"
    )


def _read_change_fields(value: object) -> object:
    if not isinstance(value, str):
        return value
    names, known = set(value.replace(",", " ").split()), ", ".join(CHANGE_FIELDS)
    if unknown := names.difference(CHANGE_FIELDS):
        raise ValueError(f"has {min(unknown)!r} in it: use {known}, or leave it empty for all")
    return tuple(field for field in CHANGE_FIELDS if field in names) or CHANGE_FIELDS


NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_number)]
RedisUrl: TypeAlias = Annotated[str, AfterValidator(_check_redis_url)]
MongoUri: TypeAlias = Annotated[str, AfterValidator(_check_mongo_uri)]
DatabaseName: TypeAlias = Annotated[str, AfterValidator(_check_database)]
ChangeFields: TypeAlias = Annotated[tuple[ChangeField, ...], BeforeValidator(_read_change_fields)]


_NAMES = ConfigDict(alias_generator=lambda field: f"{PREFIX}{field.upper()}")


class DeliverySettings(UserInput):
    """Where changes of products go, and which.

    Attributes:
        webhook_url: Changes are posted to this address as signed JSON.
        webhook_secret: Key of the signature; required with ``ALI1688_WEBHOOK_URL``.
        fields: Only changes of these fields go out: any of ``price``, ``stock``, ``status``,
            ``name``, ``promotion_price`` and ``available``, separated by commas.
        min_percent: Smallest change of a price or stock that goes out, in per cent of the old
            value.
    """

    model_config = _NAMES

    webhook_url: Annotated[str, AfterValidator(_check_webhook)] = Field("", repr=False)
    webhook_secret: str = Field("", repr=False)
    fields: ChangeFields = Field(CHANGE_FIELDS, alias="ALI1688_CHANGE_FIELDS")
    min_percent: NotNegative = Field(
        0, alias="ALI1688_CHANGE_MIN_PERCENT", description="a number of per cent, 0 for all"
    )

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if self.webhook_url and not self.webhook_secret:
            wanted = "a long random text that the receiver of the webhook knows as well"
            raise ConfigurationError(f"ALI1688_WEBHOOK_SECRET is missing: set it to {wanted}")
        return self


class Config(UserInput):
    """The checked settings, each under its name without ``ALI1688_``; repr() shows no secret.

    Attributes:
        app_key: The app's key, from the open platform's console.
        app_secret: The app's secret. It signs every call.
        access_token: Authorization of the account whose data is read; the ``session`` of ``top``.
            ``scrapy auth`` gets it.
        refresh_token: Renews the access token when it has expired.
        protocol: Protocol of the gateway: ``router`` is the older ``/router/json`` (MD5),
            ``param2`` today's 1688 Open Platform (HMAC-SHA1), ``top`` Taobao's.
        gateway: Address of the gateway; for ``param2`` up to and including ``/openapi``.
        sign_method: How calls of ``top`` are signed.
        http_method: ``GET`` puts signature and token into the address; use it only where a gateway
            requires it.
        product_api: For ``param2``: whole name of the API that brings products, see
            [APIs](apis.md).
        search_api: For ``param2``: whole name of the API that searches.
        country: Language of the platform's translations.
        qps: Calls per second of one app key, over all workers together; 0 for no limit.
        daily_quota: Calls per day (GMT+8) of one app key, over all workers together; 0 for no
            limit.
        cache_ttl: Seconds for which a response is reused instead of calling again; 0 for never.
        max_attempts: Tries of one call before it is given up.
        lease_seconds: Seconds that a worker may be silent before its calls go to others.
        history_days: Days after which changes, rejected responses and failed calls are deleted
            from MongoDB; 0 for never.
        stats_file: A file that gets a crawl's statistics as JSON when it ends.
        messages: ``poll``: ``scrapy crawl watch`` asks the platform for its messages (``param2``).
        dashboard_token: Password of ``scrapy dashboard``, required on other addresses than
            loopback.
        progress: Progress on the terminal; ``auto`` shows it where standard error is a terminal.
        log_format: ``json``: the log has one JSON object per line.
        redis_url: The Redis whose queue the workers share (``redis://``, ``rediss://`` or
            ``unix://``). Empty: one process works alone.
        mongo_uri: The MongoDB where products are stored. Empty: products go to feeds only.
        mongo_database: Name of the database.
    """

    model_config = _NAMES

    app_key: str
    app_secret: str = Field(repr=False)
    access_token: str = Field("", repr=False)
    refresh_token: str = Field("", repr=False)
    protocol: ProtocolName = "router"
    gateway: Annotated[str, AfterValidator(_normal_gateway)] = Field("", validate_default=True)
    sign_method: SignMethod = "md5"
    http_method: HttpMethod = "POST"
    product_api: str = ""
    search_api: str = ""
    country: Country = "en"
    qps: NotNegative = Field(2, description="a number of calls per second, or 0 for no limit")
    daily_quota: Whole = Field(
        100_000, ge=0, description="a whole number of calls, or 0 for no limit"
    )
    cache_ttl: NotNegative = Field(60, description="a number of seconds, or 0 for no cache")
    max_attempts: Whole = Field(5, ge=1, description="a whole number of tries, 1 or more")
    lease_seconds: float = Field(
        60, ge=1, allow_inf_nan=False, description="a number of seconds, 1 or more"
    )
    history_days: NotNegative = Field(0, description="a number of days, or 0 to keep all")
    stats_file: str = ""
    messages: Literal["off", "poll"] = "off"
    dashboard_token: str = Field("", repr=False)
    progress: Literal["auto", "on", "off"] = "auto"
    log_format: Literal["text", "json"] = "text"
    redis_url: RedisUrl = Field("", alias="REDIS_URL", repr=False)
    mongo_uri: MongoUri = Field("", alias="MONGO_URI", repr=False)
    mongo_database: DatabaseName = Field("ali1688", alias="MONGO_DATABASE")
    delivery: DeliverySettings = DeliverySettings()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no log, file or database may show."""
        # The address of a webhook often carries a token of its own.
        others = (self.delivery.webhook_url, self.delivery.webhook_secret, self.dashboard_token)
        tokens = (self.app_secret, self.access_token, self.refresh_token)
        return tuple(filter(None, (*tokens, *others)))

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Self:
        """Read and check the settings, their names too; as :meth:`read`."""
        check_names(settings)
        return cls.read({**settings, "ALI1688_DELIVERY": DeliverySettings.read(settings)})

    @model_validator(mode="after")
    def _check_apis(self) -> Self:
        choose_apis(self.protocol, self.product_api, self.search_api)
        return self

    @model_validator(mode="after")
    def _check_messages(self) -> Self:
        if self.messages != "off" and self.protocol != "param2":
            raise ConfigurationError(
                f"ALI1688_MESSAGES is {self.messages!r}, and only param2 has messages: set "
                "ALI1688_PROTOCOL=param2, or ALI1688_MESSAGES=off"
            )
        return self


_ALL = (*Config.model_fields.values(), *DeliverySettings.model_fields.values())
_FIELDS = {str(field.alias): field for field in _ALL if field.annotation != DeliverySettings}

DEFAULTS = {name: "" if field.is_required() else field.default for name, field in _FIELDS.items()}
"""The project's settings by name, and what they are when nobody sets them."""


_OFTEN_MEANT = {
    "MONGO_URI": ("MONGO_URL", "MONGODB_URI", "MONGODB_URL", "MONGO_HOST"),
    "REDIS_URL": ("REDIS_URI", "REDIS_HOST"),
}
"""What other programs call it, which this one does not read."""


def check_names(settings: Collection[str]) -> None:
    """Raise ConfigurationError when one of the names begins as ours do, and is none of ours."""
    names = {name for name in settings if name.startswith(PREFIX)}
    if not (unknown := names - DEFAULTS.keys()):
        return
    name = min(unknown)
    ours = {each.removeprefix(PREFIX): each for each in DEFAULTS}
    near = get_close_matches(name.removeprefix(PREFIX), ours, n=1)
    hint = f"did you mean {ours[near[0]]}?" if near else "remove it; scrapy init writes those known"
    raise ConfigurationError(f"{name} is no setting: {hint}")


def misnamed(settings: BaseSettings, environment: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each variable that seems to stand for one of ours, which is empty."""
    for name, others in _OFTEN_MEANT.items():
        found = [other for other in others if other in environment]
        if found and not settings.get(name):
            yield f"{found[0]} is set, but {name} is not: crawls read {name} alone"


def read_setting(settings: BaseSettings, name: str) -> Any:
    """Return the checked value of one setting, for what needs no other; see :class:`Config`."""
    field: Any = _FIELDS[name]
    model = create_model("Setting", __base__=UserInput, value=(field.annotation, field))
    return model.read(settings).model_dump()["value"]


def strip_settings(settings: BaseSettings) -> None:
    """Take white space off the ends of the settings, for those that Scrapy's libraries read."""
    for name in DEFAULTS:
        if isinstance(value := settings.get(name), str):
            settings.set(name, value.strip(), settings.getpriority(name) or 0)
