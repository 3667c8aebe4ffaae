"""The options of the sandbox, and which of them may change while it runs."""

from __future__ import annotations

import time
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ali1688_spider.sandbox.apis.api_table import API_NAMES, bare_name
from ali1688_spider.sandbox.faults import parse_faults

_FIXED = {"host", "port", "protocol", "products"}


class Options(BaseModel):
    """The options of ``scrapy sandbox``; field ``clock_skew`` is option ``--clock-skew``."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(0, ge=0, le=65_535, description="port to listen on, 0 for a free one")
    protocol: list[Literal["router", "param2", "top"]] = Field(
        ["router", "param2", "top"],
        description="serve only this protocol: router, param2 or top (repeatable)",
    )
    app_key: str = Field("1000000", description="the only app key that is known")
    app_secret: str = Field("test123", description="its secret")
    access_token: str = Field("", description="require this access token (session)")
    refresh_token: str = Field("", description="accept this refresh token")
    token_lifetime: int = Field(36_000, ge=0, description="seconds until an access token expires")
    omit_refresh_token: bool = Field(False, description="give no new refresh token at a refresh")
    qps: int = Field(0, ge=0, description="calls in any one second, 0 for no limit")
    ban: float = Field(0.0, ge=0, description="seconds of a ban when --qps is exceeded")
    daily_quota: int = Field(0, ge=0, description="calls per day (GMT+8), 0 for no limit")
    latency: float = Field(0.0, ge=0, description="milliseconds to wait before every answer")
    clock_skew: float = Field(0.0, description="seconds that the gateway's clock is ahead")
    deny: list[str] = Field([], description="refuse permission for this API (repeatable)")
    products: int = Field(100_000, ge=0, description="how many there are, from 610000000001 on")
    removed: int = Field(0, ge=0, description="every Nth product is gone, 0 for none")
    related: float = Field(
        0.0, ge=0, le=1, description="share of the products that the app has a relation to"
    )
    curated: float = Field(
        0.5, ge=0, le=1, description="share of the products that are curated goods"
    )
    drift: float = Field(0.0, ge=0, description="seconds after which prices move, 0 for never")
    step: int = Field(0, ge=0, description="steps of drift to be ahead of time")
    messages: Literal["followed", "all"] = Field(
        "followed", description="tell changes of products that are followed, or of all"
    )
    callback: str = Field("", description="address to post messages to, none to let them wait")
    callback_retry: float = Field(1.0, ge=0, description="seconds until a failed post is repeated")
    callback_faults: list[Literal["duplicates", "disorder"]] = Field(
        [], description="duplicates posts each message twice, disorder new ones first"
    )
    faults: str = Field("", description="faults of the products struck, such as 500,html,slow:3")
    fault_rate: float = Field(1.0, ge=0, le=1, description="share of the products that is struck")
    fault_times: int = Field(1, ge=0, description="tries that fail of a product struck, 0 for all")
    error_status: int = Field(0, description="HTTP status of all platform errors, 0 for their own")

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_faults(self.faults)
        if self.error_status and not 200 <= self.error_status <= 599:
            raise ValueError(f"--error-status is {self.error_status}: give one from 200 to 599")
        for name in set(self.deny) - API_NAMES - set(map(bare_name, API_NAMES)):
            raise ValueError(f"--deny {name}: there is no such API")
        return self

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Return the options with these values; raises ValueError, a sentence with the option."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = error.errors()[0]
        if not wrong["loc"]:
            raise ValueError(str(wrong["ctx"]["error"]))
        text = wrong["msg"].replace("Input", "it", 1)
        raise ValueError(f"{_flag(str(wrong['loc'][0]))} is {wrong['input']!r}: {text}")

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Add an argument for each option to *parser*."""
        special = {bool: {"action": "store_true"}, list: {"action": "append"}}
        for name, field in cls.model_fields.items():
            kind = type(field.default)
            more: dict[str, Any] = special.get(kind, {"type": kind})
            default = ", ".join(field.default) if kind is list else str(field.default)
            # Scrapy takes a line that ends with a colon for a heading.
            text = f"{field.description} ({default or 'none'} by default)"
            parser.add_argument(_flag(name), help=text, default=SUPPRESS, **more)

    @classmethod
    def from_arguments(cls, arguments: Namespace) -> Self:
        """Return the options that *arguments* hold, parsed with :meth:`add_arguments`."""
        given = cls.model_fields.keys() & vars(arguments).keys()
        return cls.read({name: getattr(arguments, name) for name in given})

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change options, to values as in JSON; raises ValueError, and then changes nothing."""
        for name in changes:
            if name in _FIXED or name not in type(self).model_fields:
                raise ValueError(f"{name} is no setting that can be changed")
        vars(self).update(vars(self.read({**vars(self), **changes})))

    def now(self) -> float:
        """Return the gateway's time, in seconds since 1970 (UTC)."""
        return time.time() + self.clock_skew


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
