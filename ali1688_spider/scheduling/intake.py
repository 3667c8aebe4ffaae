"""Takes the messages of producers into the queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.scheduling.entries import milliseconds, pack_entries
from ali1688_spider.scheduling.messages import read_message

if TYPE_CHECKING:
    from ali1688_spider.scheduling.entries import QueueEntry
    from ali1688_spider.scheduling.scripts import LuaScripts

READER_SECONDS = 10.0
"""For so long nobody else reads a batch; afterwards the reader is taken for dead."""

MOST_MESSAGES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class MalformedMessage:
    """A message that asks for no call.

    Attributes:
        message: The message.
        reason: Why it is none.
    """

    message: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """Messages that are being read; they stay in Redis until they are settled.

    Attributes:
        number: Name of the batch.
        entries: The calls that they ask for.
        malformed: What has to be recorded before the batch is settled.
    """

    number: bytes
    entries: tuple[QueueEntry, ...]
    malformed: tuple[MalformedMessage, ...]


class Intake:
    """Reads messages in batches, one worker at a time; a batch is queued and removed in one step.

    A reader that dies leaves its batch to the next one: malformed messages may then be recorded a
    second time, and no call is queued twice.

    Args:
        scripts: The queue's scripts.
        reader: Number of this worker.
    """

    def __init__(self, scripts: LuaScripts, reader: int) -> None:
        self._scripts = scripts
        self._reader = reader

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
        ) or [b""]
        if not number:
            return None
        entries, malformed = [], []
        for message in messages:
            try:
                entries.append(read_message(message))
            except MalformedMessageError as error:
                malformed.append(MalformedMessage(message, str(error)))
        return MessageBatch(number, tuple(entries), tuple(malformed))

    def settle(self, batch: MessageBatch) -> int:
        """Queue the calls of *batch* and remove its messages.

        Returns:
            How many calls were not queued before; 0 when another reader settled the batch.
        """
        added: int = self._scripts.run("settle_messages", batch.number, pack_entries(batch.entries))
        return max(0, added)
