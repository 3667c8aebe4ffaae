"""What the sandbox is told when it starts, and what of it may be changed while it runs."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

PROTOCOLS = ("router", "param2", "top")
_FIXED = frozenset({"host", "port", "protocol", "products"})


def _option(default: Any, help_text: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "metavar": metavar})


@dataclass(slots=True)
class Options:
    """The options of ``scrapy sandbox``; field ``clock_skew`` is option ``--clock-skew``.

    All but ``host``, ``port``, ``protocol`` and ``products`` may be changed while the sandbox
    runs.

    Raises:
        ValueError: A value is out of range; the text is one sentence that names the option.
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
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            signed = option.name == "clock_skew"
            if isinstance(value, (int, float)) and not (
                math.isfinite(value) and (signed or value >= 0)
            ):
                raise ValueError(f"{_flag(option.name)} is {value}: give a number from 0")
        unknown = set(self.protocol) - set(PROTOCOLS)
        if unknown or not self.protocol:
            raise ValueError(f"--protocol is unknown: give one of {', '.join(PROTOCOLS)}")
        if self.fault_rate > 1:
            raise ValueError(f"--fault-rate is {self.fault_rate}: give a share from 0 to 1")
        if self.error_status and not 200 <= self.error_status <= 599:
            raise ValueError(f"--error-status is {self.error_status}: give one from 200 to 599")

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add an argument for each option to *parser*."""
        for option in dataclasses.fields(cls):
            kind: type[object] = type(option.default)
            keywords: dict[str, Any] = {"help": option.metadata["help"]}
            if kind is bool:
                keywords |= {"action": "store_true"}
            elif kind is tuple:
                keywords |= {"action": "append", "metavar": option.metadata["metavar"]}
            else:
                keywords |= {"type": kind, "metavar": option.metadata["metavar"]}
                keywords |= {"default": option.default}
            parser.add_argument(_flag(option.name), **keywords)

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> Options:
        """Return the options that *arguments*, parsed with :meth:`add_arguments`, hold."""
        values: dict[str, Any] = {}
        for option in dataclasses.fields(cls):
            value = getattr(arguments, option.name)
            if isinstance(option.default, tuple):
                value = tuple(value or option.default)
            values[option.name] = value
        return cls(**values)

    def checked(self, changes: Mapping[str, Any]) -> Options:
        """Return these options with *changes*, values as in JSON.

        Raises:
            ValueError: A name is unknown or fixed, or a value is of the wrong type or range.
        """
        options = {option.name: option for option in dataclasses.fields(self)}
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in options or name in _FIXED:
                raise ValueError(f"{name} is no setting that can be changed")
            values[name] = _converted(name, value, type(options[name].default))
        return dataclasses.replace(self, **values)

    def take_over(self, other: Options) -> None:
        """Take all values of *other*."""
        for option in dataclasses.fields(self):
            setattr(self, option.name, getattr(other, option.name))


def _converted(name: str, value: object, kind: type) -> Any:
    if kind is tuple and isinstance(value, list) and all(isinstance(text, str) for text in value):
        return tuple(value)
    if kind is float and type(value) in (int, float):
        return value
    if type(value) is not kind:
        wanted = "a list of texts" if kind is tuple else kind.__name__
        raise ValueError(f"{name} has a value of the wrong type: give {wanted}")
    return value


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
