"""What a measurement ends in."""

from __future__ import annotations

from dataclasses import dataclass, field

Cell = str | float | int


@dataclass(frozen=True)
class Series:
    """A line or a group of bars of the plot: labels or numbers, and the values over them."""

    name: str
    positions: list[Cell]
    values: list[float]


@dataclass(frozen=True)
class Table:
    """A table of the results.

    Attributes:
        title: Its heading.
        explanation: What was measured, and how.
        header: Names of the columns.
        rows: Their values; numbers are rounded when they are written.
        plot: What the plot shows of it.
        unit: What the plot's values are.
    """

    title: str
    explanation: str
    header: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    plot: list[Series] = field(default_factory=list)
    unit: str = ""

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.explanation, ""]
        lines.append("| " + " | ".join(self.header) + " |")
        lines.append("|" + "|".join(["---", *["--:"] * (len(self.header) - 1)]) + "|")
        lines += ["| " + " | ".join(map(_text, row)) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


def _text(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    if cell >= 100 or isinstance(cell, int):
        return f"{cell:,.0f}"
    return f"{cell:.1f}" if cell >= 10 else f"{cell:.2f}"
