"""The chapter of the report on sweeps: the grid as heat maps, which factor explains the latency, the frontier."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
from IPython.display import HTML

from ..analysis.accuracy.shown import accuracy_figure
from ..analysis.sweeps import numbers, shown
from ..page.table import folded_table
from .study import Study


def sweep_parts(study: Study) -> Iterator[object]:
    """Figures, tables and sentences, in order; nothing where no sweep is stored."""
    rows = study.sweeps()
    if rows.empty:
        return
    yield "## Sweeps"
    for grid in numbers.grids(rows):
        yield shown.grid_text(grid)
        if grid.factors:
            yield from _heats(grid)
            explained = numbers.explained(grid)
            yield shown.explained_text(explained)
            if not explained.empty:
                yield shown.explained_table(explained, grid.base)
        yield from _frontier(grid)
        if not (ratios := numbers.by_machine(grid)).empty:
            yield shown.machines_table(ratios)
        yield HTML(folded_table(f"Networks that change {grid.base or 'no other one'}", shown.networks_table(grid)))


def _heats(grid: numbers.Grid) -> Iterator[object]:
    across, down = numbers.axes_of(grid)
    held = [factor for factor in grid.factors if factor not in (across, down)]
    for place, (conditions, some) in enumerate(numbers.by_conditions(grid, *held)):
        if place == shown.MOST_HEATS:
            yield f"These are the first {shown.MOST_HEATS} heat maps; the table holds all runs."
            return
        table = numbers.heat(some, across, down)
        size = min(2 + 0.9 * len(table.columns), 12), min(1.2 + 0.5 * len(table), 8)
        figure, ax = plt.subplots(figsize=size)
        shown.heat_figure(table, across, down, conditions, ax=ax)
        yield shown.HEAT_CAPTION.put(figure, f"{grid.base}-{place}")


def _frontier(grid: numbers.Grid) -> Iterator[object]:
    conditions, some = next(numbers.by_conditions(grid))
    data = numbers.frontier_of(some)
    if len(data) > shown.MOST_NETWORKS:  # a figure has no room for more names
        data = data[~data["dominated"]].head(shown.MOST_NETWORKS)
    if len(data) > 1:
        figure, ax = plt.subplots(figsize=(9, 4.5))
        accuracy_figure(data, ax=ax)
        yield shown.GRID_FRONTIER_CAPTION.put(figure, grid.base, ", ".join(map(str, conditions.values())))
    if text := shown.frontier_missing_text(grid):
        yield text
