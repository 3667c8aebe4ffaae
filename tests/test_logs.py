from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.logs import raise_log_threshold

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root, scrapy = logging.getLogger(), logging.getLogger("scrapy")
    before = root.handlers[:], root.level, scrapy.level
    yield root
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    scrapy.setLevel(before[2])


def handler(level: int) -> logging.Handler:
    handler = logging.NullHandler()
    handler.setLevel(level)
    return handler


def test_records_that_no_handler_takes_are_not_made(root: logging.Logger) -> None:
    logging.getLogger("scrapy").setLevel(logging.DEBUG)
    root.handlers[:] = [handler(logging.WARNING), handler(logging.INFO)]  # none of pytest's
    raise_log_threshold()
    for name in ("scrapy.core.scraper", "pymongo.command"):
        assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
        assert logging.getLogger(name).isEnabledFor(logging.INFO)


def test_a_handler_that_takes_all_gets_all(root: logging.Logger) -> None:
    root.handlers[:] = [handler(logging.INFO), handler(logging.NOTSET)]
    raise_log_threshold()
    assert logging.getLogger("pymongo.command").isEnabledFor(logging.DEBUG)
