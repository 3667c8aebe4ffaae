"""``scrapy init`` and ``scrapy sandbox --env``: the first minutes of a user."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.config import DEFAULTS
from tests.forked_sandbox import start_sandbox
from tests.harness import ROOT
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ali1688_spider.local_servers import Server
    from tests.harness import Administration, Process, Scrapy

EXAMPLE = (ROOT / "ali1688_spider" / "env.example").read_text()


@pytest.fixture
def user(scrapy: Scrapy) -> Scrapy:
    """A folder whose settings come from its ``.env`` alone."""
    scrapy.settings.clear()
    return scrapy


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def trial(user: Scrapy, port: int) -> Iterator[Server]:
    """The sandbox that the ``.env`` of the folder is for."""
    env = user.run("sandbox", "--env", "--port", str(port)).ended_well()
    (user.folder / ".env").write_text(env.stdout)
    (user.folder / ".env").chmod(0o600)
    server = start_sandbox(user.folder / "sandbox", port=port)
    yield server
    server.stop()


def mode_of_env(user: Scrapy) -> int:
    return stat.S_IMODE((user.folder / ".env").stat().st_mode)


def warnings(crawl: Process) -> list[str]:
    """Return the warnings of a crawl, beside that it stores nothing."""
    lines = [line for line in crawl.log.splitlines() if " WARNING: " in line]
    return [line for line in lines if "MONGO_URI is empty" not in line]


def test_the_example_is_one_text_that_knows_every_setting() -> None:
    assert (ROOT / ".env.example").read_text() == EXAMPLE
    lines = (line.partition("=") for line in EXAMPLE.splitlines() if line[:1] not in ("", "#"))
    written = {name: value for name, _, value in lines}
    assert written.keys() == DEFAULTS.keys()
    own_default = {name for name, value in written.items() if value == str(DEFAULTS[name])}
    assert written.keys() - own_default == {"ALI1688_PROTOCOL", "ALI1688_CHANGE_FIELDS"}


def test_init_writes_the_example_once(administration: Administration) -> None:
    folder = administration.scrapy.folder
    first = administration.run("init")
    assert first.exit_code == 0
    assert (folder / ".env").read_text() == EXAMPLE
    assert mode_of_env(administration.scrapy) == 0o600
    for step in ("ALI1688_APP_KEY", "scrapy auth --redirect-uri URL", "scrapy doctor"):
        assert step in first.stdout

    (folder / ".env").write_text("ALI1688_APP_KEY=mine\n")
    again = administration.run("init")
    assert again.exit_code == 1
    assert again.log == f"Error: {folder}/.env is there already: scrapy init --force replaces it.\n"
    assert (folder / ".env").read_text() == "ALI1688_APP_KEY=mine\n"
    assert administration.run("init", "--force").exit_code == 0
    assert (folder / ".env").read_text() == EXAMPLE


def test_what_init_writes_lacks_the_credentials_alone(user: Scrapy) -> None:
    user.run("init").ended_well()
    crawl = user.run("crawl", "product", "-a", "ids=1")
    assert crawl.exit_code == 1
    assert "Error: ALI1688_APP_KEY is missing: put it into .env (scrapy init" in crawl.log


@pytest.mark.usefixtures("trial")
def test_a_trial_needs_no_account(user: Scrapy, port: int) -> None:
    assert (
        f"ALI1688_GATEWAY=http://127.0.0.1:{port}/openapi\n" in (user.folder / ".env").read_text()
    )
    search = user.crawl("search", "-a", "keyword=杯子", "-O", "cups.jsonl")
    assert 50 < len(user.read("cups.jsonl")) <= 300
    assert search.stats["ali1688/calls"] < 10
    assert warnings(search) == []


@pytest.mark.usefixtures("trial")
def test_a_search_that_finds_nothing_says_so(user: Scrapy) -> None:
    arguments = ("search", "-a", "keyword=飞机", "-a", "price_end=5", "-a", "filter=new7")
    search = user.crawl_incompletely(*arguments)
    [warning] = warnings(search)
    assert warning.endswith(
        "WARNING: keyword '飞机' finds nothing: try a shorter word, or a Chinese one, or leave out "
        "price_end, filter"
    )
    category = user.crawl_incompletely("search", "-a", "category_id=1")
    [warning] = warnings(category)
    assert warning.endswith("category 1 finds nothing: scrapy categories prints their ids")


def test_the_env_of_a_sandbox_has_its_options(user: Scrapy) -> None:
    options = ["--protocol", "top", "--qps", "7", "--app-key", "42", "--access-token", "abc"]
    printed = user.run("sandbox", "--env", *options).ended_well().stdout.splitlines()
    assert {
        *("ALI1688_APP_KEY=42", "ALI1688_APP_SECRET=test123", "ALI1688_ACCESS_TOKEN=abc"),
        *("ALI1688_PROTOCOL=top", "ALI1688_GATEWAY=http://127.0.0.1:8080/router/rest"),
        "ALI1688_QPS=7",
    } < set(printed)


@pytest.mark.parametrize("columns", ["60", "80", "100", "200"])
def test_the_help_of_the_sandbox_shows_every_option_and_default(user: Scrapy, columns: str) -> None:
    from ali1688_spider.sandbox.options import Options

    shown = user.run("sandbox", "-h", COLUMNS=columns).ended_well().stdout
    text = " ".join(shown.partition("Global Options")[0].split())
    for field in Options.model_fields.values():
        assert field.description in text
    assert text.count(" by default)") == len(Options.model_fields)
    assert "(100000 by default)" in text
