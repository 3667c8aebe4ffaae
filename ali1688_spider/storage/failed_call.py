"""A call that was given up, and the interface of the stores of such calls."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

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
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return {**values, "params": dict(self.params)}

    def to_json(self) -> str:
        """Return the failed call as one line of JSON, always the same for the same."""
        values = {**self.values(), "at": self.at.isoformat()}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> FailedCall | None:
        """Return the failed call of a line of :meth:`to_json`; None of a torn or other one."""
        try:
            values = json.loads(text)
            return cls.from_values({**values, "at": datetime.fromisoformat(values["at"])})
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> FailedCall | None:
        """Return the failed call of :meth:`values`; None of others."""
        try:
            return cls(**values)
        except (TypeError, AttributeError):
            return None


class FailedCallStore(ABC):
    """Keeps failed calls until they are tried again.

    Attributes:
        unreadable: How many entries the last :meth:`list` left out, because they are no failed
            calls: a line that a crash has torn, or what another program wrote. They stay.
    """

    unreadable = 0

    async def keep(self, failed: FailedCall) -> None:
        """Return when *failed* is kept; as :meth:`keep_all`."""
        await self.keep_all([failed])

    @abstractmethod
    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        """Return when all of *failed* are kept, in one round trip.

        The same call kept twice is there once.

        Raises:
            StoreUnavailableError: They cannot be kept; some may be. Keeping them again does no
                harm.
        """

    async def list(self) -> AsyncIterator[FailedCall]:
        """Iterate over what is kept, the oldest first, with some thousand at once in memory.

        What the iteration has passed may be removed meanwhile.
        """
        self.unreadable = 0
        async for failed in self._entries():
            if failed is None:
                self.unreadable += 1
            else:
                yield failed

    @abstractmethod
    async def remove(self, failed: Sequence[FailedCall]) -> None:
        """Forget these; raises as :meth:`keep_all`."""

    @abstractmethod
    def _entries(self) -> AsyncIterator[FailedCall | None]:
        """Iterate as :meth:`list` does, with None for each entry that is no failed call."""
