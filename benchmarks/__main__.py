"""``python -m benchmarks``: measures everything and writes ``results.md`` and ``results.svg``.

The part ``large`` takes an hour: it runs only when it is named, and writes ``large_numbers.md``.
The part ``dashboard`` takes ten minutes: it likewise writes ``dashboard.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import (
    dashboard,
    features,
    idle,
    large_numbers,
    queue_costs,
    shared_rate,
    throughput,
)
from benchmarks.report import describe_system, load_average, report
from benchmarks.scale import FULL, QUICK
from benchmarks.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.scale import Scale
    from benchmarks.table import Table

LARGE, DASHBOARD = "large", "dashboard"
PARTS: dict[str, Callable[[Stage, Scale], list[Table]]] = {
    "throughput": throughput.measure,
    "features": features.measure,
    "queue": queue_costs.measure,
    "idle": idle.measure,
    "rate": shared_rate.measure,
    "growth": queue_costs.measure_growth,
    DASHBOARD: dashboard.measure,
    LARGE: large_numbers.measure,
}


def main() -> None:
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[Table]] = {}
    began, load_before = time.monotonic(), load_average()
    with Stage() as stage:
        system = describe_system(stage)
        for name in options.only:
            print(f"{name} ...", flush=True)
            tables[name] = PARTS[name](stage, QUICK if options.quick else FULL)
    large, board = tables.pop(LARGE, []), tables.pop(DASHBOARD, [])
    results = [table for part in tables.values() for table in part]
    for title, file, shown in (
        ("Benchmarks", "results.md", results),
        ("Large numbers", "large_numbers.md", large),
        ("The dashboard", "dashboard.md", board),
    ):
        if not shown:
            continue
        text = report(
            title,
            shown,
            command=" ".join(["python -m benchmarks", *sys.argv[1:]]),
            seconds=time.monotonic() - began,
            system=system,
            load_before=load_before,
        )
        (options.output / file).write_text(text, encoding="utf-8")
        print(text)
    if results:
        # Not before: the memory that its libraries take would be counted for the workers.
        from benchmarks.plot import draw  # noqa: PLC0415

        draw(results, options.output / "results.svg")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to try it out")
    parser.add_argument(
        "--only",
        type=_parts,
        default=[name for name in PARTS if name not in {LARGE, DASHBOARD}],
        help=f"some of {', '.join(PARTS)}",
    )
    folder = Path(__file__).parent
    parser.add_argument("--output", type=Path, default=folder, help="folder for the results")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    main()
