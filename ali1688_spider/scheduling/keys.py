"""The Redis keys of a queue.

All carry the name of the producers' list as their hash tag, so that Redis Cluster keeps them on one
node, where a script may change several at once. For the spider ``product``:

``product:start_urls`` LIST (or SET, or ZSET with the highest score first)
    Messages of producers; see :mod:`ali1688_spider.scheduling.start_list`.
``{product:start_urls}:requests`` ZSET call → score
    Calls that are ready, the next one first. A call is written as :meth:`ApiCall.encode` does.
    The score is ``-priority * 2^42 + sequence * 2^8 + slot``: by priority, then first in, first
    out. The slot says which running crawl waits for the call, 0 none.
``{product:start_urls}:delayed`` ZSET call → when it is due, ms since 1970
    Calls that are made later: retries, and watched products.
``{product:start_urls}:scores`` HASH call → score
    Scores of the delayed calls; with sequence 0, a new one is drawn when the call is due.
``{product:start_urls}:attempts`` HASH call → how often it was leased
    Only of calls that are ready or delayed and were leased before.
``{product:start_urls}:leased`` ZSET call → worker (a number below 2^52)
    Calls that workers work on.
``{product:start_urls}:leases`` HASH call → ``token attempt score``
    What those leases are; the token differs for each. ``last`` behind it: the queue was cleared
    meanwhile, and the call is not queued again. ``again``: it was expedited meanwhile, and a call
    that is repeated is made once more at once.
``{product:start_urls}:workers`` ZSET worker → when its leases run out, ms since 1970
    A worker stays until its last lease is given to others.
``{product:start_urls}:sequence`` STRING
    The last sequence number of a score.
``{product:start_urls}:crawls`` HASH digest → JSON
    The crawls that are remembered: ``slot``, ``cursor`` (how many entries of the source are
    queued), ``complete`` (all of them are), ``pending`` (calls queued or leased under the slot),
    ``finished_at``, ``remember`` (both in ms).
``{product:start_urls}:slots`` HASH slot, 1 to 255 → digest
    The crawls that run.
``{product:start_urls}:crawl_expiry`` ZSET digest → when the crawl is forgotten, ms since 1970
    Moves on whenever the crawl does.
``{product:start_urls}:intake`` LIST
    Messages that a worker reads at this moment; before them, the number of the batch.
``{product:start_urls}:reader`` STRING with expiry
    The worker that reads them.
``{product:start_urls}:losses`` HASH call → how many workers fell silent while they had leased it
    Only of calls to which that happened, until they are done.
``{product:start_urls}:pause`` STRING, with expiry where it ends by itself
    Why no worker takes leases: JSON of ``by``, ``reason``, ``since`` and ``until``.
``{product:start_urls}:worker_info`` HASH worker → JSON
    Who it is: ``host``, ``pid``, ``lease_ms``.
``{product:start_urls}:times`` ZSET ms since 1970 → the last sequence number that was drawn before
    One entry a minute, which tells for how long a call has waited.

What a search has shown is kept beside the queue, see
:class:`ali1688_spider.scheduling.dupefilter.RedisDupeFilter`.

A key that holds another type is renamed to ``<key>:broken:<microseconds since 1970>`` by the next
script that runs (``lua/keys.lua``), and what its counterparts know goes on without it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ali1688_spider.exceptions import ConfigurationError

START_KEY = "%(name)s:start_urls"
"""scrapy-redis's ``REDIS_START_URLS_KEY``, as it is by default."""

QUEUE_KEY = "{%(spider)s:start_urls}:requests"
"""scrapy-redis's ``SCHEDULER_QUEUE_KEY`` for this queue."""

_QUEUE_KEY = re.compile(r"\{(?P<start>[^{}]+)\}:requests")


class QueueKeys(NamedTuple):
    """The keys of one queue, as the scripts take them in order; by default, their types."""

    start: str = "list set zset"
    ready: str = "zset"
    delayed: str = "zset"
    scores: str = "hash"
    attempts: str = "hash"
    leased: str = "zset"
    leases: str = "hash"
    workers: str = "zset"
    sequence: str = "string"
    crawls: str = "hash"
    slots: str = "hash"
    crawl_expiry: str = "zset"
    intake: str = "list"
    reader: str = "string"
    losses: str = "hash"
    pause: str = "string"
    worker_info: str = "hash"
    times: str = "zset"

    @classmethod
    def of(cls, queue_key: str) -> QueueKeys:
        """Return the keys that belong to *queue_key*, the sorted set of the calls that are ready.

        Raises:
            ConfigurationError: The key does not name the producers' list as its hash tag.
        """
        match = _QUEUE_KEY.fullmatch(queue_key)
        if not match:
            raise ConfigurationError(
                f"SCHEDULER_QUEUE_KEY is {queue_key!r}: leave it at {QUEUE_KEY!r}, or write your "
                "list of start messages in its braces"
            )
        start = match["start"]
        return cls(start, queue_key, *(f"{{{start}}}:{name}" for name in cls._fields[2:]))


TYPES = QueueKeys()
"""The type of each key."""
