"""Draws the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.table import Table

COLOUR = "#d9480f"


def draw(tables: Sequence[Table], file: Path) -> None:
    """Draw each table that has something to plot, beside the others."""
    plotted = [table for table in tables if table.plot]
    if not plotted:
        return
    figure = Figure(figsize=(6 * len(plotted), 4))
    axes = figure.subplots(1, len(plotted), squeeze=False)
    for table, place in zip(plotted, axes[0], strict=True):
        _draw_table(table, place)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def _draw_table(table: Table, place: Axes) -> None:
    for series in table.plot:
        if all(isinstance(position, int) for position in series.positions):
            place.plot(series.positions, series.values, marker="o", color=COLOUR)
            place.set_xscale("log")
            place.set_ylim(bottom=0)
            place.set_ylabel(table.unit)
            place.set_xlabel("waiting calls")
        else:
            bars = place.barh([str(each) for each in series.positions], series.values, color=COLOUR)
            place.bar_label(bars, fmt="{:,.0f}", padding=3)
            place.margins(x=0.15)
            place.invert_yaxis()
            place.set_xlabel(table.unit)
    place.set_title(table.title)
    place.spines[["top", "right"]].set_visible(False)
