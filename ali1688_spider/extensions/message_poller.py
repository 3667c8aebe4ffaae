"""Asks for the messages by which the platform says that products have changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scrapy.crawler import Crawler

from ali1688_spider.addon import context_of
from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.extensions.task_of_one import FIRST_PAUSE, LONGEST_PAUSE, TaskOfOne
from ali1688_spider.gateway.messages import (
    PAGE_SIZE,
    confirmation,
    read_message,
    read_page,
    undelivered,
)
from ali1688_spider.watching.hints import POLLING_SHARE, ProblemLog, keep_hints

if TYPE_CHECKING:
    from ali1688_spider.gateway.errors import ApiClosedError
    from ali1688_spider.gateway.messages import PlatformMessage
    from ali1688_spider.spiders.watch import WatchSpider

logger = logging.getLogger(__name__)

MOST_PAGES = 10
"""Pages of messages for other programs that are passed over in search of our own."""


class MessagePoller(TaskOfOne):
    """Asks for the messages that were not delivered, with ``ALI1688_MESSAGES=poll``.

    A page is asked for, kept and then confirmed, in this order: a worker that is killed in between
    loses none. Confirming moves the pages, so the same page is read again, at once when it was
    full. Messages of other topics are not confirmed, since they may be for another program of the
    same app; pages that hold nothing else are passed over.
    """

    task = "poller"
    share = POLLING_SHARE
    doing = "asking for the platform's messages"

    def __init__(self, spider: WatchSpider, crawler: Crawler) -> None:
        super().__init__(spider, crawler)
        self._page = 1
        self._pauses = 0
        self._problems = ProblemLog()
        self._has_warned = False

    @classmethod
    def is_wanted(cls, spider: WatchSpider, crawler: Crawler) -> bool:  # noqa: ARG003  # as the base has it
        """Return whether the setting says so."""
        return context_of(crawler).config.messages == "poll"

    async def step(self) -> float:
        """Take a page of messages."""
        rows, _ = read_page(await self.respond(undelivered(self._page)))
        self._stats.inc_value("ali1688/hints/polls")
        messages = self._read(rows)
        is_full = len(rows) >= PAGE_SIZE
        if not messages:
            return self._pass_over() if is_full else self._pause()
        brings_new = await self._keep(messages)
        if not brings_new:  # kept before, so that confirming seems to be in vain
            return self._pause()
        self._pauses = 0
        if is_full:
            return 0.0
        self._page = 1
        return FIRST_PAUSE

    async def _keep(self, messages: Sequence[PlatformMessage]) -> bool:
        """Keep messages, then confirm them; return whether one of them is new."""
        kept = await keep_hints(
            messages, "poll", self._store, self._spider.watcher.hint, self.on_store
        )
        for name, count in kept._asdict().items():
            self._stats.inc_value(f"ali1688/hints/{name}", count)
        message_ids = list(dict.fromkeys(each.message_id for each in messages))
        await self.respond(confirmation(message_ids))
        self._stats.inc_value("ali1688/hints/confirmed", len(message_ids))
        sentence = "%d messages of the platform name %d watched products"
        logger.info(sentence, kept.received, kept.watched)
        return bool(kept.received)

    def _read(self, rows: Sequence[Any]) -> list[PlatformMessage]:
        """Return the messages of our topics."""
        messages = []
        for row in rows:
            try:
                message = read_message(row)
            except MalformedMessageError as error:
                self._stats.inc_value("ali1688/hints/malformed")
                self._problems.note("", f"an undelivered message is none: {error}")
                continue
            if not message.is_known:
                self._stats.inc_value("ali1688/hints/other_topics")
                continue
            if message.problem:
                self._stats.inc_value("ali1688/hints/malformed")
                self._problems.note(message.topic, message.problem)
            messages.append(message)
        return messages

    def _pass_over(self) -> float:
        """Go on to the next page, since this one is full and holds nothing for us."""
        if self._page < MOST_PAGES:
            self._page += 1
            return 0.0
        if not self._has_warned:
            logger.warning(
                "More than %d messages of other topics wait undelivered, and those about products "
                "may stand behind them: have the program that they are for take them, or enter the "
                "address of scrapy receive for the products' topics in the open platform's console",
                MOST_PAGES * PAGE_SIZE,
            )
        self._has_warned = True
        return self._pause()

    def _pause(self) -> float:
        self._page = 1
        self._pauses += 1
        return min(FIRST_PAUSE * 2.0 ** min(self._pauses - 1, 9), LONGEST_PAUSE)

    def _why_closed(self, error: ApiClosedError) -> str:
        return (
            f"ALI1688_MESSAGES=poll is off now, products are watched without it: the app may not "
            f"ask for messages ({error}). Order cn.alibaba.open:push.query.messageList-1 and "
            "push.message.confirm-1 for it in the open platform's console, or set "
            "ALI1688_MESSAGES=off"
        )
