"""Every text of the dashboard is in a table, in both languages, and its table has no other."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from ali1688_spider import dashboard, monitoring, shutdown
from ali1688_spider.dashboard.texts import CHINESE_TEXTS
from ali1688_spider.reporting.texts import CHINESE

FOLDER = Path(dashboard.__file__).parent
TEMPLATES = sorted(FOLDER.glob("templates/*.html"))
MODULES = sorted(
    {*FOLDER.glob("*.py"), *Path(monitoring.__file__).parent.glob("*.py")} - {FOLDER / "texts.py"}
)
CODE = r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}"
SAID = r'\b(?:text|figure|fact)\(\s*"((?:[^"\\]|\\.)*)"'


def source(file: Path) -> str:
    """Return a file's text; strings that stand one after the other are one."""
    return re.sub(r'"\n\s+"', "", file.read_text())


def placeholders(pattern: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}


@pytest.mark.parametrize("english", CHINESE_TEXTS)
def test_both_languages_say_the_same(english: str) -> None:
    chinese = CHINESE_TEXTS[english]
    for form in english.split("|"):
        assert placeholders(form) == placeholders(chinese)
    assert ("|" not in english) or "n" in placeholders(english)
    assert not re.search("[,:;!?] ", chinese), "it has marks of English"


def test_no_text_is_in_both_tables() -> None:
    assert CHINESE_TEXTS.keys() & CHINESE.keys() == set()


def test_every_text_is_used() -> None:
    advice_at_close = Path(shutdown.__file__)
    sources = "".join(map(source, [*TEMPLATES, *MODULES, advice_at_close]))
    assert [english for english in CHINESE_TEXTS if f'"{english}"' not in sources] == []


def test_advice_for_crawls_that_ended_early_is_in_both_languages() -> None:
    assert set(shutdown.ENDED_EARLY.values()) <= CHINESE_TEXTS.keys()


@pytest.mark.parametrize("file", [*TEMPLATES, *MODULES], ids=lambda file: file.name)
def test_no_text_is_missing(file: Path) -> None:
    said = set(re.findall(SAID, source(file)))
    for columns in re.findall(r"(?:columns = |live_table\(|call table\()[^\n]*", file.read_text()):
        for listed in re.findall(r"\[([^\]]*)\]", columns):
            said |= set(re.findall('"([^"]+)"', listed))
    assert {each for each in said if each not in CHINESE_TEXTS | CHINESE} == set()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.name)
def test_templates_have_no_text_of_their_own(template: Path) -> None:
    markup = re.sub("<[^<>]*>", "", re.sub(CODE, "", template.read_text(), flags=re.DOTALL))
    assert re.findall("[A-Za-z]{2,}", markup) == []
