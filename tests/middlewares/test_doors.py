"""What a process with secrets must not do: the doors that the settings shut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.core.downloader.middleware import DownloaderMiddlewareManager

from ali1688_spider.middlewares.cache import CacheMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

    CrawlerFor = Callable[..., Crawler]


def test_only_http_is_spoken(crawler_for: CrawlerFor) -> None:
    handlers = crawler_for().settings.getwithbase("DOWNLOAD_HANDLERS")
    open_schemes = {scheme for scheme, handler in handlers.items() if handler is not None}
    assert open_schemes == {"http", "https"}


async def test_the_signature_is_the_last_step_before_the_wire(crawler_for: CrawlerFor) -> None:
    manager = DownloaderMiddlewareManager.from_crawler(crawler_for(ALI1688_CACHE_TTL="60"))
    cache = manager.middlewares[0]
    assert isinstance(cache, CacheMiddleware)
    await cache.close()
    kinds = [type(middleware) for middleware in manager.middlewares]
    ours = [kind.__name__ for kind in kinds if kind.__module__.startswith("ali1688_spider.")]
    assert ours == [
        "CacheMiddleware",
        "ErrorsMiddleware",
        "CompressionMiddleware",
        "ThrottleMiddleware",
        "SigningMiddleware",
    ]
    assert kinds[-1].__name__ == "SigningMiddleware"
    forbidden = {"Redirect", "MetaRefresh", "Cookies", "Retry", "HttpAuth", "Offsite", "RobotsTxt"}
    assert not {f"{name}Middleware" for name in forbidden} & {kind.__name__ for kind in kinds}


def test_the_other_doors(crawler_for: CrawlerFor) -> None:
    settings = crawler_for().settings
    for name in ("TELNETCONSOLE", "REMOTE_CONTROL", "COOKIES", "REDIRECT", "REFERER"):
        assert settings.getbool(f"{name}_ENABLED") is False
    assert settings.getbool("DOWNLOAD_VERIFY_CERTIFICATES") is True
    assert settings.getint("DOWNLOAD_MAXSIZE") == 16 * 2**20
