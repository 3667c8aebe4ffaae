"""All that may get into a log, for the tests: a pipeline that they give to crawls by ``-s``."""

from __future__ import annotations

import logging
import threading
import warnings
from typing import TYPE_CHECKING, Any

from scrapy import signals
from twisted.python import log as twisted_log

if TYPE_CHECKING:
    from typing import Self

    from scrapy.crawler import Crawler

TEXT = "第一行\nsecond\r\nthird\u2028fourth\x85fifth \udcff 🍵"

library = logging.getLogger("some.library")


class NoisyPipeline:
    """Logs as other programs do when the spider opens, then fails for each product.

    Args:
        secret: The setting ``NOISE``, which is in all of it.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        pipeline = cls(crawler.settings["NOISE"])
        crawler.signals.connect(pipeline.make_noise, signals.spider_opened)
        return pipeline

    def make_noise(self) -> None:
        library.error("%s %s", TEXT, self._secret, stack_info=True)
        library.error("%d is no number", self._secret)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"beware of {self._secret}", stacklevel=1)
        try:
            self._fail()
        except ValueError:
            library.exception("It failed")
            twisted_log.err(None, "Twisted failed")
            twisted_log.err(ValueError("in ASCII"), "Twisted fails again")
        thread = threading.Thread(target=self._fail)
        thread.start()
        thread.join()

    def process_item(self, item: Any) -> Any:
        raise RuntimeError(f"{type(item).__name__} failed with {self._secret}")

    def _fail(self) -> None:
        raise ValueError(f"{TEXT} {self._secret}")
