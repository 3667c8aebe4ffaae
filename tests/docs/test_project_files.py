"""How to contribute, to cite and what runs before commits is said as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

import ali1688_spider
from tests.docs.pages import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_targets_that_are_named_are_there() -> None:
    for name in ("CONTRIBUTING.md", "README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for command in re.findall(r"`make ([a-z -]+)`|^make ([a-z -]+)", text, re.MULTILINE):
            assert {*" ".join(command).split()} <= TARGETS, name


def test_the_hooks_are_the_checks_of_ci() -> None:
    file = ROOT / ".pre-commit-config.yaml"
    tool = Path(sys.executable).with_name("pre-commit")
    subprocess.run([tool, "validate-config", file], check=True)
    hooks = yaml.safe_load(file.read_text())["repos"][0]["hooks"]
    commands = [hook["entry"].split() for hook in hooks]
    assert all(words[0] == "make" and words[-1] in TARGETS for words in commands)
    assert "pre-commit run --all-files" in (ROOT / ".ci" / "run").read_text()


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == ali1688_spider.__version__
    assert cited["title"] == "ali1688_spider"
