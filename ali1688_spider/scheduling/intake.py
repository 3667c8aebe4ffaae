"""Takes the messages of producers into the queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.calls import MAX_MESSAGE_BYTES
from ali1688_spider.scheduling.entries import milliseconds, pack_entries, to_json
from ali1688_spider.scheduling.messages import ALL_OPERATIONS, check_operation, read_message

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ali1688_spider.gateway.calls import Operation
    from ali1688_spider.scheduling.entries import QueueEntry
    from ali1688_spider.scheduling.scripts import LuaScripts

READER_SECONDS = 10.0
"""For so long nobody else reads a batch; afterwards the reader is taken for dead."""

MOST_MESSAGES_AT_ONCE = 1000
MOST_BYTES_AT_ONCE = 1_000_000
"""No further message is taken into a batch that has so many; a longer message comes last in it."""


@dataclass(frozen=True, slots=True)
class MalformedMessage:
    """A message that asks for no call.

    Attributes:
        message: The message; of one that is too long, the beginning.
        reason: Why it is none.
    """

    message: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """Messages that are being read; they stay in Redis until they are settled.

    Attributes:
        number: Name of the batch: when it was taken, in microseconds since 1970.
        entries: The calls that they ask for.
        malformed: What has to be recorded before it is settled.
        places: Which of the messages, from 1, the malformed ones are.
    """

    number: bytes
    entries: tuple[QueueEntry, ...]
    malformed: tuple[MalformedMessage, ...]
    places: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.entries) + len(self.malformed)


class Intake:
    """Reads messages in batches, one worker at a time; a batch is queued and removed in one step.

    A reader that dies leaves its batch to the next one: malformed messages may then be recorded a
    second time, and no call is queued twice.

    Args:
        scripts: The queue's scripts.
        reader: Number of this worker.
        operations: The calls that the spider makes.
    """

    def __init__(
        self,
        scripts: LuaScripts,
        reader: int,
        operations: AbstractSet[Operation] = ALL_OPERATIONS,
    ) -> None:
        self._scripts = scripts
        self._reader = reader
        self._operations = operations

    def take(self, count: int = MOST_MESSAGES_AT_ONCE) -> MessageBatch | None:
        """Read up to *count* messages, the oldest first.

        Returns:
            The batch; None when there is no message, or while another worker reads.
        """
        number, *messages = self._scripts.run(
            "take_messages",
            self._reader,
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
                malformed.append(MalformedMessage(message, str(error)))
                places.append(place)
        return MessageBatch(number, tuple(entries), tuple(malformed), tuple(places))

    def queue_calls(self, batch: MessageBatch) -> tuple[int, MessageBatch]:
        """Queue the calls of *batch* and remove their messages, in one step.

        Returns:
            How many calls were not queued before, and the batch of the malformed messages, to be
            settled once these are recorded.
        """
        added = self._settle(batch, batch.places)
        places = tuple(range(1, len(batch.malformed) + 1))
        return added, MessageBatch(batch.number, (), batch.malformed, places)

    def settle(self, batch: MessageBatch) -> int:
        """Queue the calls of *batch* and remove all its messages.

        Returns:
            How many calls were not queued before; 0 when another reader settled the batch.
        """
        return self._settle(batch, ())

    def _settle(self, batch: MessageBatch, kept: tuple[int, ...]) -> int:
        entries = pack_entries(batch.entries)
        added: int = self._scripts.run(
            "settle_messages", batch.number, len(batch), entries, to_json(kept)
        )
        return max(0, added)

    def _read(self, message: bytes, length: int) -> QueueEntry:
        if length > len(message):
            raise MalformedMessageError(
                f"longer than {MAX_MESSAGE_BYTES} bytes: it has {length:,}, the first are kept"
            )
        entry = read_message(message)
        check_operation(entry.call, self._operations)
        return entry
