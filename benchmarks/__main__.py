"""``python -m benchmarks``: measures everything and writes ``results.md`` and ``results.svg``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import features, idle, queue_costs, shared_rate, throughput
from benchmarks.report import describe_system, load_average, report
from benchmarks.scale import FULL, QUICK
from benchmarks.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.scale import Scale
    from benchmarks.table import Table

PARTS: dict[str, Callable[[Stage, Scale], list[Table]]] = {
    "throughput": throughput.measure,
    "features": features.measure,
    "queue": queue_costs.measure,
    "idle": idle.measure,
    "rate": shared_rate.measure,
    "growth": queue_costs.measure_growth,
}


def main() -> None:
    options = _options()
    tables: list[Table] = []
    began, load_before = time.monotonic(), load_average()
    with Stage() as stage:
        system = describe_system(stage)
        for name in options.only:
            print(f"{name} ...", flush=True)
            tables += PARTS[name](stage, QUICK if options.quick else FULL)
    text = report(
        tables,
        command=" ".join(["python -m benchmarks", *sys.argv[1:]]),
        seconds=time.monotonic() - began,
        system=system,
        load_before=load_before,
    )
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.md").write_text(text, encoding="utf-8")
    # Not before: the memory that its libraries take would be counted for the workers.
    from benchmarks.plot import draw  # noqa: PLC0415

    draw(tables, options.output / "results.svg")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to try it out")
    parser.add_argument(
        "--only", type=_parts, default=list(PARTS), help=f"some of {', '.join(PARTS)}"
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
