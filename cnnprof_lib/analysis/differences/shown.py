"""The waterfall figure: from one latency to another, layer by layer, coloured by cause."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ...base import units
from ...page.style import BAR_EDGE, NAME_LETTERS, label_right, legend_below
from ...page.text import shortened
from ..colours import OP_COLOURS, OTHER, source_style
from ..frames import UNATTRIBUTED
from ..resolution import INDISTINCT
from .matching import ARROW, BOTH
from .numbers import (
    CONVERSIONS,
    KERNELS,
    LATENCY,
    MACS,
    RATE,
    SIDE_OPS,
    TRACING,
    is_distinct,
    largest_steps,
    waterfall_steps,
)

_MS = 1e3
_GAP = 0.5
"""Space between layers, in bars."""

CAUSE_LOOKS: dict[str, dict[str, Any]] = {
    MACS: {"label": "fewer or more MACs, at the old rate", "facecolor": OP_COLOURS["Conv2D"]},
    RATE: {"label": "a changed rate", "facecolor": OP_COLOURS["QueueDequeueManyV2"]},
    SIDE_OPS: {"label": "side operations", "facecolor": OP_COLOURS["LRN"]},
    KERNELS: {"label": "kernels, faster or slower", "facecolor": OP_COLOURS["Conv2D"]},
    CONVERSIONS: {"label": "conversions", "facecolor": OP_COLOURS["LRN"]},
    UNATTRIBUTED: {"label": "unattributed", "facecolor": OP_COLOURS[UNATTRIBUTED], "hatch": "///"},
    TRACING: {"label": "what tracing adds, taken out", "facecolor": OP_COLOURS[OTHER], "hatch": "..."},
}
"""What each cause is called and how it is drawn: the two shades of blue are a layer's own kernels."""


def waterfall_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Bars from the latency of one run to that of another: a step per layer and cause, with 95% intervals.

    Args:
        data: From `numbers.waterfall`; of many layers `numbers.largest_steps` are drawn.
        ax: Where to draw; some 0.25 inches of height for each row keep its texts apart.
    """
    ax, data = ax or plt.gca(), largest_steps(data)
    first, last = data[data["cause"] == LATENCY].index
    rows = pd.concat([data.loc[[first]], waterfall_steps(data), data.loc[[last]]])
    change, low, high = (rows[column].to_numpy() * _MS for column in ("change_s", "change_s_low", "change_s_high"))
    end = np.append(change[:-1].cumsum(), change[-1])
    start = np.concatenate([[0.0], end[:-2], [0.0]])
    y, names, centres = _places(_names(rows))
    of_runs = [source_style(data[f"{side}_runtime"].iloc[0])["color"] for side in ("before", "after")]
    looks = {LATENCY: {"color": of_runs}, **CAUSE_LOOKS}
    for cause, look in looks.items():
        of_cause = (rows["cause"] == cause).to_numpy()
        ax.barh(y[of_cause], change[of_cause], 0.9, left=start[of_cause], **look, **BAR_EDGE)
    # No less than 0, in floating point either, where all steps are alike; none where an interval is missing.
    below, above = (np.maximum(np.nan_to_num(length), 0.0) for length in (change - low, high - change))
    ax.errorbar(end, y, xerr=[below, above], linestyle="none", color="black", linewidth=1, capsize=2)
    ax.vlines(end[:-1], y[:-1], y[1:], color="#555555", linewidth=0.6)
    for value_ms, cause, x, height in zip(change, rows["cause"], np.maximum(start, end + above), y, strict=True):
        form = units.seconds if cause == LATENCY else units.signed_seconds
        label_right(ax, form(value_ms / _MS), (x, height))
    ax.set_yticks(centres, names)
    ax.set_ylim(y[-1] + 0.7, -0.7)
    ax.use_sticky_edges = False  # a bar that leads back from the largest value would leave its text no room
    ax.margins(x=0.12)
    ax.set_xlim(left=min(0.0, 1.1 * (end - below).min()))
    ax.grid(visible=False, axis="y")
    ax.set(xlabel="time per step [ms]", ylabel="", title=_title(data))
    drawn = [look for cause, look in CAUSE_LOOKS.items() if (rows["cause"] == cause).any()]
    legend_below(ax, [Patch(**look, **BAR_EDGE) for look in drawn])
    return ax


def _names(steps: pd.DataFrame) -> list[str]:
    """Names of layers, with a word where only one of the networks has them: ``norm1 (new)``; two names in two lines."""
    names = []
    for name, presence in zip(steps["layer"], steps["presence"], strict=True):
        only = "" if presence == BOTH else f" ({presence})"
        room = NAME_LETTERS - (len(ARROW) if ARROW in name else len(only))
        parts = [shortened(part, room) for part in name.split(ARROW)]
        whole = ARROW.join(parts)
        names.append((whole if len(whole) <= NAME_LETTERS else f"\n{ARROW.strip()} ".join(parts)) + only)
    return names


def _places(layers: Sequence[str]) -> tuple[NDArray[np.float64], list[str], list[float]]:
    """Height of each row, and each layer's name with the middle of its rows; layers stand apart."""
    heights: list[float] = []
    names, centres = [], []
    for name, group in groupby(layers):
        first = heights[-1] + 1 + _GAP if heights else 0.0
        own = [first + index for index, _ in enumerate(group)]
        heights += own
        names.append(name)
        centres.append((own[0] + own[-1]) / 2)
    return np.array(heights), names, centres


def _title(data: pd.DataFrame) -> str:
    """What is gained or lost between the two runs, if that can be told."""
    first, last = data.iloc[0], data.iloc[-1]
    before, after, runtime = first["before"], first["after"], first["after_runtime"]
    if first["before_runtime"] != runtime:
        before, after, runtime = first["before_runtime"], runtime, first["before"]
    if not (last["change_s_low"] > 0 or last["change_s_high"] < 0):  # nor where the interval is missing
        return f"No difference between {before} and {after} can be told, {runtime}"
    if is_distinct(data) is False:
        return f"The difference between {before} and {after} is {INDISTINCT}, {runtime}"
    text = units.seconds(abs(last["change_s"]))
    if last["change_s"] < 0:
        return f"Where {after} saves {text} against {before}, {runtime}"
    return f"Where {after} takes {text} longer than {before}, {runtime}"
