"""Sweeps as heat maps, tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import log_ticks
from ...page.table import Column, interval_texts, same_in_all, styled
from ...page.text import code, escape, listed
from .numbers import REST, Grid

HEAT_CAPTION = hover.Caption(
    "heat",
    "Latency per step over the grid: the ratio to the baseline in the same process, times the median latency of the "
    "baseline beside all runs. A missing field was not measured",
)
GRID_FRONTIER_CAPTION = hover.Caption(
    "grid-frontier", "Accuracy against latency of the networks of the grid that have trained weights"
)
MOST_HEATS = 6
"""Heat maps that a page has room for."""
MOST_NETWORKS = 40
"""Rows of a table of networks, the fastest. Own choice."""
_LATENCY, _RATIO = "latency per step", "ratio to baseline"
_NAMES = {"batch_size": "images per step"}
_EXPLAINED = {
    "machine": Column("machine"),
    "factor": Column("factor"),
    "levels": Column("levels", lambda count: f"{count:.0f}" if count else ""),
    "share": Column("of the variance", units.percent),
    "slowest_over_fastest": Column("slowest / fastest level", "{:.2f}".format),
}


def heat_figure(
    table: pd.DataFrame, across: str, down: str, held: Mapping[str, Any], *, ax: Axes | None = None
) -> Axes:
    """Latencies over two factors, as colours on a log scale and as numbers.

    Args:
        table: From `numbers.heat`, in seconds.
        across: The factor along the columns.
        down: The one along the rows; empty for none.
        held: The conditions that hold for all of it, of those that vary.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    texts = table.map(lambda value: "" if pd.isna(value) else f"{value * 1e3:.3g}")
    many = table.size > 150
    sns.heatmap(
        table * 1e3,
        annot=False if many else texts.to_numpy(),
        fmt="",
        norm=LogNorm(),
        cmap="viridis_r",
        cbar_kws={"label": "latency per step [ms]"},
        ax=ax,
    )
    log_ticks(ax.collections[0].colorbar.ax.yaxis)  # type: ignore[union-attr]
    title = ", ".join(f"{_NAMES.get(name, name)} {value}" for name, value in held.items())
    ax.set(xlabel=across, ylabel=down, title=title or "How does latency change over the grid?")
    return ax


def explained_table(table: pd.DataFrame, base: str) -> Styler:
    """Which factor explains the latency, from `numbers.explained`."""
    caption = f"Which factor explains the latency of the networks that change {base or 'nothing'}"
    return styled(
        table.replace({"factor": _NAMES}),
        _EXPLAINED,
        hidden=same_in_all(table, "machine"),
        caption=caption,
        key=f"explained-{base}",
    )


def explained_text(table: pd.DataFrame) -> str:
    """The factor that explains most, in a sentence; ``table`` from `numbers.explained`."""
    named = table[table["factor"] != REST]
    if named.empty:
        return "The grid has too few runs to say which factor explains the latency."
    first = named.iloc[0]
    return (
        f"Of the factors, {code(_NAMES.get(first['factor'], first['factor']))} explains most of the latency: "
        f"{units.percent(first['share'], 0)} of the variance of its logarithm. All else being equal, its slowest level "
        f"takes {first['slowest_over_fastest']:.2f} times as long as its fastest."
    )


def grid_text(grid: Grid) -> str:
    """What a grid is of, in a sentence."""
    data = grid.data
    networks = units.counted(data["variant"].nunique(), "network")
    what = f"change {listed(map(code, grid.factors))} of {code(grid.base)}" if grid.factors else "change no other one"
    hosts = data["host"].replace("", "an unknown host").unique()
    kinds = data["machine"].unique()
    where = f"on {escape(hosts[0])}" if len(hosts) == 1 else f"on {len(hosts)} hosts ({listed(map(escape, hosts))})"
    unlike = f" **They are {len(kinds)} kinds of machine**: {listed(map(escape, kinds))}. Latencies compare within one."
    return f"{networks} {what}: {units.counted(len(data), 'run')} {where}.{unlike if len(kinds) > 1 else ''}"


def frontier_missing_text(grid: Grid) -> str:
    """Which networks have no accuracy, in a sentence; empty where all have."""
    networks = grid.data.groupby("variant")["top1"].max()
    without = int(networks.isna().sum())
    if not without:
        return ""
    whose = "They have" if without == len(networks) else f"{without} of {units.counted(len(networks), 'network')} have"
    return f"{whose} initial weights, so no accuracy is known: `cnnprof train` takes files of `params/`."


def networks_table(grid: Grid) -> Styler:
    """The networks of a grid, the fastest first; the first `MOST_NETWORKS`."""
    data = grid.data.sort_values("scaled_s", kind="stable").head(MOST_NETWORKS)
    shown = data.assign(
        latency_interval=interval_texts(data, "latency_s", units.seconds),
        ratio_interval=interval_texts(data, "ratio", "{:.3f}".format),
    )
    columns = {
        "variant": Column("network", wraps=False),
        **{factor: Column(factor, str) for factor in grid.factors},
        "machine": Column("machine"),
        "host": Column("host"),
        "runtime": Column("runtime"),
        "batch_size": Column("images per step", "{:.0f}".format),
        "threads": Column("threads"),
        "latency_s": Column("median", units.seconds, _LATENCY),
        "latency_interval": Column("95% interval", None, _LATENCY, wraps=False),
        "ratio": Column("median", "{:.3f}".format, _RATIO),
        "ratio_interval": Column("95% interval", None, _RATIO, wraps=False),
        "parameters": Column("parameters", "{:,.0f}".format),
        "macs_per_image": Column("MACs per image", units.count),
        "top1": Column("top-1", units.percent),
    }
    same = same_in_all(grid.data, "machine", "host", "runtime", "batch_size", "threads")
    hidden = [*same, *(["top1"] if shown["top1"].isna().all() else [])]
    what = f" that change {grid.base}" if grid.base else ""
    first = f", the fastest {MOST_NETWORKS} of {len(grid.data):,}" if len(grid.data) > MOST_NETWORKS else ""
    return styled(shown, columns, hidden=hidden, caption=f"The networks{what}{first}")


def machines_table(table: pd.DataFrame) -> Styler:
    """Ratios to the baseline by kind of machine, from `numbers.by_machine`."""
    shown = table.head(MOST_NETWORKS)
    kept = ("variant", "runtime", "batch_size", "threads")
    columns = {
        "variant": Column("network", wraps=False),
        "runtime": Column("runtime"),
        "batch_size": Column("images per step", "{:.0f}".format),
        "threads": Column("threads"),
        **{name: Column(name, "{:.3f}".format, _RATIO) for name in table.columns if name not in kept},
    }
    return styled(shown, columns, caption="Ratio to the baseline on each kind of machine")
