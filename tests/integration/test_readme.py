"""The commands of README do what it says, typed one after the other into a shell."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT, tokens
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCKS = [token.content for token in tokens(ROOT / "README.md") if token.type == "fence"]


def block(command: str) -> str:
    """Return the block of README that has a command."""
    (found,) = (text for text in BLOCKS if command in text)
    return found


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A machine with nothing but the project: ``scrapy`` is on the PATH."""
    program = tmp_path / "bin" / "scrapy"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scrapy "$@"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings",
        "LANG": "C.UTF-8",
    }
    yield environment
    subprocess.run(["scrapy", "down"], cwd=tmp_path, env=environment, check=True)


def test_the_walk_and_what_people_do_first(tmp_path: Path, environment: dict[str, str]) -> None:
    port = str(free_port())
    walk = block("scrapy up --write").replace("8080", port)
    walk = walk.replace("sandbox --env", f"sandbox --env --port {port}")
    script = [
        "set -e",
        walk,
        "cp cups.xlsx ids.xlsx",
        block("ids_file=ids.xlsx"),
        block("-O cups.csv"),
        "scrapy report week.html",
        "kill %1",
    ]
    shell = subprocess.run(
        ["bash", "-m", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    said = shell.stdout + shell.stderr
    assert shell.returncode == 0, said
    assert "240 wanted: 240 collected" in said
    assert (tmp_path / "products.xlsx").exists()
    with (tmp_path / "cups.csv").open(encoding="utf-8-sig") as file:
        found = list(csv.DictReader(file))
    assert found
    assert all("保温杯" in row["name"] for row in found)
    prices = [float(row["price"]) for row in found if row["price"]]  # others are private
    assert prices
    assert max(prices) <= 20
    assert "<html" in (tmp_path / "week.html").read_text(encoding="utf-8")
