"""Links lead somewhere, and files that pages name are there; other hosts are not asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT, all_pages, code_in, headings, links, page_name

if TYPE_CHECKING:
    from pathlib import Path

_FILE = re.compile(
    r"(?:ali1688_spider|benchmarks|deploy|docs|examples|requirements|tests)/[\w./-]*[\w/]"
)
_MADE_UP = re.compile(r"NAME|THE_|<|\*")
"""What stands for a name that the reader chooses."""

PAGES = all_pages()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_files_that_are_named_are_there(page: Path) -> None:
    for code in code_in(page):
        for name in _FILE.findall(code):
            is_part = re.search(rf"[\w:/.-]{re.escape(name)}", code)  # of an address, for example
            if not _MADE_UP.search(name) and not is_part:
                assert (ROOT / name.rstrip("/")).exists(), name


def test_there_are_pages_and_links() -> None:
    assert len(PAGES) > 30
    assert sum(1 for page in PAGES for _ in links(page)) > 100
