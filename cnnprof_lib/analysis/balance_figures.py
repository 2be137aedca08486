"""Figures on the profiles themselves: what profiling costs, and three answers to how much memory."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .style import OP_COLOURS, SOURCE_STYLES, factor_rows, label_right, legend_below, log_ticks

_MB = 1e-6
_SIZES = {
    "requested_bytes": ("requested in a step", OP_COLOURS["Conv2D"]),
    "live_peak_bytes": ("live at the peak of a step", OP_COLOURS["LRN"]),
    "rss_bytes": ("resident in the process", OP_COLOURS["MaxPool"]),
}
_EDGE: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.4}


def overhead(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How much longer a profiled step takes: traced alone, and hollow with the profiler's ``add_step`` in the loop.

    Args:
        data: From `books.overhead`.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    variants, runtimes = list(data["variant"].unique()), list(data["runtime"].unique())
    for place, runtime in enumerate(runtimes):
        rows = data[data["runtime"] == runtime]
        y = [variants.index(name) + 0.3 * (place - (len(runtimes) - 1) / 2) for name in rows["variant"]]
        both = rows["with_add_step_over_plain"]
        look = {"linestyle": "none", **SOURCE_STYLES[runtime]}
        ax.plot(rows["profiled_over_plain"], y, label=f"{runtime}, traced", **look)
        ax.plot(both, y, label=f"{runtime}, with add_step in the loop", markerfacecolor="white", **look)
        for factor, height in zip(both, y, strict=True):
            label_right(ax, f"{factor:.1f}", (factor, height))
    factor_rows(ax, variants)
    ax.set(xlabel="step / unprofiled step", title="What does profiling cost?")
    legend_below(ax)
    return ax


def memory(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Requested, live and resident memory of each variant in one runtime, on a log scale.

    Args:
        data: From `books.memory`, of one runtime.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    height = 0.8 / len(_SIZES)
    for place, (column, (label, colour)) in enumerate(_SIZES.items()):
        y = np.arange(len(data)) + (place - (len(_SIZES) - 1) / 2) * height
        ax.barh(y, data[column] * _MB, height, color=colour, label=label, **_EDGE)
    ax.set_xscale("log")
    log_ticks(ax.xaxis)
    ax.set_yticks(range(len(data)), list(data["variant"]))
    ax.set_ylim(len(data) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.set(xlabel="memory [MB]", title=f"Three answers to how much memory, {data['runtime'].iloc[0]}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax
