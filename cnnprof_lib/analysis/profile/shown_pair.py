"""Two runs bar beside bar, with the difference."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ...base import units
from ...page.style import grouped_bars, legend_below
from ..frames import RunKey
from .numbers import totals_of_both
from .quantities import QUANTITIES, bar_colour

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
    totals = totals_of_both(before, after, value, by)
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
    change = (
        f"what a step's {quantity.noun} goes to"
        if share
        else units.signed(float(totals["after"].sum() - totals["before"].sum()), form) + " per step"
    )
    ax.set(xlabel=quantity.label(share), ylabel="", title=f"From {old} to {new}: {change}{runtime}")
    handles = [Patch(facecolor="#555555", label=name, **look) for name, look in zip((old, new), _LOOKS, strict=True)]
    legend_below(ax, handles)
    return ax


def _names(before: pd.DataFrame, after: pd.DataFrame) -> tuple[str, str, str]:
    """What tells the two runs apart, and the runtime if it is the same, to be said once."""
    old, new = ([str(data[key].iloc[0]) for key in RunKey._fields] for data in (before, after))
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
