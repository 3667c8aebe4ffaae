"""A name means one thing in the whole package; ``make lint`` checks what may import what."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import ali1688_spider

PACKAGE = Path(ali1688_spider.__file__).parent
ROOT = PACKAGE.parent
DOCUMENT = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
FILES = sorted(PACKAGE.rglob("*.py"))

SAME_MEANING = {
    "__init__.py",
    "cache.py",  # the cache, and the middleware that asks it
    "queue.py",  # the queue, and the command that shows it
    "errors.py",  # the errors of calls, and the middleware that handles them
    "sandbox.py",  # a command bears the name of what it starts
    "reading.py",  # reads the report, and the state
    "server.py",  # the web server of the sandbox, and of the dashboard
    "texts.py",  # of the report, and of the dashboard
    "watch.py",  # the spider, the pipeline of its products, and the command that lists them
}
"""Files that may stand in several folders."""


def test_no_file_name_has_two_meanings() -> None:
    names = Counter(file.name for file in FILES)
    assert {name for name, count in names.items() if count > 1} <= SAME_MEANING


def test_no_class_name_has_two_meanings() -> None:
    names = Counter(
        node.name
        for file in FILES
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    del names["Command"]  # Scrapy's convention for the files of commands
    assert {name for name, count in names.items() if count > 1} == set()


def test_the_package_stays_small_enough_to_be_seen_whole() -> None:
    # A third of them are the platform itself: its APIs, and the sandbox that serves them all.
    assert len(FILES) <= 200


def test_the_document_names_the_layers_that_are_checked() -> None:
    rooms = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [layer.replace(" | ", ", ") for layer in rooms["contracts"][0]["layers"]]
    assert "\n".join(["```", *layers, "```"]) in DOCUMENT


def test_the_document_names_files_that_exist() -> None:
    names = set(re.findall(r"`([\w./]+(?:\.\w+|/))`", DOCUMENT)) - {"request.leases"}
    paths = {name for name in names if "/" in name or name.endswith((".py", ".toml"))}
    assert len(paths) > 40
    roots = [ROOT, PACKAGE, PACKAGE / "scheduling", PACKAGE / "gateway", PACKAGE / "quota"]
    roots += [PACKAGE / "storage", PACKAGE / "spiders"]
    assert {path for path in paths if not any((root / path).exists() for root in roots)} == set()
