"""Fonts, axes, legends and labels that all figures share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import ScaledTranslation
from matplotlib.typing import ColorType
from numpy.typing import NDArray

from . import hover
from .text import shortened

_BELOW_PT = 36
"""From the axes to a legend below: the numbers and the name of the x axis."""
_LETTER_PT, _HANDLE_PT = 4.8, 48
"""A letter of a legend on average; a handle with the room around it."""
_GROUP = 0.8
"""Of the distance between two rows, what the bars of one take up."""
NAME_LETTERS = 22
"""Of a row's name, which the widgets have room for."""
BAR_EDGE: Mapping[str, Any] = {"edgecolor": "white", "linewidth": 0.4}


def use_style() -> None:
    """Sets fonts, grid and what hovering tells of all figures drawn afterwards; a notebook calls it once."""
    rc = {
        "axes.titleweight": "bold",
        "axes.titley": 1.0,  # said, it is not looked for among all ticks each time a figure is drawn
        # Room for the names between two axes, instead of a layout engine, which draws every figure twice to find it.
        "figure.subplot.wspace": 0.32,
        "figure.hooks": [f"{hover.__name__}:{hover.attach.__name__}"],
        "svg.hashsalt": "cnnprof",  # equal shapes get equal ids in all figures, and every rendering the same ones
    }
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.8, rc=rc)


def text_colour(background: ColorType) -> str:
    """Black or white, whichever has the higher contrast on ``background``.

    Source: relative luminance and contrast ratio of the Web Content Accessibility Guidelines 2.2, W3C, 2023. Black
    has the higher one from that luminance on at which (L + 0.05) / 0.05 exceeds 1.05 / (L + 0.05).
    """
    weights = (0.2126, 0.7152, 0.0722)
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(background))
    luminance = sum(weight * channel for weight, channel in zip(weights, linear, strict=True))
    return "black" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "white"


def log_ticks(axis: Axis) -> None:
    """Ticks at 1, 2, 5, 10, 20, ..., written as they are instead of as powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def factor_rows(ax: Axes, names: Sequence[str]) -> None:
    """Lays axes out for factors on a log scale, a row per name from the top, with a line at 1."""
    ax.axvline(1, color="#555555", linewidth=1, linestyle=":")
    ax.set_xscale("log")
    ax.margins(x=0.1)
    log_ticks(ax.xaxis)
    name_rows(ax, names)


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """A row per name from the top, also on axes that share y."""
    ax.set_yticks(range(len(names)), list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)


def row_heights(names: Iterable[str], of: Sequence[str], place: int, places: int, *, room: float) -> list[float]:
    """Where the points of one of several series stand, each in the row of its name in ``of``; a series has ``room``."""
    return [of.index(name) + room * (place - (places - 1) / 2) for name in names]


def grouped_bars(
    ax: Axes,
    values: pd.DataFrame,
    looks: Sequence[Mapping[str, Any]],
    texts: Sequence[Sequence[str]] = (),
    *,
    fontsize: str | float = "small",
) -> None:
    """Rows from the top, each with bars under each other: one per column of ``values``, which is the bar's label.

    Args:
        ax: Where to draw.
        values: Lengths, a row per name.
        looks: Of each column: ``color``, also one per row, ``hatch`` and the like.
        texts: Of each column and row, written at the end of the bar; none unless given.
        fontsize: Of these.
    """
    height = _GROUP / len(values.columns)
    for place, (name, look) in enumerate(zip(values, looks, strict=True)):
        y = np.arange(len(values)) + (place - (len(values.columns) - 1) / 2) * height
        bars = ax.barh(y, values.iloc[:, place], height, label=name or None, **{**BAR_EDGE, **look})
        if texts:
            ax.bar_label(bars, list(texts[place]), padding=3, fontsize=fontsize)
    name_rows(ax, [shortened(str(name), NAME_LETTERS) for name in values.index])
    ax.grid(visible=False, axis="y")


def interval_lengths(rows: pd.DataFrame, column: str, scale: float = 1.0) -> NDArray[np.float64]:
    """Intervals as matplotlib wants them: lengths below and above the values, shape (2, rows).

    Args:
        rows: With ``column``, ``<column>_low`` and ``<column>_high``.
        column: Name of the value.
        scale: What the lengths are multiplied by.
    """
    low, value, high = (rows[name].to_numpy(dtype=float) for name in (f"{column}_low", column, f"{column}_high"))
    return np.stack([value - low, high - value]) * scale


def legend_below(ax: Axes, handles: Sequence[Any] | None = None, *, title: str = "") -> None:
    """Writes a legend under the name of the x axis, where it covers nothing, in as many columns as find room.

    Args:
        ax: With all that has a label.
        handles: What to name; unless given, all that has one.
        title: Stands above the names.
    """
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    letters = max((len(str(handle.get_label())) for handle in handles), default=0)
    width_pt = ax.get_window_extent().width * 72 / ax.figure.dpi
    down = ScaledTranslation(0, -_BELOW_PT / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + down,
        borderaxespad=0,
        ncols=max(1, min(len(handles), int(width_pt / (_LETTER_PT * letters + _HANDLE_PT)))),
        frameon=False,
        title=title or None,
        alignment="left",
    )


def label_right(ax: Axes, text: str, point: tuple[float, float]) -> None:
    """Writes beside a point, to its right."""
    ax.annotate(text, point, (8, 0), textcoords="offset points", va="center", fontsize="small")


def label_points(
    ax: Axes,
    points: Sequence[tuple[float, float, str]],
    *,
    others: Sequence[tuple[float, float]] = (),
    rim: bool = False,
) -> None:
    """Writes each name once, beside one of its points where it covers no other point or name, if there is room.

    Args:
        ax: With its final limits, for the distances on paper are taken from them.
        points: x, y and name; a name may have several points.
        others: x and y of points without names, which no name is to cover either.
        rim: Set the names off lines by a white rim.
    """
    ax.autoscale_view()  # else the limits are those of before the last drawing
    places_of = [*((x, y) for x, y, _ in points), *others]
    on_paper = [tuple(ax.transData.transform(place) * 72 / ax.figure.dpi) for place in places_of]
    taken = [_Box(x - 4, y - 9, x + 4, y + 9) for x, y in on_paper]
    for name in dict.fromkeys(name for _, _, name in points):
        own = [i for i, point in enumerate(points) if point[2] == name]
        right, left = max(own, key=lambda i: on_paper[i][0]), min(own, key=lambda i: on_paper[i][0])
        places = [(i, dx, dy) for dy in (0, 11, -11, 22, -22) for i, dx in ((right, 8), (left, -8))]
        boxes = [_Box.of_label(name, on_paper[i][0] + dx, on_paper[i][1] + dy, left=dx < 0) for i, dx, dy in places]
        best = next((k for k, box in enumerate(boxes) if not any(box.meets(other) for other in taken)), 0)
        taken.append(boxes[best])
        i, dx, dy = places[best]
        side = "left" if dx > 0 else "right"
        look: dict[str, Any] = {"path_effects": [withStroke(linewidth=3, foreground="white")]} if rim else {}
        ax.annotate(
            name, points[i][:2], (dx, dy), textcoords="offset points", ha=side, va="center", fontsize="small", **look
        )


class _Box(NamedTuple):
    """A rectangle on paper, in points."""

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def of_label(cls, text: str, x: float, y: float, *, left: bool) -> _Box:
        """About the room that small type needs, from ``x`` on or, to its left, up to ``x``."""
        width = 5.0 * len(text)
        return cls(x - width, y - 5, x, y + 5) if left else cls(x, y - 5, x + width, y + 5)

    def meets(self, other: _Box) -> bool:
        """Whether the two share any room."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1
