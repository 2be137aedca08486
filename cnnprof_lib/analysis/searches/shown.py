"""What searches tried as figure, table and sentences."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import interval_lengths, label_points, legend_below, log_ticks
from ...page.table import Column, interval_texts, styled
from ...page.text import code, escape
from ...params.runtimes import REFERENCE_RUNTIME
from ...records.search import SearchRecord
from .numbers import CANDIDATE, EARLIER, FINALIST, PICKED

TRIED_CAPTION = hover.Caption(
    "tried",
    "Networks that the search {} tried: top-1 on the images held out after a short training, against the ratio of "
    "predicted latency to that of the baseline; bars are 95% intervals, the line is the ratio asked for",
)
_LOOKS: dict[str, dict[str, Any]] = {
    CANDIDATE: {"color": "#0173b2", "marker": "o"},
    FINALIST: {"color": "#d55e00", "marker": "*", "markersize": 11},
    PICKED: {"color": "#029e73", "marker": "D"},
    EARLIER: {"color": "#949494", "marker": "o", "markerfacecolor": "white"},
}
_NAMED = (FINALIST, PICKED)
_PREDICTED, _PROXY, _FULL, _MEASURED = "predicted ratio", "short training", "full training", "measured ratio"
_TRIED = {
    "variant": Column("network", wraps=False),
    "role": Column("role"),
    "macs_per_image": Column("MACs per image", units.count),
    "parameters": Column("parameters", "{:,.0f}".format),
    "ratio": Column("median", "{:.4f}".format, _PREDICTED),
    "ratio_interval": Column("95% interval", None, _PREDICTED, wraps=False),
    "outside": Column("layers not calibrated for", "{:.0f}".format, _PREDICTED),
    "held_out": Column("held out", "{:.1%}".format, _PROXY),
    "held_out_interval": Column("95% interval", None, _PROXY, wraps=False),
    "seconds": Column("seconds", "{:,.0f}".format, _PROXY),
    "full_held_out": Column("held out", "{:.1%}".format, _FULL),
    "full_test": Column("test", "{:.1%}".format, _FULL),
    "measured_ratio": Column("median", "{:.4f}".format, _MEASURED),
    "measured_ratio_interval": Column("95% interval", None, _MEASURED, wraps=False),
}


def tried_figure(rows: pd.DataFrame, target_ratio: float, *, ax: Axes | None = None) -> Axes:
    """Accuracy after a short training against predicted ratio; finalists and what a person picked are named.

    Args:
        rows: Of one search, from `numbers.tried`; those not tried yet are left out.
        target_ratio: What no candidate is predicted to exceed.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    ax.set(xlabel="predicted latency / that of the baseline", ylabel="top-1, held out, short training [%]")
    ax.set_title("What did the search try?")
    there = rows.dropna(subset=["held_out"])
    if there.empty:
        ax.text(0.5, 0.5, "no network was tried yet", transform=ax.transAxes, ha="center")
        ax.set(xticks=[], yticks=[])
        return ax
    ax.set_xscale("log")
    for role, look in _LOOKS.items():
        some = there[there["role"] == role]
        ends = (interval_lengths(some, "held_out", 100), interval_lengths(some, "ratio"))
        if len(some):
            style = {"markersize": 5, "linestyle": "none", "elinewidth": 0.6, **look}
            ax.errorbar(some["ratio"], some["held_out"] * 100, *ends, label=role, **style)
    ax.axvline(target_ratio, color="#555555", linewidth=1, linestyle=":", label="asked for")
    ax.margins(x=0.2, y=0.1)
    log_ticks(ax.xaxis)
    named = there[there["role"].isin(_NAMED)]
    label_points(ax, list(zip(named["ratio"], named["held_out"] * 100, named["variant"], strict=True)), rim=True)
    legend_below(ax)
    return ax


def tried_table(rows: pd.DataFrame, search: str) -> Styler:
    """All networks of one search, from `numbers.tried`; what is known of none has no column."""
    shown = rows.assign(
        ratio_interval=interval_texts(rows, "ratio", "{:.4f}".format),
        held_out_interval=interval_texts(rows, "held_out", "{:.1%}".format),
        measured_ratio_interval=interval_texts(rows, "measured_ratio", "{:.4f}".format),
    )
    empty = [name for name in ("full_held_out", "full_test", "measured_ratio") if rows[name].isna().all()]
    hidden = [*empty, *(["measured_ratio_interval"] if "measured_ratio" in empty else [])]
    hidden += [] if rows["outside"].any() else ["outside"]
    return styled(shown, _TRIED, hidden=hidden, caption=f"Networks that the search {search} tried")


def search_text(search: SearchRecord) -> str:
    """What was searched, and how, in Markdown."""
    spec = search.spec
    least = f"{spec.least_ratio:g} to " if spec.least_ratio else "at most "
    networks = units.counted(search.networks, "network")
    chosen = (
        f"The images held out chose {len(search.finalists)} of them to be trained by {code(spec.recipe)}; the test "
        "images chose nothing."
        if search.finalists
        else "Not all of them were tried yet."
    )
    return (
        f"**{escape(spec.title)}** ({code(spec.name)}): a space of {networks}, of which {search.within:,} are "
        f"predicted to take {least}{spec.target_ratio:g} of the latency of {code(spec.baseline)} in "
        f"{code(REFERENCE_RUNTIME)}, in {code(spec.runtime)} with batches of {spec.batch_size}. By their intervals "
        f"{search.maybe_slower:,} of these may be slower, and {search.maybe_within:,} others may be as fast. Those "
        f"that compute the most in their time and are little alike are trained by {code(spec.proxy)}. {chosen}"
    )
