"""Reads the project's Markdown."""

from __future__ import annotations

import re
import shlex
import subprocess
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
_MARKDOWN = MarkdownIt("commonmark").enable("table")


def all_pages() -> list[Path]:
    """Return every page of the project but the list of changes."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,  # an unpacked archive is no checkout
    ).stdout.split()
    found = [ROOT / name for name in listed] or [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "benchmarks").rglob("*.md"),
    ]
    return sorted(page for page in found if page.name != "CHANGELOG.md" and page.exists())


def page_name(page: Path) -> str:
    """Return how a test calls a page."""
    return str(page.relative_to(ROOT))


def tokens(page: Path) -> Iterator[Token]:
    """Yield the parts of a page, those of its lines too."""
    for token in _MARKDOWN.parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def links(page: Path) -> Iterator[str]:
    """Yield where the links of a page lead to."""
    for token in tokens(page):
        if token.type in ("link_open", "image"):
            yield str(token.attrs.get("href") or token.attrs.get("src"))


def headings(page: Path) -> Iterator[str]:
    """Yield the anchors of a page's headings, as Git hosts and MyST make them."""
    parts = list(_MARKDOWN.parse(page.read_text(encoding="utf-8")))
    for opening, inline in pairwise(parts):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            yield re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def code_in(page: Path) -> Iterator[str]:
    """Yield the code in a page: what stands in its lines, and its blocks."""
    for token in tokens(page):
        if token.type in ("code_inline", "fence", "code_block"):
            yield token.content


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command ``scrapy …`` in the code of a page, without ``scrapy``."""
    for token in tokens(page):
        if token.type == "code_inline" and token.content.startswith("scrapy "):
            yield from commands_of(token.content)
        elif token.type == "fence" and token.info in ("bash", "console", "sh"):
            yield from chain.from_iterable(map(commands_of, _typed(token)))


def _typed(fence: Token) -> Iterator[str]:
    """Yield the commands that a reader types, each with the lines that it goes on in."""
    lines = fence.content.replace("\\\n", " ").splitlines()
    if fence.info == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    begun = ""
    for line in lines:
        begun += line
        if begun.count("'") % 2 or begun.count('"') % 2:
            begun += " "  # a quote that is open
        else:
            yield begun
            begun = ""


def commands_of(line: str) -> Iterator[list[str]]:
    """Yield the words after each ``scrapy`` in a line of a shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";&|()<>"):
            places = [place for place, each in enumerate(words) if each.split("/")[-1] == "scrapy"]
            if places:
                yield words[places[0] + 1 :]
            words = []
        else:
            words.append(word)


def first_column(page: Path, heading: str = "") -> list[str]:
    """Return the codes in the first column of a page's tables, or of those below a heading."""
    text = page.read_text(encoding="utf-8")
    if heading:
        text = re.split(rf"^#+ {re.escape(heading)}\n", text, flags=re.MULTILINE)[1]
        text = re.split(r"^## ", text, flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
