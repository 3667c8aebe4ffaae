"""A call that was given up, and what keeps such calls until somebody tries them again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCall:
    """A call that was given up.

    Attributes:
        spider: Name of the spider whose call it was.
        call: The call as the queue holds it; of a malformed message the message itself.
        api: Name of the platform's API; empty for a malformed message.
        params: The call's parameters.
        error: Why it was given up, in plain words.
        attempts: How often it was tried.
        at: When it was given up (UTC, in milliseconds).
        id: Equal for the same failure of the same call.
    """

    spider: str
    call: str
    api: str
    params: Mapping[str, Any]
    error: str
    attempts: int
    at: datetime
    id: str = field(init=False)

    def __post_init__(self) -> None:
        # As every store keeps it: times in milliseconds, text that can be encoded.
        milliseconds = self.at.replace(microsecond=self.at.microsecond // 1000 * 1000)
        object.__setattr__(self, "at", milliseconds)
        object.__setattr__(self, "call", self.call.encode(errors="backslashreplace").decode())
        object.__setattr__(self, "error", self.error.encode(errors="backslashreplace").decode())
        digest = hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()
        object.__setattr__(self, "id", digest)

    def values(self) -> dict[str, Any]:
        """Return everything but the id, by name."""
        names = ("spider", "call", "api", "params", "error", "attempts", "at")
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> str:
        """Return the failed call as one line of JSON, always the same for the same."""
        values = {**self.values(), "params": dict(self.params), "at": self.at.isoformat()}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> FailedCall:
        """Return the failed call that :meth:`to_json` made the line of.

        Raises:
            ValueError: The line is torn, or something else.
        """
        try:
            values = json.loads(text)
            return cls.from_values({**values, "at": datetime.fromisoformat(values["at"])})
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"not a failed call: {error!r}") from error

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> FailedCall:
        """Return the failed call that :meth:`values` are of.

        Raises:
            ValueError: They are of something else.
        """
        try:
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a failed call: {error!r}") from error


class FailedCallStore(Protocol):
    """Where failed calls are kept. Made and closed within one event loop.

    Attributes:
        unreadable: How many entries the last :meth:`list` left out, because they are no failed
            calls: a line that a crash has torn, or what another program wrote. They stay.
    """

    unreadable: int

    async def keep(self, failed: FailedCall) -> None:
        """Return when *failed* is kept; the same one kept twice is there once.

        Raises:
            StoreUnavailableError: It cannot be kept.
        """

    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        """Return when all of *failed* are kept, in one round trip; as :meth:`keep`.

        Raises:
            StoreUnavailableError: They cannot be kept; some may be. Keeping them again does no
                harm.
        """

    def list(self) -> AsyncIterator[FailedCall]:
        """Iterate over what is kept, the oldest first, with some thousand at once in memory.

        What the iteration has passed may be removed meanwhile.
        """

    async def remove(self, failed: Sequence[FailedCall]) -> None:
        """Forget these."""

    async def close(self) -> None:
        """Release what the store holds open."""
