"""``scrapy crawl``: Scrapy's own, with the configuration checked first and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import time
from typing import Any

from scrapy import signals
from scrapy.commands.crawl import Command as ScrapyCrawl
from scrapy.crawler import Crawler
from scrapy.settings import Settings
from scrapy.spiders import Spider
from scrapy.utils.misc import load_object

from ali1688_spider.addon import context_of
from ali1688_spider.config import Config
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.files import check_feeds
from ali1688_spider.logs import is_json, log_as_json, tell
from ali1688_spider.private_files import environment
from ali1688_spider.project_command import error_sentence, load_project
from ali1688_spider.redaction import redact_logs
from ali1688_spider.shutdown import CLOSE_REASONS, CrawlOutcome

logger = logging.getLogger(__name__)

ALLOCATIONS = 10_000
"""New objects after which Python looks for cycles among them; its default is 700."""

BANNERS = ("scrapy.utils.log", "scrapy.addons", "scrapy.crawler", "scrapy.middleware")
"""Loggers that list versions, settings and components at the start."""

OPENING_SECONDS = 2.0
"""Grace period at shutdown for a spider that opens; it may wait for a Redis that is away."""
_OPENING_POLL_SECONDS = 0.02

STOPPED = {"shutdown", "cancelled"}
"""Those of a crawl that was stopped: what it had not done is lost, unless it is queued in Redis."""


class Command(ScrapyCrawl):
    """Scrapy's command; a wrong setting or argument is one sentence, without traceback.

    The exit code is 1 for these, when calls were given up, and when the close reason is no success.
    """

    settings: Settings  # set before anything is called
    requires_project = False  # an installed package has no scrapy.cfg

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        self._is_own_project = load_project(self.settings)
        super().add_options(parser)

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        """Apply the options; what Scrapy says of itself at the start is for DEBUG only."""
        super().process_options(args, opts)
        if job := opts.spargs.get("_job"):  # Scrapyd no longer sets the variable itself
            os.environ["SCRAPY_JOB"] = job
        if self._is_own_project and is_json(self.settings):
            log_as_json(self.settings, spider=args[0] if args else "")
        if self._is_own_project and self.settings.get("LOG_LEVEL") != "DEBUG":
            for name in BANNERS:
                logging.getLogger(name).addFilter(_is_no_banner)  # levels are set anew later
        if self._is_own_project and (loop := self.settings["ASYNCIO_EVENT_LOOP"]):
            # Scrapy takes it; without one, it makes asyncio's first, which nobody would close.
            asyncio.set_event_loop(load_object(loop)())

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if self._is_own_project and len(args) == 1:
            try:
                self._check(args[0], opts.spargs)
            except ConfigurationError as error:
                self.exitcode = 1
                environment()  # warns of lines of .env that cannot be read, which may be why
                # Of a job of Scrapyd, people read the log.
                text, spider = error_sentence(error), args[0]
                tell(logger, logging.ERROR, str(error), self.settings, text=text, spider=spider)
                return
        super().run(args, opts)
        if self._is_own_project and not self.exitcode:
            self.exitcode = 0 if self._is_success() else 1

    def _is_success(self) -> bool:
        reason = self._crawler.stats.get_value("finish_reason")
        is_success = reason is None or (  # None: it never began
            reason in CLOSE_REASONS and CLOSE_REASONS[reason].exit_code == 0
        )
        if not is_success or context_of(self._crawler).shutdown.has_lost:
            return False
        return reason not in STOPPED or not CrawlOutcome.of(self._crawler).is_left

    def _create_crawler(self, spidercls: type[Spider] | str) -> Crawler:
        assert self.crawler_process is not None
        if isinstance(spidercls, str):
            spidercls = self.crawler_process.spider_loader.load(spidercls)
        crawler: Any = _StoppableCrawler(spidercls, self.settings)
        self._crawler = super()._create_crawler(crawler)  # which takes one that was made, too
        self._crawler.signals.connect(_collect_less_often, signals.spider_opened)
        return self._crawler

    def _check(self, spider_name: str, arguments: dict[str, str]) -> None:
        assert self.crawler_process is not None
        config = Config.from_settings(self.settings)
        redact_logs(*config.secrets)
        if self.settings.get("JOBDIR"):
            raise ConfigurationError(
                "JOBDIR cannot be used here: leave it out, and set REDIS_URL, with which the same "
                "command goes on where it was"
            )
        loader = self.crawler_process.spider_loader
        try:
            spider_class: type[Spider] = loader.load(spider_name)
        except KeyError:
            raise ConfigurationError(
                f"there is no spider {spider_name!r}: say one of {', '.join(loader.list())}"
            ) from None
        check = getattr(spider_class, "check_arguments", None)
        if check is not None:
            check(config, arguments)
        check_feeds(self.settings, {**arguments, "name": spider_name})


class _StoppableCrawler(Crawler):
    """One that ends well also when it is asked to while it opens.

    Scrapy 2.19 stops a crawl that runs; the event loop of one that does not run yet is stopped
    without closing it: no close reason, no closing line, no statistics, and exit code 0.
    """

    async def stop_async(self) -> None:
        deadline = time.monotonic() + OPENING_SECONDS
        # No signal says that the engine runs; it does soon, or the crawl has failed to open.
        while self.crawling and not self.engine.running and self.engine.spider is not None:
            await asyncio.sleep(_OPENING_POLL_SECONDS)
            if time.monotonic() > deadline:
                logger.warning("The crawl is stopped before its spider was open")
                break
        await super().stop_async()


def _is_no_banner(record: logging.LogRecord) -> bool:
    return record.levelno != logging.INFO


def _collect_less_often() -> None:
    """Exempt all objects so far from garbage collection, and collect after more new ones.

    Each call makes thousands of objects, of which almost all are freed without the collector.
    Looking for cycles as often as Python does by default takes a tenth of a worker's CPU time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, *gc.get_threshold()[1:])
