"""Which changes other programs are told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ali1688_spider.storage.change import Change, Field
    from ali1688_spider.storage.outbox import ChangeListener


class FilteredListener:
    """Passes on what is worth telling.

    Args:
        listener: Is told of it.
        fields: Fields whose changes are told.
        min_percent: Changes of a price or stock by less than this, up or down, are not told.
            Changes without a percentage are: a status, a name, a price that went private.
    """

    def __init__(
        self, listener: ChangeListener, *, fields: Collection[Field], min_percent: float = 0.0
    ) -> None:
        self._listener = listener
        self._fields = frozenset(fields)
        self._min_percent = min_percent

    async def deliver(self, changes: Sequence[Change]) -> None:
        """Pass on those of *changes* that are worth telling."""
        worth_telling = [change for change in changes if self.lets_through(change)]
        if worth_telling:
            await self._listener.deliver(worth_telling)

    def lets_through(self, change: Change) -> bool:
        """Tell whether *change* is worth telling."""
        if change.field not in self._fields:
            return False
        return change.percent is None or abs(change.percent) >= self._min_percent
