"""Which APIs there are, each with its parameters and the shape of its response.

An API is one entry in :mod:`.api_table`: its name, and the function that reads the parameters of a
call and returns what is asked for, a :class:`Query`. Every such function raises RefusedError when a
parameter is missing or wrong. To add an API, write its function in one of the modules here, and its
shape in one of :mod:`..shapes`.

Here is what these functions share: the query, and how parameters are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from ali1688_spider.sandbox.platform_errors import RefusedError, require
from ali1688_spider.sandbox.products import Goods, Inventory, decimal_of
from ali1688_spider.sandbox.shapes import CHINA, Json

_NUMBER = re.compile(r"[0-9]{1,19}")
_MOMENT = re.compile(r"(\d{14})(\d{3})\+0800", re.ASCII)
PAGE_SIZE = 20

Parameters = Mapping[str, str]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, repr=False)
class Query:
    """What a call asks for; immutable and hashable, since responses are cached by it.

    Attributes:
        ask: Returns the data of the response from the products at a step of time and *arguments*;
            raises RefusedError.
        product_id: The product that the call is for; 0 when it is no number, None if it is for no
            single product.
        batch: The products that it is for if it takes several.
        changes: Whether it changes something, so that no response is cached.
    """

    ask: Callable[..., Json]
    arguments: tuple[Any, ...] = ()
    product_id: int | None = None
    batch: tuple[int, ...] = ()
    changes: bool = False

    def __repr__(self) -> str:
        told = (getattr(value, "__name__", repr(value)) for value in self.arguments)
        return f"{self.ask.__name__}({', '.join(told)})"

    def data(self, inventory: Inventory, step: int) -> Json:
        """Return the data of the response at a step of time; raises RefusedError."""
        return self.ask(Goods(inventory, step), *self.arguments)


Api = Callable[[Parameters], Query]


class PagePart(NamedTuple):
    """A page of a list: its number from 1 and how many rows it has at most."""

    page: int
    size: int

    def of(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows of the page."""
        return rows[(self.page - 1) * self.size : self.page * self.size]


def required(params: Parameters, name: str) -> str:
    """Return a parameter that must be there and not be empty."""
    require(params.get(name), "missing-parameter", parameter=name)
    return params[name]


def parsed(text: str) -> Any:
    """Return the value of a JSON text, with the digits of its amounts; None of any other text."""
    try:
        return json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        return None


def json_object(params: Parameters, name: str, *needed: str) -> Json:
    """Return the JSON object that a parameter is; what is *needed* in it must be there."""
    fields = parsed(required(params, name))
    if not isinstance(fields, dict):
        raise RefusedError("invalid-parameter", parameter=name)
    for each in needed:
        require(fields.get(each) not in (None, ""), "missing-parameter", parameter=f"{name}.{each}")
    return fields


def id_list(params: Parameters, name: str) -> tuple[int, ...]:
    """Return the ids of a parameter that is a JSON array of numbers or of their texts."""
    values = parsed(required(params, name))
    ids = [number(value, 0) for value in values] if isinstance(values, list) else []
    require(ids and all(ids), "invalid-parameter", parameter=name)
    return tuple(ids)


def number(value: Any, default: int) -> int:
    """Return a number from 1, or its text; else the *default*."""
    text = str(value)
    return (int(text) if _NUMBER.fullmatch(text) else 0) or default


def page_of(params: Mapping[str, Any], page: str, page_size: str, most: int) -> PagePart:
    """Return which page is asked for; a wrong number and a wrong size are refused."""
    at, size = number(params.get(page, 1), 0), number(params.get(page_size, PAGE_SIZE), 0)
    require(at, "invalid-parameter", parameter=page)
    require(size, "invalid-parameter", parameter=page_size)
    require(size <= most, "page-size", parameter=page_size)
    return PagePart(at, size)


def amount(fields: Json, name: str) -> Decimal | None:
    """Return an amount of a JSON object, None when there is none."""
    value, told = fields.get(name), decimal_of(fields.get(name))
    require(told is not None or value in (None, ""), "invalid-parameter", parameter=name)
    return told


def moment(params: Parameters, name: str) -> float | None:
    """Return a time in seconds since 1970, written ``20181213201638000+0800``; None without one."""
    text = params.get(name, "")
    if not text:
        return None
    written = _MOMENT.fullmatch(text)
    if written is None:
        raise RefusedError("invalid-parameter", parameter=name)
    try:
        time = datetime.strptime(written[1], "%Y%m%d%H%M%S").replace(tzinfo=CHINA)
    except ValueError as error:
        raise RefusedError("invalid-parameter", parameter=name) from error
    return time.timestamp() + int(written[2]) / 1000
