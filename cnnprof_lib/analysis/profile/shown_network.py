"""The picture of a network: its layers as boxes, coloured by the time they take of a step.

It shows what the thesis's Figure 4.17 shows of the graph, layer by layer instead of node by node, and a network of
many layers block by block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import PercentFormatter

from ...base import units
from ...page import hover
from ...page.style import text_colour
from ...page.text import shortened
from ...params.network import Network
from .blocks import is_long
from .picture import Link, Row, lanes, links, picture_rows

NETWORK_CAPTION = hover.Caption(
    "network",
    "The layers from the input to the classes, in {}. A large network is drawn by blocks, the longest opened. "
    "Each box names the output shape, the parameters and the MACs for one image; the colour is the share of the "
    "profiled step. An arrow beside the boxes passes layers by",
)
NETWORK_COLOURS = "YlOrRd"
"""Sequential, and none of the ops' colours."""
_HEIGHT = 0.8
"""Of a box; rows are 1 apart."""
_INDENT = 0.05
"""Of what is inside a block."""
_LANE, _LANES = 0.025, 6
"""Between two arrows beside the boxes, and how many find room; further ones share the last."""
_LETTERS, _FEWEST = 52, 12
"""Of a small row that find room, and how many of them are the name's at least."""
_ARROW: dict[str, Any] = {"arrowstyle": "-|>", "color": "#555555", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}


def network_figure(network: Network, layers: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The layers from the image to the classes, with shape, parameters and MACs of one image, and share of the step.

    A network of more than `blocks.MOST_LAYERS` is drawn by blocks, and the block that takes longest is opened.

    Args:
        network: The network.
        layers: From `numbers.by_layer`, of a run of it. What is no layer, such as the unattributed time, stands
            apart below, so that the shares add up to the step.
        ax: Where to draw; some 4 inches of width and `picture.network_height` hold its texts.
    """
    ax = ax or plt.gca()
    rows, small = picture_rows(network, layers), is_long(network)
    colours, scale = mpl.colormaps[NETWORK_COLOURS], _scale(rows, small=small)
    _write(ax, 0, "input", [units.shape(tensor.shape) for tensor in network.inputs], colour="black", small=small)
    for place, row in enumerate(rows, start=1):
        known = not math.isnan(row.time_share)  # where nothing was traced
        colour, left = colours(scale(row.time_share)) if known else "white", _INDENT if row.inside else 0.0
        line: dict[str, Any] = {"linestyle": "-" if row.layers else ":", "edgecolor": "#555555", "linewidth": 0.8}
        shape = "round,pad=0,rounding_size=0.02"
        box = FancyBboxPatch((left, place - _HEIGHT / 2), 1 - left, _HEIGHT, shape, **line)
        box.set(facecolor=colour, mutation_aspect=8)
        facts, dark = _facts(row) if row.layers else [], text_colour(colour)
        told = f"{units.percent(row.time_share)} of the step" if known else "not traced"
        more = f" ({', '.join(facts)})" if small and facts else ""
        hover.tell(ax.add_patch(box), f"{row.name}: {told}{more}")
        facts = [fact for fact in facts if "parameter" not in fact] if small else facts
        _write(ax, place, row.name, facts, colour=dark, share=row.time_share if known else None, left=left, small=small)
    out = _draw_links(ax, links(network, rows), rows)
    ax.set(xlim=(-0.01, 1.01 + out), ylim=(len(rows) + 0.6, -0.5), title=f"Where a step of {network.name} goes")
    ax.set_axis_off()
    bar = ax.inset_axes((0.0, -0.02, 1.0, 0.02))
    ax.figure.colorbar(
        ScalarMappable(scale, colours), cax=bar, orientation="horizontal", format=PercentFormatter(1)
    ).set_label("share of the profiled step")
    return ax


def _scale(rows: Sequence[Row], *, small: bool) -> Normalize:
    """The whole step, so that a colour means the same in all pictures; of many blocks the longest, or all are pale."""
    longest = max((row.time_share for row in rows if row.time_share > 0), default=1.0)
    return Normalize(0, longest if small else 1)


def _draw_links(ax: Axes, found: Sequence[Link], rows: Sequence[Row]) -> float:
    """Arrows down the chain and beside it; returns how far these reach out."""
    lowest = {i: i + sum(1 for _ in _inside_of(rows, i)) for i in range(-1, len(rows))}
    out_of = lanes(found)
    for link in found:
        if not link.beside:
            start = (0.5, lowest[link.source] + 1 + _HEIGHT / 2)
            ax.annotate("", (0.5, link.target + 1 - _HEIGHT / 2), start, arrowprops=_ARROW)
            continue
        x = 1 + _LANE * (1 + min(out_of[link], _LANES - 1))
        start_x = 1 if link.source >= 0 else 0.5
        start_y, end_y = link.source + 1.15, link.target + 0.85
        ax.plot([start_x, x, x], [start_y, start_y, end_y], color=_ARROW["color"], linewidth=0.8, clip_on=False)
        ax.add_patch(FancyArrowPatch((x, end_y), (1, end_y), linewidth=0.8, clip_on=False, **_ARROW))
    return _LANE * min(_LANES, max(out_of.values(), default=-1) + 1)


def _inside_of(rows: Sequence[Row], place: int) -> Sequence[Row]:
    """The rows behind one that are part of it."""
    end = place + 1
    while end < len(rows) and rows[end].inside:
        end += 1
    return rows[place + 1 : end]


def _write(
    ax: Axes,
    row: int,
    name: str,
    facts: list[str],
    *,
    colour: str,
    share: float | None = None,
    left: float = 0.0,
    small: bool = False,
) -> None:
    """One row: the name above, or in a small one beside, what is known of it to the left, the share to the right."""
    size = "x-small" if small else "small"
    above, below = (0.17, -0.17) if facts and not small else (0.0, 0.0)
    bold: dict[str, Any] = {"color": colour, "weight": "bold", "va": "center"} | ({"fontsize": size} if small else {})
    known = " · ".join(facts)
    ax.text(left + 0.03, row - above, shortened(name, max(_LETTERS - len(known), _FEWEST)) if small else name, **bold)
    at: dict[str, Any] = {"x": 0.87, "ha": "right"} if small else {"x": 0.03}
    ax.text(y=row - below, s=known, color=colour, va="center", fontsize=size, **at)
    if share is not None:
        ax.text(0.97, row, units.percent(share, 1), ha="right", **bold)


def _facts(row: Row) -> list[str]:
    facts = [units.shape(row.output_shape)]
    if len(row.layers) > 1:
        facts.insert(0, units.counted(len(row.layers), "layer"))
    if row.parameters:
        facts.append(units.counted(row.parameters, "parameter"))
    if row.macs:
        facts.append(f"{units.count(row.macs)} MACs")
    if row.fused_into:
        facts.append(f"fused into {row.fused_into}")
    return facts
