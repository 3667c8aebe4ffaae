"""Checks the configuration before a crawl, and chooses the components that depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.account import Account
from ali1688_spider.configuration import Configuration

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings


class Ali1688Addon:
    """The project's add-on; its account is what the components of a crawl share.

    Raises:
        ConfigurationError: From :meth:`update_settings`, when a setting is missing or wrong.
    """

    account: Account

    def update_settings(self, settings: BaseSettings) -> None:
        """Check the settings; then choose the scheduler by REDIS_URL, the storage by MONGO_URI."""
        configuration = Configuration.from_settings(settings)
        self.account = Account(configuration, settings)
        if configuration.redis_url:
            scheduler = "ali1688_spider.scheduling.scheduler.RedisScheduler"
        else:
            scheduler = "ali1688_spider.scheduling.memory_scheduler.MemoryScheduler"
        settings.set("SCHEDULER", scheduler, "addon")


def account_of(crawler: Crawler) -> Account:
    """Return what the components of this crawl share.

    Raises:
        RuntimeError: The settings lack the project's add-on.
    """
    addon = crawler.get_addon(Ali1688Addon)
    if addon is None:
        raise RuntimeError("add ali1688_spider.addon.Ali1688Addon to ADDONS")
    return addon.account
