"""The two READMEs tell the same: the same commands, settings and links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT, links, tokens

if TYPE_CHECKING:
    from pathlib import Path

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
_SETTING = re.compile(r"\b(?:ALI1688|MONGO|REDIS)_[A-Z_]+(?:=[\w.]+)?")


def blocks(page: Path) -> list[str]:
    """Return the blocks of code, without their comments."""
    fences = (token.content for token in tokens(page) if token.type == "fence")
    return [re.sub(r"\s+#.*", "", block) for block in fences]


def commands(page: Path) -> set[str]:
    """Return the commands that stand in lines of text."""
    codes = {token.content for token in tokens(page) if token.type == "code_inline"}
    return {code for code in codes if re.match(r"(?:scrapy|make) ", code)}


def settings(page: Path) -> set[str]:
    return set(_SETTING.findall(page.read_text(encoding="utf-8")))


def other_readmes_links(page: Path) -> list[str]:
    return [link for link in links(page) if not link.startswith("README")]


@pytest.mark.parametrize("what", [blocks, commands, settings, other_readmes_links])
def test_both_have_the_same(what: object) -> None:
    assert callable(what)
    english = what(ENGLISH)
    assert english
    assert english == what(CHINESE)


def test_the_first_screen_shows_what_it_does_and_how_to_run_it() -> None:
    for page in (ENGLISH, CHINESE):
        lines = page.read_text(encoding="utf-8").splitlines()
        assert any("make demo" in line for line in lines[:45])
        assert len(lines) < 150
