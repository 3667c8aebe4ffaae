"""Messages of producers: what a program may put on a spider's start list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.calls import MAX_MESSAGE_BYTES, ApiCall, Operation
from ali1688_spider.gateway.identifiers import parse_product_id
from ali1688_spider.scheduling.entries import QueueEntry

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

ALL_OPERATIONS: frozenset[Operation] = frozenset(get_args(Operation))


def check_operation(call: ApiCall, operations: AbstractSet[Operation]) -> None:
    """Raise :class:`MalformedMessageError` when a spider that makes *operations* makes no such."""
    if call.operation not in operations:
        made = " and ".join(sorted(operations))
        raise MalformedMessageError(
            f"a {call.operation} call, of which this spider makes none: it makes {made} calls"
        )


def read_message(message: bytes) -> QueueEntry:
    """Return the call that *message* asks for.

    A message is a product id, a product's URL, ``{"product_id": 1}``, the same with a whole number
    as its ``"priority"``, or a call as :meth:`ApiCall.encode` writes it.

    Raises:
        MalformedMessageError: It is none of these; nothing of it is used.
    """
    if len(message) > MAX_MESSAGE_BYTES:
        raise MalformedMessageError(f"longer than {MAX_MESSAGE_BYTES} bytes")
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise MalformedMessageError("not text in UTF-8") from None
    if not text.lstrip().startswith("{"):
        return QueueEntry(_product(text))
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedMessageError("not JSON") from None
    if "product_id" not in data:
        return QueueEntry(_checked(ApiCall.decode(text)))
    return _read_product(data)


def _read_product(data: dict[str, object]) -> QueueEntry:
    if extra := data.keys() - {"product_id", "priority"}:
        names = ", ".join(sorted(extra))
        raise MalformedMessageError(f"beside product_id and priority it has {names[:80]}")
    product_id, priority = data["product_id"], data.get("priority", 0)
    if not isinstance(product_id, int | str) or isinstance(product_id, bool):
        raise MalformedMessageError("the product_id is not a whole number")
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise MalformedMessageError("the priority is not a whole number")
    return QueueEntry(_product(str(product_id)), priority)


def _product(text: str) -> ApiCall:
    try:
        return ApiCall.product(parse_product_id(text))
    except ValueError as error:
        raise MalformedMessageError(str(error)) from None


def _checked(call: ApiCall) -> ApiCall:
    try:
        call.encode().encode()
    except UnicodeEncodeError:  # "\ud800" is JSON, but half a character
        raise MalformedMessageError("a parameter is not Unicode text") from None
    return call
