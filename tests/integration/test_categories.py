"""``scrapy categories`` against the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness import Gateway, Scrapy

    Settings = Callable[[str], dict[str, str]]

ELECTRONICS, PHONES = 72, 7201


def test_the_topmost_categories_are_printed(scrapy: Scrapy, settings_for: Settings) -> None:
    ended = scrapy.run("categories", **settings_for("param2"))
    assert ended.exit_code == 0
    assert f"{ELECTRONICS}  数码家电  Electronics" in ended.stdout.splitlines()


def test_the_tree_is_printed_as_deep_as_wanted(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings
) -> None:
    ended = scrapy.run("categories", str(ELECTRONICS), "--depth", "2", **settings_for("param2"))
    lines = ended.stdout.splitlines()
    assert lines[:2] == [f"{PHONES}  手机周边  Phones", "  1046  手机配件  Phone accessories"]
    branches = sum(not line.startswith(" ") for line in lines)
    assert gateway.calls == 1 + branches


def test_names_are_in_the_language_that_is_set(scrapy: Scrapy, settings_for: Settings) -> None:
    settings = settings_for("param2") | {"ALI1688_COUNTRY": "ja"}
    assert "[ja] Electronics" in scrapy.run("categories", **settings).stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["999999"], "category 999999 cannot be opened: 400: 类目不存在"),
        (["cups"], "say one category by its number"),
        (["--depth", "0"], "--depth is below 1"),
    ],
)
def test_a_mistake_is_one_sentence(
    scrapy: Scrapy, settings_for: Settings, arguments: list[str], sentence: str
) -> None:
    ended = scrapy.run("categories", *arguments, **settings_for("param2"))
    assert ended.exit_code == 1
    assert sentence in ended.log
    assert "Traceback" not in ended.log


def test_a_quota_that_is_used_up_is_not_waited_for(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings
) -> None:
    settings = settings_for("param2") | {"ALI1688_DAILY_QUOTA": "1"}
    ended = scrapy.run("categories", "--depth", "2", **settings)
    assert ended.exit_code == 1
    assert "the day's calls are used up" in ended.log
    assert gateway.calls == 1


def test_other_protocols_have_no_categories(scrapy: Scrapy, settings_for: Settings) -> None:
    ended = scrapy.run("categories", **settings_for("router"))
    assert "set ALI1688_PROTOCOL" in ended.log
