"""What a figure says beyond what is drawn: the numbers of a bar when hovered over, and the caption below.

Matplotlib's SVG backend writes the ``gid`` of an artist as the ``id`` of its group; nothing else of an artist's text
reaches the file. So both travel there, and `page.pictures` makes elements of them that a browser shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.category import StrCategoryFormatter
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

HOVER = "hover:"
CAPTION = "caption:"

_UNIT = re.compile(r"\[([^\]]+)\]$")


def tell(artist: Artist, text: str) -> None:
    """Has the page say ``text`` when the artist is hovered over."""
    artist.set_gid(HOVER + text)


class Caption(NamedTuple):
    """What stands below a figure, and the word by which text refers to it, in Markdown ``[Figure](#F_key)``."""

    key: str
    text: str
    """Without a number; braces stand for a runtime."""

    def put(self, figure: Figure, runtime: str = "", machine: str = "") -> Figure:
        """Gives it to a figure in place of the titles of its axes.

        Args:
            figure: The figure.
            runtime: Fills the braces and follows the key: ``ops-stock``.
            machine: Follows both, where there are several.
        """
        key = "-".join(filter(None, (self.key, runtime, re.sub(r"\W+", "-", machine).strip("-"))))
        caption(figure, self.text.format(runtime) + (f", {machine}" if machine else ""), key=key)
        return figure


def caption(figure: Figure, text: str, *, key: str = "") -> None:
    """Sets the caption of a figure, which is otherwise made of the titles of its axes.

    Args:
        figure: The figure.
        text: The caption, without a number.
        key: A word, if other text is to refer to the figure, see `Caption`.
    """
    figure.set_gid(f"{CAPTION}{key}:{text}")


def attach(figure: Figure) -> None:
    """Has a figure carry its texts when drawn; pyplot calls it on every new figure (`style.use_style`)."""
    figure.add_artist(_Texts())


class _Texts(Artist):
    """Draws nothing. It is drawn first, when all that is in the figure is there, and gives it its texts."""

    zorder = -np.inf

    def __init__(self) -> None:
        super().__init__()
        self.set_in_layout(False)

    def draw(self, renderer: RendererBase) -> None:
        """Tells the bars and writes an empty group with the caption."""
        figure = self.get_figure()
        if figure is None:
            return
        for ax in figure.axes:
            for bar, text in bar_texts(ax):
                if bar.get_gid() is None:
                    tell(bar, text)
        titles = "; ".join(title for ax in figure.axes if (title := ax.get_title()))
        renderer.open_group("caption", gid=f"{CAPTION}:{titles.replace('?;', '?')}")
        renderer.close_group("caption")


def bar_texts(ax: Axes) -> Iterator[tuple[Rectangle, str]]:
    """Each bar of some length with its place, its series and its length: ``stride2, Conv2D: 3.125 ms``."""
    for bars in ax.containers:
        if not isinstance(bars, BarContainer):
            continue
        lying = bars.orientation == "horizontal"
        values, places = (ax.xaxis, ax.yaxis) if lying else (ax.yaxis, ax.xaxis)
        unit = _UNIT.search(values.get_label_text())
        label = str(bars.get_label())
        series = "" if label.startswith("_") else label
        for bar in bars:
            length = bar.get_width() if lying else bar.get_height()
            middle = bar.get_y() + bar.get_height() / 2 if lying else bar.get_x() + bar.get_width() / 2
            if not length or not np.isfinite(length):
                continue
            name = ", ".join(filter(None, (_name_at(places, middle), series)))
            number = np.format_float_positional(length, precision=4, fractional=False, trim="-")
            yield bar, f"{name}: {number} {unit[1] if unit else ''}".strip(": ")


def _name_at(axis: Axis, place: float) -> str:
    """The label of the tick next to a place, where ticks have names instead of numbers."""
    formatter, ticks = axis.get_major_formatter(), np.asarray(axis.get_ticklocs(), dtype=float)
    named = isinstance(formatter, FixedFormatter | StrCategoryFormatter) or (
        # What `Axis.set_ticks` makes of labels.
        isinstance(formatter, FuncFormatter) and isinstance(axis.get_major_locator(), FixedLocator)
    )
    if not named or not ticks.size:
        return ""
    return formatter.format_ticks(list(ticks))[int(np.abs(ticks - place).argmin())]
