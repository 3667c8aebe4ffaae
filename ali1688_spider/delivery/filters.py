"""Which changes other programs are told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ali1688_spider.items import ChangeField
    from ali1688_spider.storage.change import Change
    from ali1688_spider.storage.outbox import Channel


class FilteredChannel:
    """Passes on what is worth telling.

    Args:
        channel: Gets it.
        fields: Fields whose changes are told.
        min_percent: Changes of a price or stock by less than this, up or down, are not told.
            Changes without a percentage are: a status, a name, a price that went private.
    """

    def __init__(
        self, channel: Channel, *, fields: Collection[ChangeField], min_percent: float = 0.0
    ) -> None:
        self._channel = channel
        self._fields = frozenset(fields)
        self._min_percent = min_percent

    async def deliver(self, changes: Sequence[Change]) -> bool:
        """Pass on those of *changes* that are worth telling; return whether that is done."""
        worth_telling = [change for change in changes if self.lets_through(change)]
        return not worth_telling or await self._channel.deliver(worth_telling)

    def lets_through(self, change: Change) -> bool:
        """Whether *change* is worth telling."""
        if change.field not in self._fields:
            return False
        return change.percent is None or abs(change.percent) >= self._min_percent
