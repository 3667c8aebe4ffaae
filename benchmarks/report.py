"""Writes ``results.md`` and ``large_numbers.md``: tables, and on what they were measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ali1688_spider.local_servers import redis_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.stage import Stage
    from benchmarks.table import Table

PACKAGES = ("Scrapy", "scrapy-redis", "aiohttp", "uvloop", "redis", "pymongo", "secantusdb")

INTRODUCTION = """\
# {title}

Written by `{command}` on {date} in {seconds:.0f} s.

Gateway, Redis, database and workers share one machine: the ratios are the result, the numbers are
this machine's on that day. {system}; load average {load_before} before and {load_after} after.
"""


def report(
    title: str,
    tables: Sequence[Table],
    *,
    command: str,
    seconds: float,
    system: str,
    load_before: str,
) -> str:
    """Return the whole text."""
    head = INTRODUCTION.format(
        title=title,
        command=command,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        seconds=seconds,
        system=system,
        load_before=load_before,
        load_after=load_average(),
    )
    return "\n".join([head, *(table.markdown() for table in tables)])


def describe_system(stage: Stage) -> str:
    """Return the machine and the versions, for a sentence."""
    redis_version = subprocess.run(
        [redis_program(), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[2]
    mongo = stage.mongo.server_info()["version"]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {packages}, Redis {redis_version.removeprefix('v=')} "
        f"with an append-only file, secantusdb in the place of MongoDB {mongo}"
    )


def load_average() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
