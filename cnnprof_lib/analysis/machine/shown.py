"""What the machine can do, as figure and tables: layers under the roofline, latency by batch size and threads."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import label_points, legend_below, log_ticks
from ...page.table import Column, interval_texts, same_in_all, styled
from ...page.text import shortened
from ...records.machine import RooflineRecord
from ..colours import source_style
from .numbers import disturbance, roofs

NO_ROOFLINE = "Not measured{}: `cnnprof roofline` measures it once, and `make render` then draws it."
NO_SCALING = "Not measured: `make scaling` times two variants with small and large batches, on one and on all threads."
ROOFLINE_CAPTION = hover.Caption("roofline", "Each layer of the baseline under the roofline of this machine, in {}")
_MOST_NAMED = 12
"""Layers of a large network that the roofline has room to name."""
_GIGA = 1e9
_ROOF_COLOUR = "#555555"


def _giga(rate: float) -> str:
    return f"{rate / 1e9:.1f}"


_LATENCY = "latency per step"
_ROOFLINE = {
    "layer": Column("layer"),
    "macs_per_byte": Column("MAC/byte", "{:.1f}".format),
    "attainable_macs_per_s": Column("attainable GMAC/s", _giga),
    "macs_per_s": Column("achieved GMAC/s", _giga),
    "share_of_attainable": Column("of attainable", units.percent),
    "bound": Column("bound by"),
    "caution": Column("why above 100%"),
}
_SCALING = {
    "variant": Column("variant", wraps=False),
    "runtime": Column("runtime"),
    "machine": Column("machine"),
    "batch_size": Column("images per step", "{:.0f}".format),
    "threads": Column("threads", "{:.0f}".format),
    "latency_s": Column("median", units.seconds, _LATENCY),
    "latency_interval": Column("95% interval", None, _LATENCY, wraps=False),
    "images_per_s": Column("images/s", "{:,.0f}".format, "throughput"),
    "speedup": Column("over 1 thread", "{:.2f}".format, "throughput"),
    "macs_per_s": Column("GMAC/s", _giga, "multiply-adds"),
    "share_of_peak": Column("of the peak", "{:.1%}".format, "multiply-adds"),
}


def roofline_figure(data: pd.DataFrame, roof: RooflineRecord, *, ax: Axes | None = None) -> Axes:
    """The roof of the machine and the layers of a variant below it, on log scales; the longest are named.

    Args:
        data: From `numbers.under_roofline`, of one variant; tables of both runtimes may be stacked. Layers without
            multiply-adds have no place on these axes and are left out.
        roof: What the machine can do.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    drawn = data[data["macs_per_s"] > 0].assign(gmacs_per_s=lambda rows: rows["macs_per_s"] / _GIGA)
    ax.set(xscale="log", yscale="log")
    _draw_roofs(ax, roof, drawn["macs_per_byte"])
    for runtime, rows in drawn.groupby("runtime", sort=False):
        style = source_style(str(runtime))
        ax.plot(rows["macs_per_byte"], rows["gmacs_per_s"], linestyle="none", label=str(runtime), **style)
    ax.margins(x=0.02, y=0.1)
    ax.autoscale_view()
    log_ticks(ax.xaxis)
    log_ticks(ax.yaxis)
    named = drawn[drawn["time_s"].rank(ascending=False, method="first") <= _MOST_NAMED]
    points = zip(named["macs_per_byte"], named["gmacs_per_s"], named["layer"].map(_short), strict=True)
    label_points(ax, list(points), rim=True)
    ax.set(xlabel="arithmetic intensity [MAC/byte]", ylabel="rate [GMAC/s]", title=_finding(drawn))
    legend_below(ax, title=disturbance(roof))
    return ax


def _short(layer: str) -> str:
    return shortened(layer, 24)


def _draw_roofs(ax: Axes, roof: RooflineRecord, intensities: pd.Series[float]) -> None:
    one, every = roofs(roof)
    ends = [*intensities, one.ridge, every.ridge]
    left, right = min(ends) / 2, max(ends) * 4
    for limits, line in ((every, "-"), (one, "--")) if every.threads > 1 else ((one, "-"),):
        x = np.array([left, limits.ridge, right])
        y = np.minimum(limits.macs_per_s, x * limits.bytes_per_s) / _GIGA
        threads = units.counted(limits.threads, "thread")
        label = f"{threads}: {limits.macs_per_s / _GIGA:.0f} GMAC/s, {limits.bytes_per_s / _GIGA:.0f} GB/s"
        ax.plot(x, y, color=_ROOF_COLOUR, linestyle=line, label=label)


def _finding(drawn: pd.DataFrame) -> str:
    """The title: how much of its roof the layer reaches that takes longest of those with multiply-adds."""
    if drawn.empty:
        return "No layer with multiply-adds was timed"
    longest = drawn.sort_values("time_s").iloc[-1]
    share = units.percent(longest["share_of_attainable"], 0)
    text = f"{longest['layer']} of {longest['variant']} reaches {share} of its roof, {longest['runtime']}"
    return text if pd.isna(longest["caution"]) else f"{text}:\n{longest['caution']}"


def scaling_table(table: pd.DataFrame) -> Styler:
    """Latency by batch size and threads, from `numbers.scaling`."""
    shown = table.assign(latency_interval=interval_texts(table, "latency_s", units.seconds))
    hidden = [name for name in ("speedup", "share_of_peak") if table[name].isna().all()]
    hidden += same_in_all(table, "machine")
    return styled(shown, _SCALING, hidden=hidden, key="scaling", caption="Latency by batch size and number of threads")


def roofline_table(table: pd.DataFrame) -> Styler:
    """Layers of one run against what the machine can do at most, from `numbers.under_roofline`."""
    idle = table["step_macs"] == 0  # pooling and the like multiply nothing; their share is that of the bandwidth
    rates = ["macs_per_byte", "attainable_macs_per_s", "macs_per_s"]
    shown = table.assign(**{rate: table[rate].mask(idle) for rate in rates})
    variant, runtime = table[["variant", "runtime"]].iloc[0]
    caption = (
        f"The rate of each layer of {variant} beside the most that the machine can do, {runtime}. Only products that "
        "are computed count: Eigen's kernels multiply padding, oneDNN's kernels skip it"
    )
    hidden = [name for name in ("caution",) if table[name].isna().all()]
    return styled(shown, _ROOFLINE, hidden=hidden, caption=caption)
