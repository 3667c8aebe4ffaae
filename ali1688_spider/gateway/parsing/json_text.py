"""From the JSON text of an answer to values, exact to the last digit."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from ali1688_spider.exceptions import UnexpectedAnswerError

_MAX_INT_DIGITS = 40  # beyond 64 bits, so still seen as impossible; int() takes quadratic time
_MAX_EXPONENT = 40


def load_json(text: str | bytes) -> Any:
    """Return the value that *text* stands for; bytes are UTF-8, with or without a BOM.

    Numbers with a point or an exponent are ``Decimal``, never ``float``. ``NaN`` and ``Infinity``,
    which are no JSON but do occur, become the ``Decimal`` of that name, and an integer of more
    than 40 digits a ``Decimal`` too: validation refuses them where they matter.

    Raises:
        UnexpectedAnswerError: *text* is no JSON.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8", "surrogatepass")
        return _DECODER.decode(decoded.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswerError(f"the answer is not JSON: {error}") from error


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _MAX_INT_DIGITS else Decimal(text)


def _decimal(text: str) -> Decimal | str:
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal can hold
        return text
    if "e" in text.lower() and abs(value.adjusted()) <= _MAX_EXPONENT:
        return Decimal(f"{value:f}")  # prices are written without exponent
    return value


_DECODER = json.JSONDecoder(parse_float=_decimal, parse_int=_integer, parse_constant=Decimal)
