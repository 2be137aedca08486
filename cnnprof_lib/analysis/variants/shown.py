"""All runs side by side, as table, figure and sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import factor_rows, interval_lengths, label_right, legend_below, row_heights
from ...page.table import Column, interval_texts, same_in_all, styled
from ...page.text import code, escape, interval_text
from ..colours import source_style
from ..resolution import INDISTINCT

RECORDED = "recorded, not measured here"
RATIO_CAPTION = hover.Caption("ratio", "The share of the baseline's latency that is left, with 95% intervals")
_LATENCY, _RATIO, _NETWORK, _TOP1 = "latency per step", "ratio to baseline", "network", "top-1"

_OVERVIEW = {
    "variant": Column("variant", wraps=False),
    "runtime": Column("runtime"),
    "machine": Column("machine"),
    "latency_s": Column("median", units.seconds, _LATENCY),
    "latency_interval": Column("95% interval", None, _LATENCY, wraps=False),
    "ratio": Column("median", "{:.3f}".format, _RATIO),
    "ratio_interval": Column("95% interval", None, _RATIO, wraps=False),
    "indistinct": Column("", None, _RATIO),
    "process_spread": Column("between processes", units.percent, "spread"),
    "requested_bytes": Column("requested bytes", units.num_bytes, _NETWORK),
    "parameters": Column("parameters", "{:,.0f}".format, _NETWORK),
    "macs_per_image": Column("MACs per image", units.count, _NETWORK),
    "top1": Column("accuracy", units.percent, _TOP1),
    "top1_interval": Column("95% interval", None, _TOP1, wraps=False),
    "remark": Column("remark", None, _TOP1),
}


def overview_table(table: pd.DataFrame) -> Styler:
    """All runs, from `numbers.overview`; a failed one shows its error and no numbers."""
    shown = table.assign(
        latency_interval=interval_texts(table, "latency_s", units.seconds),
        ratio_interval=interval_texts(table, "ratio", "{:.3f}".format),
        indistinct=table["indistinct"].map({True: INDISTINCT, False: ""}),
        top1_interval=interval_texts(table, "top1", units.percent),
        remark=[_remark(row) for row in table.to_dict("records")],
    )
    hidden = [*same_in_all(table, "machine"), *([] if table["indistinct"].any() else ["indistinct"])]
    hidden += ["process_spread"] if table["process_spread"].isna().all() else []
    caption = "All runs: latency, ratio to the baseline, size of the network and accuracy"
    if len(remarks := set(shown["remark"])) == 1:  # once is enough
        hidden.append("remark")
        caption += f" ({remarks.pop()})"
    return styled(shown, _OVERVIEW, hidden=hidden, caption=caption, key="overview")


def brief_table(table: pd.DataFrame) -> Styler:
    """The same in few columns."""
    shown = table.assign(
        latency_interval=interval_texts(table, "latency_s", units.seconds),
        ratio_interval=interval_texts(table, "ratio", "{:.3f}".format),
    )
    brief = ("variant", "runtime", "machine", "latency_s", "latency_interval", "ratio", "ratio_interval", "top1")
    return styled(shown, {name: _OVERVIEW[name] for name in brief}, hidden=same_in_all(table, "machine"))


def _remark(row: dict[Any, Any]) -> str:
    if row["status"] == "failed":
        return f"failed: {row['error']}"
    if pd.isna(row["top1"]):
        return "neither measured nor recorded"
    return "measured" if row["accuracy_measured"] else RECORDED


def ratio_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How much of the baseline's latency is left, with 95% intervals, on a log scale; a band of what is no difference.

    Args:
        data: From `numbers.overview`; failed runs are left out.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    data = data.dropna(subset=["ratio"])
    variants, runtimes = list(data["variant"].unique()), list(data["runtime"].unique())
    for place, runtime in enumerate(runtimes):
        rows = data[data["runtime"] == runtime]
        y = row_heights(rows["variant"], variants, place, len(runtimes), room=0.3)
        xerr = interval_lengths(rows, "ratio")
        ax.errorbar(rows["ratio"], y, xerr=xerr, linestyle="none", label=runtime, **source_style(runtime))
        for ratio, end, height in zip(rows["ratio"], rows["ratio_high"].fillna(rows["ratio"]), y, strict=True):
            label_right(ax, f"{ratio:.2f}", (end, height))
    if not np.isnan(smallest := data["smallest_ratio"].max()):
        ax.axvspan(1 / smallest, smallest, color="#dddddd", zorder=0, label=INDISTINCT)
    factor_rows(ax, variants)
    ax.set(xlabel="latency / latency of the baseline in the same process", title="How much of the latency is left?")
    legend_below(ax)
    return ax


def findings_text(overview: pd.DataFrame) -> str:
    """The fastest variant of each runtime against the baseline, and what it costs; a list.

    Args:
        overview: From `numbers.overview`.
    """
    lines = []
    for runtime in overview["runtime"].unique():
        rows = overview[(overview["runtime"] == runtime) & (overview["status"] == "ok")]
        base = rows[rows["is_baseline"]]
        if base.empty or len(rows) < 2:
            continue
        base_row, fastest = base.iloc[0], rows.loc[rows["latency_s"].idxmin()]
        line = (
            f"`{runtime}`: the baseline takes {units.seconds(base_row['latency_s'])} per step. The fastest is "
            f"{code(fastest['variant'])} with {units.seconds(fastest['latency_s'])}, {fastest['ratio']:.3f} of the "
            f"baseline's latency ({interval_text(fastest['ratio_low'], fastest['ratio_high'], '{:.3f}'.format)})"
        )
        if pd.notna(fastest["top1"]) and pd.notna(base_row["top1"]):
            line += f", at {units.percent(fastest['top1'], 1)} top-1 instead of {units.percent(base_row['top1'], 1)}"
        lines.append(f"- {line}. [Figure](#F_ops-{runtime}) shows what the steps are made of.")
    return "\n".join(lines)


def passed_over_text(unreadable: Iterable[str]) -> str:
    """Why some of what is stored is shown nowhere, from `Store.unreadable`; a list."""
    return "\n".join(f"- **Passed over**: {escape(line)}" for line in unreadable)
