"""The options of the sandbox, and which of them may change while it runs."""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ali1688_spider.sandbox.api_catalogue import API_NAMES, bare_name
from ali1688_spider.sandbox.faults import parse_faults

PROTOCOLS = ("router", "param2", "top")
_FIXED = frozenset({"host", "port", "protocol", "products"})


def _option(default: Any, help_text: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "metavar": metavar})


@dataclass
class Options:
    """The options of ``scrapy sandbox``; field ``clock_skew`` is option ``--clock-skew``.

    Raises:
        ValueError: A value is wrong; the text is one sentence that names the option.
    """

    host: str = _option("127.0.0.1", "address to listen on", "ADDRESS")
    port: int = _option(0, "port to listen on, 0 for a free one", "PORT")
    protocol: tuple[str, ...] = _option(
        PROTOCOLS, "serve only this protocol: router, param2 or top (repeatable)", "NAME"
    )
    app_key: str = _option("1000000", "the only app key that is known", "KEY")
    app_secret: str = _option("test123", "its secret", "SECRET")
    access_token: str = _option("", "require this access token (session)", "TOKEN")
    refresh_token: str = _option("", "accept this refresh token", "TOKEN")
    token_lifetime: int = _option(36_000, "seconds until an access token expires", "SECONDS")
    omit_refresh_token: bool = _option(False, "answer a refresh without a new refresh token")
    qps: int = _option(0, "calls in any one second, 0 for no limit", "N")
    ban: float = _option(0.0, "seconds of a ban when --qps is exceeded", "SECONDS")
    daily_quota: int = _option(0, "calls per day (GMT+8), 0 for no limit", "N")
    latency: float = _option(0.0, "milliseconds to wait before every answer", "MS")
    clock_skew: float = _option(0.0, "seconds that the gateway's clock is ahead", "SECONDS")
    deny: tuple[str, ...] = _option((), "refuse permission for this API (repeatable)", "API")
    products: int = _option(100_000, "how many products there are, from 610000000001", "N")
    removed: int = _option(0, "every Nth product is gone, 0 for none", "N")
    drift: float = _option(0.0, "seconds after which prices move, 0 for never", "SECONDS")
    step: int = _option(0, "steps of drift to be ahead of time", "N")
    faults: str = _option("", "faults of the products struck, such as 500,html,slow:3", "SPEC")
    fault_rate: float = _option(1.0, "share of the products that is struck", "SHARE")
    fault_times: int = _option(1, "tries that fail of a product struck, 0 for all", "N")
    error_status: int = _option(0, "HTTP status of all platform errors, 0 for their own", "STATUS")

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, (int, float)):
                continue
            if not math.isfinite(value) or (value < 0 and name != "clock_skew"):
                raise ValueError(f"{_flag(name)} is {value}: give a number from 0")
        if not self.protocol or set(self.protocol) - set(PROTOCOLS):
            raise ValueError(f"--protocol is unknown: give one of {', '.join(PROTOCOLS)}")
        if self.fault_rate > 1:
            raise ValueError(f"--fault-rate is {self.fault_rate}: give a share from 0 to 1")
        if self.error_status and not 200 <= self.error_status <= 599:
            raise ValueError(f"--error-status is {self.error_status}: give one from 200 to 599")
        parse_faults(self.faults)
        for name in set(self.deny) - API_NAMES - set(map(bare_name, API_NAMES)):
            raise ValueError(f"--deny {name}: there is no such API")

    def now(self) -> float:
        """Return the gateway's time, in seconds since 1970 (UTC)."""
        return time.time() + self.clock_skew

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add an argument for each option to *parser*; one that is not given is None."""
        for option in dataclasses.fields(cls):
            keywords: dict[str, Any] = {"help": option.metadata["help"], "default": None}
            if isinstance(option.default, bool):
                keywords["action"] = "store_true"
            else:
                keywords["metavar"] = option.metadata["metavar"]
                listed = isinstance(option.default, tuple)
                keywords |= {"action": "append"} if listed else {"type": type(option.default)}
            parser.add_argument(_flag(option.name), **keywords)

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> Options:
        """Return the options that *arguments*, parsed with :meth:`add_arguments`, hold."""
        values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(cls)}
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**{name: value for name, value in values.items() if value is not None})

    def changed(self, changes: Mapping[str, Any]) -> Options:
        """Return these options with *changes*, values as in JSON; raises ValueError."""
        kinds = {option.name: type(option.default) for option in dataclasses.fields(self)}
        values = dict(changes)
        for name, value in changes.items():
            kind = kinds.get(name)
            if kind is None or name in _FIXED:
                raise ValueError(f"{name} is no setting that can be changed")
            if kind is tuple and type(value) is list and all(type(text) is str for text in value):
                values[name] = tuple(value)
            elif type(value) is not kind and (kind is not float or type(value) is not int):
                wanted = "a list of texts" if kind is tuple else kind.__name__
                raise ValueError(f"{name} has a value of the wrong type: give {wanted}")
        return dataclasses.replace(self, **values)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
