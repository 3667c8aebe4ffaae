"""Reads the command lines of deployment files as the project's own commands read them."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader

from ali1688_spider.commands.push import SPIDERS
from ali1688_spider.config import DEFAULTS, Config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrapy.commands import ScrapyCommand

SECRETS = {
    "ALI1688_APP_KEY": "1000000",
    "ALI1688_APP_SECRET": "test123",
    "ALI1688_DASHBOARD_TOKEN": "token-of-the-dashboard",
    "REDIS_URL": "redis://redis.example:6379/0",
    "MONGO_URI": "mongodb://mongo.example:27017/",
}
"""What every deployment has to be told."""

KNOWN_NAMES = {*DEFAULTS, "LOG_LEVEL"}
"""Variables that the project reads."""


def project_settings(values: Mapping[str, str]) -> Settings:
    """Return the project's settings with these values."""
    settings = Settings()
    settings.setmodule("ali1688_spider.settings", priority="project")
    settings.setdict(dict(values), priority="cmdline")
    return settings


def check_command(words: Sequence[str], values: Mapping[str, str] = SECRETS) -> dict[str, Any]:
    """Return the options of ``scrapy WORDS``, run with these settings.

    Raises:
        AssertionError: The command has no such option, or no such spider.
        ConfigurationError: A setting or an argument of the spider is wrong.
    """
    name, *arguments = words
    command: ScrapyCommand = import_module(f"ali1688_spider.commands.{name}").Command()
    command.settings = settings = project_settings(values)
    parser = argparse.ArgumentParser(exit_on_error=False)
    command.add_options(parser)
    options, others = parser.parse_known_args(arguments)
    command.process_options(others, options)
    assert not [each for each in others if each.startswith("-") and each != "-"], others
    config = Config.from_settings(settings)
    if name == "push":
        assert others[0] in SPIDERS, others
    if name == "crawl":
        loader = SpiderLoader.from_settings(settings)
        assert others[0] in loader.list(), others
        spider: Any = loader.load(others[0])
        spider.check_arguments(config, options.spargs)
    return vars(options) | {"others": others}
