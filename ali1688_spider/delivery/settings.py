"""What a user may set about how changes go out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from yarl import URL

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.storage.changes import FIELDS, Field

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

_OF_ADDRESSES = set("0123456789.")
_NOT_IN_HOSTS = set("%, \0")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """The checked settings of delivery.

    Attributes:
        webhook_url: ``ALI1688_WEBHOOK_URL``, where changes are posted to; empty for nowhere.
        webhook_secret: ``ALI1688_WEBHOOK_SECRET``, which signs them.
        fields: ``ALI1688_CHANGE_FIELDS``, whose changes go out: names with commas between them.
        min_percent: ``ALI1688_CHANGE_MIN_PERCENT``, by how much a price or stock has to change.
    """

    webhook_url: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    fields: tuple[Field, ...]
    min_percent: float

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> DeliverySettings:
        """Read and check the settings.

        Raises:
            ConfigurationError: One sentence that names the first wrong setting and the way out.
        """
        url = str(settings.get("ALI1688_WEBHOOK_URL") or "")
        secret = str(settings.get("ALI1688_WEBHOOK_SECRET") or "")
        if url and not _is_url(url):
            raise ConfigurationError(
                "ALI1688_WEBHOOK_URL is not an address that can be reached: "
                "begin it with https:// and a host name, or leave it empty"
            )
        if url and not secret:
            raise ConfigurationError(
                "ALI1688_WEBHOOK_SECRET is missing: set it to a long random text that the "
                "receiver of the webhook knows as well"
            )
        return cls(
            webhook_url=url,
            webhook_secret=secret,
            fields=_fields(str(settings.get("ALI1688_CHANGE_FIELDS") or "")),
            min_percent=_percent(str(settings.get("ALI1688_CHANGE_MIN_PERCENT") or 0)),
        )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = URL(text).raw_host or ""
        host.encode("idna")  # as the resolver will: a label may be empty, or too long
        if set(host) <= _OF_ADDRESSES:
            ip_address(host)
    except ValueError:
        return False
    is_name = not set(host) & _NOT_IN_HOSTS
    return parts.scheme in {"http", "https"} and bool(host) and is_name and parts.port != 0


def _fields(text: str) -> tuple[Field, ...]:
    names = [name for name in text.replace(",", " ").split() if name]
    if unknown := set(names).difference(FIELDS):
        raise ConfigurationError(
            f"ALI1688_CHANGE_FIELDS has {min(unknown)!r} in it: "
            f"use {', '.join(FIELDS)} with commas between them, or leave it empty for all"
        )
    return tuple(field for field in FIELDS if field in names) or FIELDS


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and value >= 0:
        return value
    raise ConfigurationError(
        f"ALI1688_CHANGE_MIN_PERCENT is {text!r}: set it to a number of per cent, 0 for all"
    )
