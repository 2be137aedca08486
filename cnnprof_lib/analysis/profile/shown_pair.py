"""Two runs bar beside bar, with the difference."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ...base import units
from ...page.style import grouped_bars, legend_below
from ..frames import NO_LAYER, UNATTRIBUTED
from .quantities import QUANTITIES, RUN_KEYS, bar_colour

LEAST_BAR_SHARE = 0.005
"""Rows that in neither run reach this part of the step are drawn as one."""
_LOOKS: tuple[dict[str, Any], dict[str, Any]] = ({"alpha": 0.4}, {})


def side_by_side_figure(
    before: pd.DataFrame,
    after: pd.DataFrame,
    value: str = "time_s",
    by: str = "op",
    *,
    share: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """A pale bar of one run above a full one of another; to the right what the second has more or less.

    Args:
        before: Rows of `frames.profile` or `frames.ops` of one run.
        after: The same of another.
        value: ``time_s``, ``requested_bytes`` or ``occurrences``.
        by: ``op``, ``layer``, or any other column of texts.
        share: Draw percentages of each run's own step.
        ax: Where to draw, with room at the right for some 10 letters, and below for a legend.
    """
    ax = ax or plt.gca()
    quantity = QUANTITIES[value]
    totals = _totals(before, after, value, by)
    shown = totals / totals.sum() * 100 if share else totals * quantity.scale
    form = "{:.1f}%".format if share else quantity.formatter
    texts = shown if share else totals
    old, new, runtime = _names(before, after)
    colours = [bar_colour(by, str(row)) for row in shown.index]
    written = [[form(number) if number else "" for number in texts[column]] for column in texts]
    looks = [{"color": colours, **look} for look in _LOOKS]
    grouped_bars(ax, shown.set_axis([old, new], axis="columns"), looks, written, fontsize=7)
    ax.set_ylim(len(shown) - 0.4, -1.0)
    ax.margins(x=0.12)
    _write_differences(ax, texts.iloc[:, 1] - texts.iloc[:, 0], "{:.1f} points".format if share else form)
    change = f"what a step's {quantity.noun} goes to" if share else units.signed(_change(totals), form) + " per step"
    ax.set(xlabel=quantity.label(share), ylabel="", title=f"From {old} to {new}: {change}{runtime}")
    handles = [Patch(facecolor="#555555", label=name, **look) for name, look in zip((old, new), _LOOKS, strict=True)]
    legend_below(ax, handles)
    return ax


def _totals(before: pd.DataFrame, after: pd.DataFrame, value: str, by: str) -> pd.DataFrame:
    """Sums of both runs, a row each, small ones in one; the longest first, but layers in their order."""
    sums = [data.groupby(by, sort=False)[value].sum() for data in (before, after)]
    totals = pd.concat(sums, axis="columns", keys=["before", "after"], sort=False).fillna(0.0)
    if by == "layer":
        last = [name for name in (NO_LAYER, UNATTRIBUTED) if name in totals.index]
        totals = pd.concat([totals.drop(index=last), totals.loc[last]])
    else:
        totals = totals.loc[totals.max(axis="columns").sort_values(ascending=False, kind="stable").index]
    small = (totals / totals.sum() < LEAST_BAR_SHARE).all(axis="columns")
    if by == "layer" or small.sum() < 2:
        return totals
    rest = totals[small].sum().to_frame(f"{small.sum()} others").T
    return pd.concat([totals[~small], rest])


def _change(totals: pd.DataFrame) -> float:
    return float(totals["after"].sum() - totals["before"].sum())


def _names(before: pd.DataFrame, after: pd.DataFrame) -> tuple[str, str, str]:
    """What tells the two runs apart, and the runtime if it is the same, to be said once."""
    old, new = ([str(data[key].iloc[0]) for key in RUN_KEYS] for data in (before, after))
    variant, runtime, _ = (a != b for a, b in zip(old, new, strict=True))
    apart = [0] * variant + [1] * runtime or [0, 2]
    name, other = (" · ".join(key[i] for i in apart) for key in (old, new))
    return name, other, "" if runtime else f", {old[1]}"


def _write_differences(ax: Axes, differences: pd.Series[Any], formatter: Any) -> None:
    """A column of texts at the right of the axes."""
    column: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": "small"}
    ax.text(1.02, -0.8, "difference", fontweight="bold", **column)
    for place, difference in enumerate(differences):
        ax.text(1.02, place, units.signed(difference, formatter), **column)
