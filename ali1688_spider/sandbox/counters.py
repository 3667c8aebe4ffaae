"""What the gateway has seen."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

_SIGNATURES = ("missing-signature", "invalid-signature")


class Counters:
    """Counts calls, answers and errors; all since the start or the last reset.

    Attributes:
        connections: Connections accepted.
        token_refreshes: Refreshes of the access token that succeeded.
        refused_rate: Calls refused because of the rate, a ban included.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        self.connections = 0
        self.token_refreshes = 0
        self.refused_rate = 0
        self._calls = 0
        self._answered = 0
        self._apis: Counter[str] = Counter()
        self._products: Counter[int] = Counter()
        self._errors: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._last_second: deque[float] = deque()
        self._max_calls_per_second = 0
        self._first_call_at: float | None = None
        self._last_call_at: float | None = None

    def called(self) -> None:
        """Count a call, whatever comes of it."""
        self._calls += 1
        self._last_call_at = time.time()
        if self._first_call_at is None:
            self._first_call_at = self._last_call_at
        now, recent = time.monotonic(), self._last_second
        recent.append(now)
        while recent[0] <= now - 1:
            recent.popleft()
        self._max_calls_per_second = max(self._max_calls_per_second, len(recent))

    def called_api(self, name: str) -> None:
        """Count a call of an API that exists."""
        self._apis[name] += 1

    def called_product(self, product_id: int) -> None:
        """Count a call for a product that passed all checks."""
        self._products[product_id] += 1

    def answered(self) -> None:
        """Count an answer with data."""
        self._answered += 1

    def refused(self, name: str) -> None:
        """Count a refusal by its name."""
        self._errors[name] += 1

    def faulted(self, name: str) -> None:
        """Count a fault that was asked for."""
        self._faults[name] += 1

    def report(self, *, products: bool = True) -> dict[str, Any]:
        """Return all counts for JSON; those of the single products only if wanted."""
        report: dict[str, Any] = {
            "calls": self._calls,
            "answered": self._answered,
            "by_api": dict(self._apis),
            "errors": dict(self._errors),
            "faults": dict(self._faults),
            "refused_signatures": sum(self._errors[name] for name in _SIGNATURES),
            "refused_rate": self.refused_rate,
            "token_refreshes": self.token_refreshes,
            "max_calls_per_second": self._max_calls_per_second,
            "first_call_at": self._first_call_at,
            "last_call_at": self._last_call_at,
            "connections": self.connections,
        }
        if products:
            report["by_product"] = {str(id_): count for id_, count in self._products.items()}
        return report
