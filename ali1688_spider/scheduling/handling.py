"""The handling of a leased call, from its request to the moment when it is settled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.scheduling.leased_calls import again, done, release, retry
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.storage.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ali1688_spider.gateway.calls import ApiCall
    from ali1688_spider.scheduling.entries import QueueEntry
    from ali1688_spider.scheduling.leased_calls import LeasedCall, Outcome

_BACKOFF = Backoff()


@dataclass(slots=True, eq=False)
class Handling:
    """Finds out when all that a call led to is done.

    A call is settled once: when its items are stored, or rejected and kept, or when its failure is
    kept. The calls that it led to are queued in the same step.

    Attributes:
        lease: The lease of the call.
        on_settled: Is told the outcome.
        repeat_in: Returns the seconds after which a call that is done is to be made anew; None
            when it is done with.
        children: The calls that it led to.
    """

    lease: LeasedCall
    on_settled: Callable[[Outcome], None]
    repeat_in: Callable[[ApiCall], float | None]
    children: list[QueueEntry] = field(default_factory=list)
    _unfinished_items: int = 0
    _output_ended: bool = False
    _settled: bool = False

    def begin_item(self) -> None:
        """Note that the answer led to an item, which is on its way through the pipelines."""
        self._unfinished_items += 1

    def end_item(self) -> None:
        """Note that an item has left the pipelines: stored, or rejected and kept."""
        self._unfinished_items -= 1
        self._settle_if_handled()

    def end_output(self) -> None:
        """Note that the answer leads to nothing further."""
        self._output_ended = True
        self._settle_if_handled()

    def acknowledge(self) -> None:
        """Settle the call: there is nothing left to do for it."""
        delay = self.repeat_in(self.lease.call)
        if delay is None:
            self._settle(done(self.lease, self.children))
        else:
            self._settle(again(self.lease, delay, self.children))

    def postpone(self, delay: float | None = None, *, counted: bool = True) -> None:
        """Settle the call by queueing its next try.

        Args:
            delay: Seconds until then; None to back off by the number of tries.
            counted: Whether this one was a try, of which a call has a limited number.
        """
        if delay is None:
            delay = _BACKOFF.delay(self.lease.attempt)
        self._settle(retry(self.lease, delay, counted=counted))

    def failed(self, error: BaseException | None) -> None:
        """Settle a call that ended in an *error*, unless it is settled.

        Known errors have already settled it. That the crawl ends, or that the database is away, is
        no try of the call.
        """
        match error:
            case CrawlClosingError():
                self._settle(release(self.lease))
            case StoreUnavailableError():
                self.postpone(counted=False)
            case _:
                self.postpone()

    def _settle_if_handled(self) -> None:
        if self._output_ended and self._unfinished_items == 0:
            self.acknowledge()

    def _settle(self, outcome: Outcome) -> None:
        if not self._settled:
            self._settled = True
            self.on_settled(outcome)
