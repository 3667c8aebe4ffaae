from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def rows_of(text: str) -> dict[str, list[str]]:
    """The first cells of the rows of each table, by its title."""
    tables: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("## "):
            tables[line.removeprefix("## ")] = rows = []
        elif line.startswith("| "):
            rows.append(line.split(" | ")[0].removeprefix("| "))
    return {title: rows[1:] for title, rows in tables.items()}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--output", str(folder), *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.benchmarks
def test_the_tables_have_all_rows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = run(tmp_path, "--quick", "--only", "throughput,queue,idle")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert rows_of(text) == {
        "Throughput of one worker": [
            "this project",
            "stock scrapy-redis",
            "stock scrapy-redis, 32 at once",
            "stock scrapy-redis, 32 at once, LOG_LEVEL=INFO",
            "Scrapy in memory",
            "plain aiohttp",
        ],
        "What a queued product costs in Redis": [
            "this project",
            "stock scrapy-redis",
            "plain LPUSH",
        ],
        "An idle worker": ["this project", "stock scrapy-redis"],
    }
    assert "Written by `python -m benchmarks" in text
    assert "Scrapy 2." in text
    assert "<svg" in (tmp_path / "results.svg").read_text(encoding="utf-8")


@pytest.mark.benchmarks
def test_large_numbers_have_a_file_of_their_own(tmp_path: Path) -> None:
    done = run(tmp_path, "--quick", "--only", "large")
    assert done.returncode == 0, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["large_numbers.md"]
    text = (tmp_path / "large_numbers.md").read_text(encoding="utf-8")
    assert {title: len(rows) for title, rows in rows_of(text).items()} == {
        "Watched products in Redis": 1,
        "Watched products in a file": 1,
        "Stored products": 8,
    }


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "--only", "nothing")
    assert done.returncode == 2
    known = "throughput, features, queue, idle, rate, growth, dashboard, large"
    assert f"'nothing' is none of {known}" in done.stderr
