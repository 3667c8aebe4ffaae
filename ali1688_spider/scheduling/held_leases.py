"""What a worker believes that it has leased."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ali1688_spider.scheduling.leased_calls import LeasedCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ali1688_spider.scheduling.leased_calls import RefusedCall


class HeldLeases:
    """Leases by their messages, and since when Redis has not confirmed them.

    Args:
        suspect_losses: How many losses make a call suspect: with so many workers that fell silent
            it may be the cause.
    """

    def __init__(self, suspect_losses: int) -> None:
        self.suspect_losses = suspect_losses
        self._tokens: dict[bytes, str] = {}
        self._suspects: set[bytes] = set()
        self._confirmed_at = time.monotonic()

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._tokens)

    @property
    def has_suspect(self) -> bool:
        """Whether one of the calls is suspect."""
        return bool(self._suspects)

    @property
    def silent_seconds(self) -> float:
        """How long Redis has not confirmed that this worker is alive."""
        return time.monotonic() - self._confirmed_at

    def confirm(self, asked_at: float) -> None:
        """Note that Redis, asked at that moment (``time.monotonic()``), knew of all of them."""
        self._confirmed_at = max(self._confirmed_at, asked_at)

    def messages_and_tokens(self) -> list[bytes | str]:
        """Return the message of each lease, followed by its token."""
        return [text for lease in self._tokens.items() for text in lease]

    def add(self, leases: Iterable[LeasedCall | RefusedCall]) -> None:
        """Take over new leases."""
        for lease in leases:
            self._tokens[lease.message] = lease.token
            if isinstance(lease, LeasedCall) and lease.losses >= self.suspect_losses:
                self._suspects.add(lease.message)

    def remove(self, lease: LeasedCall | RefusedCall) -> None:
        """Forget a lease that is settled."""
        if self._tokens.get(lease.message) == lease.token:
            self.drop([lease.message])

    def drop(self, messages: Iterable[bytes]) -> None:
        """Forget leases that went to others."""
        for message in messages:
            del self._tokens[message]
            self._suspects.discard(message)

    def clear(self) -> None:
        """Forget all."""
        self._tokens.clear()
        self._suspects.clear()
