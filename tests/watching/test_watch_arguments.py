from __future__ import annotations

from typing import Any

import pytest
from scrapy.settings import Settings

from ali1688_spider import settings as defaults
from ali1688_spider.config import Config
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.spiders.watch import WatchSpider

CREDENTIALS = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"}


@pytest.fixture
def config() -> Config:
    values = {name: getattr(defaults, name) for name in dir(defaults) if name.isupper()}
    return Config.from_settings(Settings(values | CREDENTIALS))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"strategy": "often"}, "strategy is 'often': set it to one of adaptive, uniform"),
        ({"max_interval": "0"}, "max_interval is '0': set it to a number of seconds above 0"),
        ({"min_interval": "1h"}, "min_interval is '1h': set it to a number of seconds above 0"),
        ({"min_interval": "inf"}, "min_interval is 'inf': set it to a number of seconds above 0"),
        ({"max_interval": "60"}, "min_interval (600 s) is above max_interval (60 s): set both"),
        ({"max_pages": "3"}, "there is nothing to search for: say -a keyword=…"),
        ({"keyword": "杯子", "max_pages": "x"}, "max_pages is 'x': set it to a whole number"),
        ({"interval": "5"}, "the spider watch has no argument 'interval': it has "),
        ({"ids_file": "no-such-file"}, "ids_file 'no-such-file' cannot be read"),
    ],
)
def test_wrong_ones_are_named(config: Config, arguments: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        WatchSpider.check_arguments(config, arguments)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"ids": "610000000001", "strategy": "uniform"},
        {"keyword": "杯子", "max_pages": "3", "min_interval": "0.5", "max_interval": "0.5"},
    ],
)
def test_right_ones_pass(config: Config, arguments: dict[str, Any]) -> None:
    WatchSpider.check_arguments(config, arguments)
    assert WatchSpider(**arguments).has_source
