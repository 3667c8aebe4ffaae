"""The duplicates filter that scrapy-redis's scheduler asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy_redis.dupefilter import RFPDupeFilter

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Request, Spider


class QueueDupeFilter(RFPDupeFilter):  # type: ignore[misc]  # scrapy-redis has no types
    """Lets every request pass: the queue itself holds each call once.

    A set of fingerprints beside the queue would cost memory for every call ever made, and a later
    crawl would find its calls filtered until somebody deletes the set.
    """

    @classmethod
    def from_spider(cls, spider: Spider) -> Self:
        """Build the filter; it needs no connection."""
        return cls(server=None, key=spider.name)

    def request_seen(self, request: Request) -> bool:  # noqa: ARG002  # scrapy-redis's interface
        """Return False."""
        return False

    def clear(self) -> None:
        """Do nothing: there are no fingerprints."""
