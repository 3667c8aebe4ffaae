"""Where the watched products are kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.watching.product import WatchedProduct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.watching.totals import Totals


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of one watched product.

    Attributes:
        product: The state of its schedule.
        fingerprint: Of the last answer, see :mod:`ali1688_spider.watching.fingerprint`; empty
            before the first.
    """

    product: WatchedProduct
    fingerprint: str = ""

    def encode(self) -> str:
        """Return the entry as text: the fingerprint, then the state."""
        return f"{self.fingerprint}{self.product.encode()}"

    @classmethod
    def decode(cls, text: str) -> Entry:
        """Return the entry of :meth:`encode`; one without any fetch for an empty text.

        So is one that cannot be read, with a warning: a product whose past is lost is still
        watched, and takes no other along.
        """
        if not text:
            return cls(WatchedProduct())
        start = max(text.find("["), 0)
        try:
            return cls(WatchedProduct.decode(text[start:]), text[:start])
        except MalformedMessageError as error:
            logger.warning("What is kept of a watched product is begun anew: %s", error)
            return cls(WatchedProduct())


@dataclass(frozen=True, slots=True)
class Change:
    """What a fetch makes of an entry.

    Attributes:
        product_id: The product.
        old: The entry's text before; empty when there was none.
        new: The entry's text from now on.
        differences: What to add to the sums, if *old* is still what is kept.
        delay: Seconds until the next fetch.
    """

    product_id: int
    old: str
    new: str
    differences: dict[str, float]
    delay: float


class WatchStore(Protocol):
    """Keeps the entries and their sums; the methods block and are called from a thread."""

    def resume(self, longest: float) -> None:
        """Take the watch up again, with no product due in more than *longest* seconds."""

    def load(self, product_ids: Sequence[int]) -> list[str]:
        """Return the text of each entry, empty for a product that has none."""

    def save(self, changes: Sequence[Change]) -> None:
        """Keep each change whose ``old`` is still what is kept, and its differences with it."""

    def remove(self, product_ids: Sequence[int]) -> int:
        """Watch these products no longer, from now on; return how many were watched."""

    def totals(self) -> Totals:
        """Return the sums."""

    def sample(self, size: int) -> list[WatchedProduct]:
        """Return the states of some products, drawn without preference."""

    def close(self) -> None:
        """Release what the store holds."""
