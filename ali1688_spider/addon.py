"""Checks the configuration before a crawl, and chooses the components that depend on it."""

from __future__ import annotations

import logging
from typing import Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings
from scrapy.utils.misc import load_object

from ali1688_spider.config import Config, misnamed, strip_settings
from ali1688_spider.context import CrawlContext
from ali1688_spider.exporting.files import check_feeds
from ali1688_spider.logs import format_scrapy_log
from ali1688_spider.private_files import env_file, environment, is_open_to_others
from ali1688_spider.redaction import raise_log_threshold, redact_logs
from ali1688_spider.storage.database_errors import StoreUnavailableError

logger = logging.getLogger(__name__)

SCHEDULING = "ali1688_spider.scheduling"


class Ali1688Addon:
    """The project's add-on; its account is what the components of a crawl share."""

    context: CrawlContext

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the add-on."""
        return cls(crawler)

    def update_settings(self, settings: BaseSettings) -> None:
        """Check the settings and the feeds; then choose the components by REDIS_URL.

        Raises:
            ConfigurationError: A setting is missing or wrong, or a feed cannot be written.
        """
        strip_settings(settings)
        config = Config.from_settings(settings)
        check_feeds(settings, {"name": self._crawler.spidercls.name})
        redactor = redact_logs(*config.secrets)
        _warn_of_open_secrets()
        for sentence in misnamed(settings, environment()):
            logger.warning("%s", sentence)
        # Until then Scrapy sets levels and handlers.
        self._crawler.signals.connect(self._adjust_log, signals.spider_opened)
        self.context = CrawlContext(config, self._crawler, redactor)
        if not config.redis_url:
            settings.set("SCHEDULER", f"{SCHEDULING}.memory_scheduler.MemoryScheduler", "addon")
            settings.set("DUPEFILTER_CLASS", f"{SCHEDULING}.dupefilter.MemoryDupeFilter", "addon")
            return
        settings.set("SCHEDULER", f"{SCHEDULING}.scheduler.RedisScheduler", "addon")
        settings.set("DUPEFILTER_CLASS", f"{SCHEDULING}.dupefilter.RedisDupeFilter", "addon")
        acknowledgement = load_object(f"{SCHEDULING}.scheduler.AcknowledgementMiddleware")
        settings.set_in_component_priority_dict("SPIDER_MIDDLEWARES", acknowledgement, 10)

    def _adjust_log(self) -> None:
        raise_log_threshold()
        logging.getLogger("scrapy.core.scraper").addFilter(_is_no_outage)
        if self.context.config.log_format == "json":
            format_scrapy_log(self._crawler.spidercls.name)


def _is_no_outage(record: logging.LogRecord) -> bool:
    """Leave out Scrapy's traceback for each product that waits when the crawl has to end."""
    return record.exc_info is None or not isinstance(record.exc_info[1], StoreUnavailableError)


def context_of(crawler: Crawler) -> CrawlContext:
    """Return what the components of this crawl share.

    Raises:
        RuntimeError: The settings lack the project's add-on.
    """
    addon = crawler.get_addon(Ali1688Addon)
    if addon is None:
        raise RuntimeError("add ali1688_spider.addon.Ali1688Addon to ADDONS")
    return addon.context


def _warn_of_open_secrets() -> None:
    path = env_file()
    if path is not None and is_open_to_others(path):
        logger.warning("Others can read the secrets in %s: run chmod 600 %s", path, path)
