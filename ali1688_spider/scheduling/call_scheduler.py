"""What spiders ask of a scheduler beyond Scrapy's own interface."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class CallScheduler(Protocol):
    """A scheduler of API calls, with Redis or without."""

    async def room(self) -> None:
        """Return when the scheduler wants another start request, so that few wait in memory."""

    def end_of_calls(self) -> None:
        """Note that the spider has no further start requests."""
