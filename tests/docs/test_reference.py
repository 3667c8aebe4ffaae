"""The reference has all that the code has, and nothing else."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

import ali1688_spider
from ali1688_spider.config import DEFAULTS
from ali1688_spider.gateway.errors import CallError
from ali1688_spider.items import Product
from ali1688_spider.monitoring.metrics import descriptions
from ali1688_spider.monitoring.state import State
from docs.generator.pages import FOLDER, PAGES
from tests.docs.pages import ROOT, first_column
from tests.docs.test_commands import SPIDERS, arguments_of, options_of
from tests.monitoring.counted import statistics_of_the_code

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = ROOT / "ali1688_spider"
SOURCES = {file: file.read_text() for file in PACKAGE.rglob("*.py")}

SCRAPYS_REASONS = {"finished", "shutdown", "cancelled"} | {
    f"closespider_{limit}" for limit in ("itemcount", "pagecount", "timeout")
}
"""Close reasons that Scrapy gives, and which are no failure."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_the_code_says(name: str) -> None:
    written = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert written == PAGES[name](), "make reference writes it"


def test_every_page_is_made_or_compared() -> None:
    assert {page.stem for page in FOLDER.glob("*.md")} == {*PAGES, "status", "index"}


def test_settings() -> None:
    page = FOLDER / "settings.md"
    ours = [name for name in first_column(page) if name in DEFAULTS]
    assert ours == list(DEFAULTS)


def test_commands() -> None:
    text = (FOLDER / "commands.md").read_text()
    sections = dict(re.findall(r"^## scrapy (\w+)\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(sections) == set(project["entry-points"]["scrapy.commands"])
    common = re.findall(r"(?<=[`\s])--?[\w-]+", text.partition("## Options of every command")[2])
    for name, section in sections.items():
        shown = re.findall(r"^\| `(.*?)` \|", section, re.MULTILINE)
        options = {option for cell in shown for option in re.findall(r"(?<!\S)--?[\w-]+", cell)}
        assert options == options_of(name) - {"-h", "--help", *common}, name


def test_arguments() -> None:
    page = FOLDER / "arguments.md"
    common = first_column(page, "Every spider")
    for spider in SPIDERS:
        shown = [*common, *first_column(page, f"scrapy crawl {spider}")]
        assert sorted(name for name in shown if name not in "10") == sorted(arguments_of(spider))


def test_statistics() -> None:
    shown = [name for name in first_column(FOLDER / "statistics.md") if "{" not in name]
    assert len(shown) == len(set(shown))
    counted = {name for name in statistics_of_the_code() if "spider_exceptions/V" not in name}
    receiver = SOURCES[PACKAGE / "commands" / "receive.py"]
    received = set(re.findall(r'_RefusedError\(\d+, "(\w+)"', receiver)) - {"malformed"}
    assert received
    scrapys = {"log_count/WARNING", "log_count/CRITICAL", "spider_exceptions/count"}
    assert set(shown) == counted | {f"ali1688/hints/{name}" for name in received} | scrapys


def test_metrics() -> None:
    shown = first_column(FOLDER / "metrics.md")
    assert shown == [each.name for each in descriptions()]


def test_close_reasons() -> None:
    forms = r'CloseSpider\("(\w+)"|_end\("(\w+)"|_close\(\w+, "(\w+)"|^INCOMPLETE = "(\w+)"'
    found = {
        name
        for text in SOURCES.values()
        for match in re.findall(forms, text, re.MULTILINE)
        for name in match
        if name
    }
    found |= {error.close_reason for error in descendants(CallError)} - {""}
    assert set(first_column(FOLDER / "errors.md", "Close reasons")) == found | SCRAPYS_REASONS


def test_error_classes() -> None:
    found = {vars(error).get("error_class") for error in descendants(CallError)} - {None}
    assert set(first_column(FOLDER / "errors.md", "Errors of calls")) == found


def descendants(base: type[CallError]) -> Iterator[type[CallError]]:
    for error in base.__subclasses__():
        yield error
        yield from descendants(error)


def test_exit_codes() -> None:
    found = {code for file, text in SOURCES.items() for code in exit_codes(file.stem, text)}
    shown = {int(code) for code in first_column(FOLDER / "errors.md", "Exit codes")}
    assert shown == found | {2}  # Scrapy's, of UsageError


def exit_codes(name: str, text: str) -> Iterator[int]:
    """Yield the exit codes that a module sets, whichever way they are chosen."""
    names = vars(ali1688_spider) if name == "__init__" else project_names()
    for node in ast.walk(ast.parse(text)):
        is_exit = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self.exitcode"
        is_discard = isinstance(node, ast.Call) and "_discard_output" in ast.unparse(node.func)
        if is_exit:
            values = [node.value]
        elif is_discard or (isinstance(node, ast.Call) and ast.unparse(node.func) == "sys.exit"):
            values = list(node.args)
        else:
            continue
        for value in values:
            choices = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            for choice in choices:
                if ast.unparse(choice) not in ("self.exitcode", "exit_code"):
                    yield int(eval(ast.unparse(choice), dict(names)))


def project_names() -> dict[str, Any]:
    return vars(import_module("ali1688_spider.project_command"))


def test_fields_of_the_record() -> None:
    assert first_column(FOLDER / "record.md", "Product") == list(Product.model_fields)


def test_fields_of_the_state() -> None:
    shown = {name for name in first_column(FOLDER / "status.md") if name in State.__slots__}
    assert shown == set(State.__slots__)
