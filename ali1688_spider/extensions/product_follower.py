"""Has the watched products followed, so that the platform tells of their changes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from scrapy.crawler import Crawler

from ali1688_spider.extensions.task_of_one import FIRST_PAUSE, TaskEndedError, TaskOfOne
from ali1688_spider.gateway.errors import ApiClosedError, CallError, ErrorAction
from ali1688_spider.gateway.messages import MOST_LISTED, following, listing
from ali1688_spider.watching.hints import FOLLOWING_SHARE

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import ServiceCall
    from ali1688_spider.spiders.watch import WatchSpider
    from ali1688_spider.watching.hints import Relation

logger = logging.getLogger(__name__)

LONGEST_REST = 600.0
"""Seconds after which products are looked for that became watched meanwhile."""

LOOKED_AT = 1000
"""Watched products that are looked at in one step."""

MOST_REFUSED = 20
"""Products refused one after another, after which no more are tried."""


class _Step(NamedTuple):
    """One of the relations that make the platform send messages, and how it is made."""

    relation: Relation
    call: Callable[[Sequence[int]], ServiceCall]
    most: int  # products of one call


_STEPS = (_Step("listed", listing, MOST_LISTED), _Step("followed", following, 1))


class ProductFollower(TaskOfOne):
    """Has the watched products followed, with ``-a follow=1``, each once.

    First they are put on the listing list, 20 with a call: it makes the platform tell of changes,
    delisting and deletion. Stock and prices are told only of products that are followed one by one,
    as the pages of those topics say. An app may lack the permission for either; then the other is
    done alone. A product that is refused is not tried again.
    """

    task = "follower"
    share = FOLLOWING_SHARE
    doing = "following products"

    def __init__(self, spider: WatchSpider, crawler: Crawler) -> None:
        super().__init__(spider, crawler)
        self._steps = deque(_STEPS)
        self._batches: deque[list[int]] = deque()
        self._cursor = 0
        self._has_found = False
        self._rests = 0
        self._refused: list[int] = []  # one after another; kept when it turns out not to be all
        self._has_warned = False

    @classmethod
    def is_wanted(cls, spider: WatchSpider, crawler: Crawler) -> bool:  # noqa: ARG003  # as the base has it
        """Return whether the argument says so."""
        return spider.arguments.follow

    async def step(self) -> float:
        """Follow some products, or look for those that are not followed."""
        if not self._batches:
            return await self._look()
        step, batch = self._steps[0], self._batches[0]
        try:
            await self.respond(step.call(batch))
        except ApiClosedError as error:
            return self._end_relation(f"{error}. {error.advice}")
        except CallError as error:
            if not _is_about_products(error):
                raise
            self._batches.popleft()
            return await self._take_apart(batch, error)
        self._batches.popleft()
        self._stats.inc_value(f"ali1688/hints/{step.relation}", len(batch))
        await self._remember([*self._refused, *batch])
        return 0.0

    async def _look(self) -> float:
        """Look for products to follow; rest when there is none of either relation."""
        step = self._steps[0]
        found, self._cursor = await self.on_store(
            self._store.without, step.relation, self._cursor, LOOKED_AT
        )
        firsts = range(0, len(found), step.most)
        self._batches.extend(found[first : first + step.most] for first in firsts)
        self._has_found = self._has_found or bool(found)
        if found or self._cursor:
            return 0.0
        self._steps.rotate(-1)
        if step.relation != _STEPS[-1].relation and len(self._steps) > 1:
            return 0.0
        self._rests = 0 if self._has_found else self._rests + 1
        self._has_found = False
        return min(FIRST_PAUSE * 2.0 ** min(max(0, self._rests - 1), 9), LONGEST_REST)

    async def _take_apart(self, batch: list[int], error: CallError) -> float:
        """Try the products of a refused call without those that are named, or in halves."""
        if len(batch) == 1:
            return await self._refuse(batch, error)
        named = [each for each in batch if str(each) in error.message]
        others = [each for each in batch if each not in named]
        middle = len(batch) // 2
        parts = [others, *([each] for each in named)] if named else [batch[:middle], batch[middle:]]
        self._batches.extendleft(part for part in reversed(parts) if part)
        return 0.0

    async def _refuse(self, batch: list[int], error: CallError) -> float:
        self._refused += batch
        self._stats.inc_value("ali1688/hints/follow_refused")
        if len(self._refused) >= MOST_REFUSED:
            self._refused.clear()
            return self._end_relation(f"{MOST_REFUSED} products one after another: {error}")
        level = logging.DEBUG if self._has_warned else logging.WARNING
        sentence = "The platform does not follow product %d (%s); it is watched all the same"
        logger.log(level, sentence, batch[0], error)
        self._has_warned = True
        return 0.0

    def _end_relation(self, why: str) -> float:
        """Do without the present relation, which the app may not make, or without any."""
        step = self._steps.popleft()
        self._batches.clear()
        self._cursor = 0
        logger.warning(
            "Products are not %s any more, the platform refuses: %s They are watched all the same; "
            "order the API for the app in the open platform's console, or leave out -a follow=1",
            step.relation,
            why,
        )
        if not self._steps:
            raise TaskEndedError("neither relation can be made")
        return 0.0

    async def _remember(self, product_ids: Sequence[int]) -> None:
        await self.on_store(self._store.relate, self._steps[0].relation, product_ids)
        self._refused.clear()


def _is_about_products(error: CallError) -> bool:
    """Whether the platform has looked at the products and refuses them."""
    return bool(error.max_attempts) or error.action in {ErrorAction.GIVE_UP, ErrorAction.GONE}
