"""Predicted latency as a figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ...base import units
from ...page.style import interval_lengths, legend_below, log_ticks
from .scores import WITHIN

_MS = 1e3
_WITHIN = units.percent(WITHIN, 0)


def predicted_figure(scored: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Predicted against measured latency on log scales, with 95% intervals; a grey band is what counts as right.

    Args:
        scored: From `scores.scores`.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    ax.set(xscale="log", yscale="log")
    ends = pd.concat([scored["measured_s"], scored["predicted_s"]])
    line = [ends.min() * _MS * 0.8, ends.max() * _MS * 1.25]
    low, high = ([end * factor for end in line] for factor in (1 - WITHIN, 1 + WITHIN))
    ax.fill_between(line, low, high, color="#dddddd", label=f"within {_WITHIN}")
    groups = scored.groupby("group", sort=False)
    for (group, rows), colour in zip(groups, sns.color_palette("colorblind", groups.ngroups), strict=True):
        lengths = interval_lengths(rows, "predicted_s", _MS)
        points = (rows["measured_s"] * _MS, rows["predicted_s"] * _MS, lengths)
        ax.errorbar(*points, fmt="o", markersize=4, linewidth=1, color=colour, label=str(group))
    log_ticks(ax.xaxis)
    log_ticks(ax.yaxis)
    right = ((scored["predicted_s"] / scored["measured_s"] - 1).abs() <= WITHIN).mean()
    title = f"{units.percent(right, 0)} of {units.counted(len(scored), 'network')} within {_WITHIN}"
    ax.set(xlabel="measured latency [ms]", ylabel="predicted latency [ms]", title=title)
    legend_below(ax)
    return ax
