"""Markdown, and what the docstrings of the code say, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from textwrap import dedent

_ROLE = re.compile(r":(?:class|meth|func|data|attr|mod):`[.~]*(?:[\w.]+ <)?([^`>]+)>?`")
_ATTRIBUTE = re.compile(r"    (\w+): (.*)")
_TERM = re.compile(r"``.+``")


def page(title: str, *parts: str) -> str:
    """Return a page of a title and its parts."""
    made = "<!-- Made from the code by `make reference`: change it there. -->"
    return "\n\n".join([made, f"# {title}", *(dedent(part).strip("\n") for part in parts)]) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def code(text: object) -> str:
    """Return *text* as code; nothing for an empty one."""
    return f"`{text}`" if str(text) else ""


def of_docstring(text: str) -> str:
    """Return the Markdown of a docstring's reStructuredText: a paragraph, or a part of one."""
    text = _ROLE.sub(lambda match: f"`{match[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


def summary(of: object) -> str:
    """Return the first paragraph of a docstring, on one line."""
    first = (inspect.getdoc(of) or "").split("\n\n")[0]
    return of_docstring(" ".join(first.split()))


def attributes(*classes: type) -> dict[str, str]:
    """Return what the sections ``Attributes`` of docstrings say, by name, on one line each."""
    said: dict[str, str] = {}
    for each in classes:
        _, _, section = (inspect.getdoc(each) or "").partition("Attributes:\n")
        name = ""
        for line in section.splitlines():
            if match := _ATTRIBUTE.fullmatch(line):
                name = match[1]
                said[name] = match[2]
            elif line.startswith("        "):
                said[name] += f" {line.strip()}"
            else:
                break
    return {name: of_docstring(text) for name, text in said.items()}


def definitions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the terms of a definition list in a docstring, and what each means, on one line.

    A term without lines below it says all by itself: its meaning is empty.
    """
    term, meaning, is_prose = "", list[str](), False
    for line in [*inspect.cleandoc(text).splitlines(), ""]:
        if term and line.startswith("    "):
            meaning.append(line.strip())
            continue
        if term:
            yield of_docstring(term), of_docstring(" ".join(meaning))
        term, meaning = "" if is_prose or not _TERM.match(line) else line, []
        is_prose = bool(line) and not term
