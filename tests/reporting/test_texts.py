"""Every text of the page is in the table, in both languages, and the table has no other."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from ali1688_spider import reporting
from ali1688_spider.reporting.texts import CHINESE, Text, sentences, text

FOLDER = Path(reporting.__file__).parent


def placeholders(pattern: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}


@pytest.mark.parametrize("english", CHINESE)
def test_both_languages_say_the_same(english: str) -> None:
    for form in english.split("|"):
        assert placeholders(form) == placeholders(CHINESE[english])
    assert ("|" not in english) or "n" in placeholders(english)
    assert not re.search("[,:;!?] ", CHINESE[english]), "it has marks of English"


def test_every_text_is_used() -> None:
    files = [*FOLDER.glob("*.py"), *FOLDER.glob("templates/*.html")]
    sources = "".join(each.read_text() for each in files if each.name != "texts.py")
    assert [english for english in CHINESE if f'"{english}"' not in sources] == []


def test_templates_have_no_text_of_their_own() -> None:
    for template in FOLDER.glob("templates/*.html"):
        code = r"(?s)\{% block policy %\}.*?endblock|\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}"
        markup = re.sub("<[^<>]*>", "", re.sub(code, "", template.read_text()))
        assert set(re.findall("[A-Za-z]{2,}", markup)) <= {"English"}, template


def test_values_are_filled_in() -> None:
    one, many = (text("{n} product|{n} products", n=n) for n in (1, 2000))
    assert (one, many) == (("1 product", "1 个商品"), ("2,000 products", "2,000 个商品"))
    assert text("{what}.", what=many) == ("2,000 products.", "2,000 个商品。")
    assert text("{title}: none.", title="{n}").en == "{n}: none."
    assert sentences([one, many]) == ("1 product 2,000 products", "1 个商品2,000 个商品")


def test_markup_is_escaped() -> None:
    hostile = Text('<b>"', "<i>'")
    assert hostile.__html__() == '<span data-zh="&lt;i&gt;&#39;">&lt;b&gt;&#34;</span>'
    assert hostile.label == 'aria-label="&lt;b&gt;&#34;" data-zh-label="&lt;i&gt;&#39;"'
    assert Text("<b>", "<b>").__html__() == "&lt;b&gt;"
