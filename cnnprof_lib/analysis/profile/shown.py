"""Bars of ops and of any quantity, and dots of steps: a tidy frame in, an Axes out, nothing read or written.

Every function draws on ``ax`` (the current axes unless given) and returns it; see `colours`.
"""

from __future__ import annotations

import itertools
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ...base import units
from ...page import hover
from ...page.style import BAR_EDGE, grouped_bars, legend_below
from ..colours import OP_COLOURS, OTHER, source_style
from ..frames import UNATTRIBUTED, RunKey, require_told
from .numbers import largest_rows
from .quantities import QUANTITIES, bar_colour

OP_TIMES_CAPTION = hover.Caption(
    "ops", "Time of each op in a profiled step of each variant, in {}: milliseconds on the left, shares on the right"
)
_MS = 1e3
_HATCH = "///"
_HATCHES = (_HATCH, "...", "xxx", "+++", "ooo", "---")
"""Of the second runtime and those behind it."""


def op_times_figure(data: pd.DataFrame, *, share: bool = False, legend: bool = True, ax: Axes | None = None) -> Axes:
    """One stacked bar per variant: which op the time of a step goes to.

    Args:
        data: ``variant``, ``runtime`` (one only), ``op``, ``time_s``, as from `frames.ops`.
        share: Draw percentages of the step instead of milliseconds.
        legend: Name the ops beside the figure.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    times = _pivot(data, index="variant", columns="op")
    values = times.div(times.sum(axis="columns"), axis="index") * 100 if share else times
    left = np.zeros(len(values))
    for op in (op for op in OP_COLOURS if op in values):
        look = {"color": OP_COLOURS[op], "hatch": _HATCH if op == UNATTRIBUTED else None, **BAR_EDGE}
        bars = ax.barh(values.index, values[op], left=left, label=op, **look)
        left += values[op].to_numpy()
    if not share:
        ax.bar_label(bars, [units.seconds(ms / _MS) for ms in left], padding=3, fontsize="small")
        ax.margins(x=0.22)
    ax.set_ylim(len(values) - 0.5, -0.5)  # the first variant on top, also on axes that share y
    ax.grid(visible=False, axis="y")
    title = "What a step is made of" if share else "Where the time of a step goes"
    ax.set(xlabel="share of the profiled step [%]" if share else "time per profiled step [ms]", ylabel="")
    ax.set_title(title + _in_runtime(data))
    if share:
        ax.set_xlim(0, 100)
    if legend:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def op_bars_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The ops of one variant: a solid bar in the first runtime of the frame, hatched ones in the others.

    Args:
        data: ``variant`` (one only), ``runtime``, ``op``, ``time_s``, as from `frames.ops`.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    times = _pivot(data, index="op", columns="runtime")
    times = times.loc[times.max(axis="columns").sort_values(ascending=False).index]
    hatches = itertools.islice(itertools.cycle(_HATCHES), len(times.columns) - 1)
    looks: list[dict[str, Any]] = [{}, *({"alpha": 0.5, "hatch": hatch} for hatch in hatches)]
    colours = [OP_COLOURS[str(op)] for op in times.index]
    # An op that a runtime does not have (it is fused into another) gets no label.
    texts = [[units.seconds(ms / _MS) if ms else "" for ms in times[runtime]] for runtime in times]
    grouped_bars(ax, times, [{"color": colours, **look} for look in looks], texts)
    ax.margins(x=0.2)
    ax.set(xlabel="time per profiled step [ms]", ylabel="", title=f"Where the time of {data['variant'].iloc[0]} goes")
    keys = zip(times.columns, looks, strict=True)
    legend_below(ax, [Patch(facecolor="#555555", label=name, **BAR_EDGE, **look) for name, look in keys])
    return ax


def step_distribution_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How steady the steps of one run are, and what profiling adds: a dot per step, a line at each median.

    Args:
        data: ``variant``, ``runtime``, ``kind``, ``seconds`` of one run, as from `frames.steps`; the steps of the
            baseline in the same process are left out.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    data = data[data["kind"] != "baseline"]
    shown = data.assign(ms=data["seconds"] * _MS)
    colour = source_style(shown["runtime"].iloc[0])["color"]
    kinds = list(shown["kind"].unique())
    rng = np.random.default_rng(0)  # seaborn's stripplot would put the dots elsewhere in every report
    for place, kind in enumerate(kinds):
        ms = shown.loc[shown["kind"] == kind, "ms"]
        heights = place + rng.uniform(-0.25, 0.25, len(ms))
        ax.scatter(ms, heights, s=16, color=colour, alpha=0.4, linewidths=0)
        median = ms.median()
        ax.plot([median, median], [place - 0.35, place + 0.35], color="black", linewidth=2)
        text = units.seconds(median / _MS)
        ax.annotate(text, (median, place - 0.37), ha="center", va="bottom", fontsize="small")
    ax.set_yticks(range(len(kinds)), kinds)
    ax.set_ylim(len(kinds) - 0.5, -0.7)
    title = f"Steps of {shown['variant'].iloc[0]}{_in_runtime(shown)}"
    ax.set(xlabel="time per step [ms]", ylabel="", title=title)
    return ax


def profile_figure(
    data: pd.DataFrame, value: str = "time_s", by: str = "op", *, share: bool = False, ax: Axes | None = None
) -> Axes:
    """Bars of any quantity of any runs, for exploring: the rows of ``data`` added up by op, layer or kernel.

    Args:
        data: Rows of `frames.profiles` or `frames.ops`, filtered to the runs to be seen. Where they hold several
            variants, runtimes or runs, each gets bars of its own. Of many rows the largest are drawn.
        value: ``time_s``, ``requested_bytes`` or ``occurrences``.
        by: ``op``, ``layer``, ``kernel``, or any other column of texts.
        share: Draw percentages of each run's own step.
        ax: Where to draw.

    Raises:
        MeasureError: a runtime does not tell ``value``.
    """
    require_told(data, value)
    ax = ax or plt.gca()
    quantity = QUANTITIES[value]
    keys = [key for key in RunKey._fields if key != by and data[key].nunique() > 1]
    run = data[keys].agg(" · ".join, axis="columns") if keys else ""
    rows = data.assign(run=run)
    totals = rows.pivot_table(index=by, columns="run", values=value, aggfunc="sum", sort=False, fill_value=0.0)
    if by != "layer":  # layers keep the network's order
        totals = totals.loc[totals.max(axis="columns").sort_values(ascending=False, kind="stable").index]
    totals = largest_rows(totals)
    shown = totals / totals.sum() * 100 if share else totals * quantity.scale
    if keys:
        grouped_bars(ax, shown, [{"color": colour} for colour in sns.color_palette("colorblind", len(shown.columns))])
        legend_below(ax)
    else:
        form = "{:.1f}%".format if share else quantity.formatter
        texts = [form(number) for number in (shown if share else totals)[""]]
        grouped_bars(ax, shown, [{"color": [bar_colour(by, str(name)) for name in shown.index]}], [texts])
        ax.margins(x=0.12)
    shared = [str(data[key].iloc[0]) for key in ("variant", "runtime") if key not in (by, *keys)]
    ax.set(xlabel=quantity.label(share), ylabel="", title=" · ".join(shared))
    return ax


def _pivot(data: pd.DataFrame, *, index: str, columns: str) -> pd.DataFrame:
    """Milliseconds per step in the frame's order, ops without a colour of their own together as `OTHER`."""
    ops = data["op"].where(data["op"].isin(list(OP_COLOURS)), OTHER)
    shown = data.assign(op=ops, ms=data["time_s"] * _MS)
    return shown.pivot_table(index=index, columns=columns, values="ms", aggfunc="sum", sort=False, fill_value=0.0)


def _in_runtime(data: pd.DataFrame) -> str:
    runtimes = data["runtime"].unique()
    return f", {runtimes[0]}" if len(runtimes) == 1 else ""
