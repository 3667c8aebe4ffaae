"""What is missing or wrong is said before the crawl starts: one sentence, exit code 1."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.harness import Administration, Gateway, Scrapy

ID = "-a", "ids=610000000001"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ALI1688_APP_KEY": ""}, "ALI1688_APP_KEY is missing: put it into .env"),
        ({"ALI1688_APP_SECRET": ""}, "ALI1688_APP_SECRET is missing: put it into .env"),
        ({"ALI1688_PROTOCOL": "soap"}, "ALI1688_PROTOCOL is 'soap': set it to one of router,"),
        ({"ALI1688_LOG_FORMAT": "xml"}, "ALI1688_LOG_FORMAT is 'xml': set it to one of text, json"),
        ({"ALI1688_QPS": "fast"}, "ALI1688_QPS is 'fast': set it to a number of calls per second"),
        (
            {"ALI1688_GATEWAY": "https://user:pass-word@gateway:port/"},
            "ALI1688_GATEWAY is 'https://user:***@gateway:port/': set it to a URL such as https://",
        ),
        (
            {"ALI1688_PRODUCT_API": "product.got"},
            "ALI1688_PRODUCT_API is 'product.got': set it to one of alibaba.product.get",
        ),
        (
            {"REDIS_URL": "redis://:pass-word/0@localhost"},
            "REDIS_URL cannot be read: write redis://user:password@host",
        ),
        (
            {"MONGO_URI": "mongodb://user:pass-word@/@localhost"},
            "MONGO_URI cannot be read: write mongodb://user:password@host",
        ),
    ],
)
def test_a_wrong_setting(
    settings: dict[str, str], sentence: str, administration: Administration
) -> None:
    crawl = administration.run("crawl", "product", *ID, **settings)
    assert crawl.exit_code == 1
    assert crawl.log.startswith(f"Error: {sentence}")
    assert crawl.log.endswith(".\n")
    assert crawl.log.count("\n") == 1
    assert "pass-word" not in crawl.log


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["product"], "there is nothing to collect: say which products with -a ids="),
        (["product", "-a", "id=1"], "the spider product has no argument 'id': it has "),
        (["product", "-a", "ids_file=none"], "ids_file 'none' cannot be read (No such file"),
        (["product", "-a", "ids_file=."], "ids_file '.' cannot be read (Is a directory)"),
        (["product", "-a", "calls_file=none"], "calls_file 'none' cannot be read ("),
        (["product", *ID, "-a", "idle=soon"], "idle is 'soon': set it to a number of seconds"),
        (["search"], "there is nothing to search for: say -a keyword="),
        (["search", "-a", "keyword=x", "-a", "category_id=5"], "alibaba.product.search cannot "),
        (["search", "-a", "keyword=x", "-a", "max_pages=0"], "max_pages is '0': set it to a "),
        (["produkt", *ID], "there is no spider 'produkt': say one of product, search"),
    ],
)
def test_a_wrong_argument(
    arguments: list[str], sentence: str, administration: Administration
) -> None:
    crawl = administration.run("crawl", *arguments)
    assert crawl.exit_code == 1
    assert crawl.log.startswith(f"Error: {sentence}")
    assert crawl.log.endswith(".\n")
    assert crawl.log.count("\n") == 1


def test_the_command_line_wins_and_no_crawl_starts(scrapy: Scrapy, gateway: Gateway) -> None:
    crawl = scrapy.run(
        *("crawl", "product", *ID, "-s", "ALI1688_MAX_ATTEMPTS=none"), ALI1688_MAX_ATTEMPTS="3"
    )
    assert crawl.exit_code == 1
    assert re.findall("^Error: (.*)$", crawl.log, re.MULTILINE) == [
        "ALI1688_MAX_ATTEMPTS is 'none': set it to a whole number of tries, 1 or more."
    ]
    assert "Traceback" not in crawl.log
    assert "Spider opened" not in crawl.log
    assert gateway.status()["calls"] == 0


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ALI1688_APP_SECERT", "is no setting: did you mean ALI1688_APP_SECRET?"),
        ("ALI1688_QSP", "is no setting: did you mean ALI1688_QPS?"),
        ("ALI1688_MONGO_URI", "is no setting: did you mean MONGO_URI?"),
        ("ALI1688_COLOUR_OF_TEA", "is no setting: remove it; scrapy init writes those known."),
    ],
)
def test_a_name_that_is_no_setting(
    name: str, sentence: str, administration: Administration
) -> None:
    for command in (["crawl", "product", *ID], ["doctor"], ["failed", "list"], ["push", "product"]):
        refused = administration.run(*command, **{name: "a secret"})
        assert refused.exit_code == 1
        assert refused.log == f"Error: {name} {sentence}\n"
        assert refused.stdout == ""
    assert administration.run("init", **{name: ""}).exit_code == 0
    assert administration.run("down", **{name: ""}).exit_code == 0


@pytest.mark.parametrize("place", ["environment", ".env", "-s"])
def test_a_name_that_is_no_setting_wherever_it_is(
    place: str, scrapy: Scrapy, gateway: Gateway
) -> None:
    environment, options = {}, []
    if place == "environment":
        environment = {"ALI1688_CACHE_TIL": "0"}
    elif place == ".env":
        (scrapy.folder / ".env").write_text("ALI1688_CACHE_TIL=0\n")
        (scrapy.folder / ".env").chmod(0o600)
    else:
        options = ["-s", "ALI1688_CACHE_TIL=0"]
    crawl = scrapy.run("crawl", "product", *ID, *options, **environment)
    assert crawl.exit_code == 1
    assert crawl.log.endswith(
        "Error: ALI1688_CACHE_TIL is no setting: did you mean ALI1688_CACHE_TTL?\n"
    )
    assert gateway.status()["calls"] == 0
    assert scrapy.run("crawl", "-h", *options, **environment).exit_code == 0


def test_names_of_others_are_a_hint(scrapy: Scrapy, mongo_uri: str) -> None:
    crawl = scrapy.crawl("product", *ID, MONGODB_URI=mongo_uri, REDIS_HOST="localhost")
    assert re.findall("WARNING: (.* crawls read .*)$", crawl.log, re.MULTILINE) == [
        "MONGODB_URI is set, but MONGO_URI is not: crawls read MONGO_URI alone",
        "REDIS_HOST is set, but REDIS_URL is not: crawls read REDIS_URL alone",
    ]
    set_too = scrapy.crawl("product", *ID, MONGODB_URI=mongo_uri, MONGO_URI=mongo_uri)
    assert "WARNING" not in set_too.log
