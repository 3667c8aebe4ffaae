"""What the images are made of; tests/deployment/test_images.py builds them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deployment.images import missing

ROOT = Path(__file__).parents[2]

_COPY = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)


def _lines(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text().splitlines() if line and line[0] != "#"]


def test_the_images_are_sent_what_they_copy_and_nothing_else() -> None:
    copied = {
        source
        for sources in _COPY.findall((ROOT / "Dockerfile").read_text())
        for source in sources.split()
    }
    everything, *rules = _lines(".dockerignore")
    assert everything == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_programs_of_the_images_run_without_rights() -> None:
    users: dict[str, str] = {}
    for line in _lines("Dockerfile"):
        words = line.split()
        if words[0] == "FROM":
            stage = words[3]
            users[stage] = users.get(words[1], "root")
        elif words[0] == "USER":
            users[stage] = words[1]
    assert users["worker"] == users["scrapyd"] == "10001:10001"


def test_what_is_missing_to_build_images_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing().endswith("apt install buildah debootstrap")
    for name in ("buildah", "debootstrap"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert missing() == "images are built as root: run this as root"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert missing() == ""
