"""The start list: what a program may put on it, and how its messages come into the queue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.calls import MAX_MESSAGE_BYTES, ApiCall
from ali1688_spider.gateway.identifiers import parse_product_id
from ali1688_spider.scheduling.lease import QueueEntry, milliseconds, pack_entries, to_json

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import Operation
    from ali1688_spider.redis_server import LuaScripts

READER_SECONDS = 10.0
"""Nobody else reads a batch for this long; afterwards its reader is taken for dead."""
MOST_MESSAGES_AT_ONCE = 1000
MOST_BYTES_AT_ONCE = 1_000_000
"""No further message is taken into a batch of this size; a longer message comes last in it."""


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """Messages whose calls are queued; the malformed ones stay in Redis until they are removed.

    Attributes:
        number: Name of the batch: when it was taken, in microseconds since 1970.
        count: How many messages were read.
        added: How many calls were not queued before.
        malformed: Messages that ask for no call, and why; of a message that is too long, the
            beginning. They have to be recorded and then removed.
    """

    number: bytes
    count: int
    added: int
    malformed: tuple[tuple[bytes, str], ...]


class StartListReader:
    """Reads messages in batches, one worker at a time.

    A reader that dies leaves its batch to the next one: malformed messages may then be recorded a
    second time, and no call is queued twice.
    """

    def __init__(
        self, scripts: LuaScripts, worker: int, operations: AbstractSet[Operation]
    ) -> None:
        self._scripts = scripts
        self._worker = worker
        self._operations = operations

    def read(self, count: int = MOST_MESSAGES_AT_ONCE) -> MessageBatch | None:
        """Queue what up to *count* messages ask for, the oldest first, and remove these messages.

        None is returned when there is no message, or while another worker reads. When Redis is away
        it has to be repeated as a whole: a batch may have been queued although the reply was lost.
        """
        number, *messages = self._scripts.run(
            "take_messages",
            self._worker,
            min(count, MOST_MESSAGES_AT_ONCE),
            milliseconds(READER_SECONDS),
            MOST_BYTES_AT_ONCE,
            MAX_MESSAGE_BYTES,
        ) or [b""]
        if not number:
            return None
        entries, malformed, places = [], [], []
        lengths = zip(messages[::2], messages[1::2], strict=True)
        for place, (message, length) in enumerate(lengths, start=1):
            try:
                entries.append(self._read(message, length))
            except MalformedMessageError as error:
                malformed.append((message, str(error)))
                places.append(place)
        added = self._settle(number, len(messages) // 2, entries, places)
        return MessageBatch(number, len(messages) // 2, added, tuple(malformed))

    def remove(self, batch: MessageBatch) -> None:
        """Remove the malformed messages of *batch*, unless another reader has."""
        self._settle(batch.number, len(batch.malformed))

    def _settle(
        self,
        number: bytes,
        count: int,
        entries: Sequence[QueueEntry] = (),
        kept: Sequence[int] = (),
    ) -> int:
        arguments = (number, count, pack_entries(entries), to_json(kept))
        added: int = self._scripts.run("settle_messages", *arguments)
        return max(0, added)

    def _read(self, message: bytes, length: int) -> QueueEntry:
        if length > len(message):
            raise MalformedMessageError(
                f"longer than {MAX_MESSAGE_BYTES} bytes: it has {length:,}, the first are kept"
            )
        entry = read_message(message)
        check_operation(entry.call, self._operations)
        return entry


def check_operation(call: ApiCall, operations: AbstractSet[Operation]) -> None:
    """Raise :class:`MalformedMessageError` unless a spider of *operations* makes this call."""
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
        call = ApiCall.decode(text)
        try:
            call.encode().encode()
        except UnicodeEncodeError:  # "\ud800" is JSON, but half a character
            raise MalformedMessageError("a parameter is not Unicode text") from None
        return QueueEntry(call)
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
