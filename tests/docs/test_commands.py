"""What pages tell readers to type is what the commands understand."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from scrapy.settings import default_settings

from ali1688_spider import settings as project_settings
from ali1688_spider.config import DEFAULTS
from ali1688_spider.spiders.product import ProductSpider
from ali1688_spider.spiders.search import SearchSpider
from ali1688_spider.spiders.watch import WatchSpider
from docs.generator.configuration import command_parsers
from tests.docs.pages import all_pages, code_in, command_lines, commands_of, page_name

if TYPE_CHECKING:
    from pathlib import Path

    from ali1688_spider.spiders.base import ApiSpider

PAGES = all_pages()
SPIDERS: dict[str, type[ApiSpider]] = {
    spider.name: spider for spider in (ProductSpider, SearchSpider, WatchSpider)
}
_SCRAPYS_COMMANDS = {"list", "version", "settings"}
_SETTING = re.compile(r"\b(?:ALI1688|MONGO|REDIS)_[A-Z_]+\b")
_NO_SETTINGS = {"ALI1688_NAME", "REDIS_START_URLS_KEY", "REDIS_PARAMS"}
"""A name that the reader chooses, and those of scrapy-redis."""


def options_of(name: str) -> set[str]:
    parser = command_parsers()[name]
    return {option for action in parser._actions for option in action.option_strings}


def arguments_of(spider: str) -> set[str]:
    fields = SPIDERS[spider].arguments_class.model_fields.items()
    return {field.alias or name for name, field in fields}


def check(words: list[str]) -> None:
    """Assert that a command is understood; what stands for something is a word as all others."""
    if not words or not re.fullmatch(r"[a-z]+", words[0]):
        return  # the program itself, or a name that the reader chooses
    name, *rest = words
    if name in _SCRAPYS_COMMANDS:
        return
    assert name in command_parsers(), f"there is no command {name}"
    options = [word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)]
    unknown = set(options) - options_of(name)
    assert not unknown, f"scrapy {name} has no option {unknown}"
    following = list(pairwise(rest))
    settings = [value.partition("=")[0] for option, value in following if option == "-s"]
    for setting in settings:
        assert hasattr(project_settings, setting) or setting in [*dir(default_settings), "NAME"]
    if name == "crawl" and rest and rest[0] in SPIDERS:
        given = {value.partition("=")[0] for option, value in following if option == "-a"}
        assert given - {"NAME"} <= arguments_of(rest[0])


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_are_understood(page: Path) -> None:
    for words in command_lines(page):
        check(words)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_settings_that_are_named_are_settings(page: Path) -> None:
    named = {name for code in code_in(page) for name in _SETTING.findall(code)}
    beginnings = {name for name in named if name.endswith("_")}  # ALI1688_… stands for all
    assert named - beginnings - _NO_SETTINGS <= DEFAULTS.keys()


@pytest.mark.parametrize(
    "line",
    [
        "scrapy harvest",
        "scrapy export --colour products.csv",
        "scrapy crawl product -a id=1",
        "scrapy crawl product -s ALI1688_SPEED=1",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    (words,) = commands_of(line)
    with pytest.raises(AssertionError):
        check(words)


def test_there_are_commands() -> None:
    assert sum(1 for page in PAGES for _ in command_lines(page)) > 100
