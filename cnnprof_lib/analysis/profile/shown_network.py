"""The picture of a network: its layers as boxes, coloured by the time they take of a step.

It shows what the thesis's Figure 4.17 shows of the graph, layer by layer instead of node by node.
"""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import PercentFormatter

from ...base import units
from ...page import hover
from ...page.style import text_colour
from ...params.network import Network, NetworkLayer

NETWORK_CAPTION = hover.Caption(
    "network",
    "The layers from the input to the classes, in {}. Each box names the layer's output shape, its parameters and its "
    "MACs for one image; the colour is its share of the profiled step",
)
NETWORK_COLOURS = "YlOrRd"
"""Sequential, and none of the ops' colours."""
_SHARES = Normalize(0, 1)
"""The whole step, whatever the network, so that a colour means the same in all pictures."""
_HEIGHT = 0.8
"""Of a box; rows are 1 apart."""
_ARROW: dict[str, Any] = {"arrowstyle": "-|>", "color": "#555555", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}


def network_figure(network: Network, layers: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The layers from the image to the classes, with shape, parameters and MACs of one image, and share of the step.

    Args:
        network: The network.
        layers: From `numbers.by_layer`, of a run of it. What is no layer, such as the unattributed time, stands
            apart below, so that the shares add up to the step.
        ax: Where to draw; some 4 inches of width and 0.5 of height for each row of ``layers`` hold its texts.
    """
    ax = ax or plt.gca()
    colours = mpl.colormaps[NETWORK_COLOURS]
    costs = {layer.name: layer for layer in network.layers}
    _write(ax, 0, "input", [units.shape(tensor.shape) for tensor in network.inputs], colour="black")
    columns = (layers[name] for name in ("layer", "time_share", "fused_into"))
    for row, (name, share, fused_into) in enumerate(zip(*columns, strict=True), start=1):
        cost, colour = costs.get(name), colours(_SHARES(share))
        line: dict[str, Any] = {"linestyle": "-" if cost else ":", "edgecolor": "#555555", "linewidth": 0.8}
        box = FancyBboxPatch((0, row - _HEIGHT / 2), 1, _HEIGHT, "round,pad=0,rounding_size=0.02", **line)
        box.set(facecolor=colour, mutation_aspect=8)
        hover.tell(ax.add_patch(box), f"{name}: {units.percent(share)} of the step")
        _write(ax, row, name, _facts(cost, fused_into) if cost else [], colour=text_colour(colour), share=share)
        if cost:
            ax.annotate("", (0.5, row - _HEIGHT / 2), (0.5, row - 1 + _HEIGHT / 2), arrowprops=_ARROW)
    ax.set(xlim=(-0.01, 1.01), ylim=(len(layers) + 0.6, -0.5), title=f"Where a step of {network.name} goes")
    ax.set_axis_off()
    bar = ax.inset_axes((0.0, -0.02, 1.0, 0.02))
    ax.figure.colorbar(
        ScalarMappable(_SHARES, colours), cax=bar, orientation="horizontal", format=PercentFormatter(1)
    ).set_label("share of the profiled step")
    return ax


def _write(ax: Axes, row: int, name: str, facts: list[str], *, colour: str, share: float | None = None) -> None:
    """One row: the name above what is known of it to the left, the share to the right."""
    above, below = (0.17, -0.17) if facts else (0.0, 0.0)
    ax.text(0.03, row - above, name, color=colour, weight="bold", va="center")
    ax.text(0.03, row - below, " · ".join(facts), color=colour, va="center", fontsize="small")
    if share is not None:
        ax.text(0.97, row, units.percent(share, 1), color=colour, weight="bold", ha="right", va="center")


def _facts(cost: NetworkLayer, fused_into: str) -> list[str]:
    facts = [units.shape(cost.output_shape)]
    if cost.parameters:
        facts.append(units.counted(cost.parameters, "parameter"))
    if cost.macs:
        facts.append(f"{units.count(cost.macs)} MACs")
    if fused_into:
        facts.append(f"fused into {fused_into}")
    return facts
