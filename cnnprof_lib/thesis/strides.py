"""The stride series of the thesis: as a table, and as figures of ours beside the published values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from ..analysis import estimates, frames
from ..analysis.colours import THESIS, source_style
from ..analysis.frames import Record
from ..analysis.profile.numbers import by_op
from ..page.style import legend_below, log_ticks
from ..params.layers import Conv
from ..params.variant import VariantSpec
from . import BASELINE, PUBLISHED, published_table

_MS = 1e3


def stride_table(records: Sequence[Record]) -> pd.DataFrame:
    """The baseline and the variants that differ from it in nothing but the stride of all convolutions.

    Returns:
        ``source`` (a runtime, or `THESIS`), ``variant``, ``stride``, ``latency_s``, ``conv2d_share`` (of the ops' time,
        without unattributed time, as the thesis prints it). The thesis gives no latency; there it is the sum of
        the printed op times. Empty without a baseline.
    """
    runs = frames.completed(records)
    baseline = next((run.variant for run in runs if run.name == BASELINE), None)
    rows: list[tuple[str, str, int, float, float]] = []
    for run in runs:
        stride = _only_stride(run.variant, baseline) if run.variant and baseline else None
        if stride is not None:
            share = _conv2d_share(by_op(run)) if run.is_traced else math.nan
            rows.append((run.runtime, run.name, stride, estimates.latency(run).value, share))
    strides = {variant: stride for _, variant, stride, _, _ in rows if variant in PUBLISHED}
    for variant, stride in strides.items():
        printed = published_table(PUBLISHED[variant].table)
        rows.append((THESIS, variant, stride, float(printed["time_s"].sum()), _conv2d_share(printed)))
    table = pd.DataFrame(rows, columns=["source", "variant", "stride", "latency_s", "conv2d_share"])
    return table.sort_values("stride", kind="stable", ignore_index=True)


def _only_stride(variant: VariantSpec, baseline: VariantSpec) -> int | None:
    """The one stride of all the variant's convolutions, if nothing else tells it from the baseline."""
    strides = {layer.stride for layer in variant.layers if isinstance(layer, Conv)}
    one, other = (
        [layer.model_dump(exclude={"stride"} if isinstance(layer, Conv) else None) for layer in spec.layers]
        for spec in (variant, baseline)
    )
    only = strides.pop() if one == other and len(strides) == 1 else None
    return only if isinstance(only, int) else None


def _conv2d_share(table: pd.DataFrame) -> float:
    return float(table.loc[table["op"] == "Conv2D", "own_share"].sum())


def latency_against_stride(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How latency falls with the stride of the convolutions, on a log scale; ``data`` from `stride_table`."""
    ax = _against_stride(data, data["latency_s"] * _MS, ax)
    ax.set_yscale("log")
    log_ticks(ax.yaxis)
    ax.set(ylabel="latency per step [ms]", title="How much time does a larger stride save?")
    return ax


def conv2d_share_against_stride(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How Conv2D's share of the ops' time changes with the stride; ``data`` from `stride_table`."""
    ax = _against_stride(data, data["conv2d_share"] * 100, ax)
    ax.set(ylim=(0, 100), ylabel="Conv2D's share of the ops' time [%]", title="Does Conv2D remain the bottleneck?")
    return ax


def _against_stride(data: pd.DataFrame, values: pd.Series[float], ax: Axes | None) -> Axes:
    ax = ax or plt.gca()
    for source, rows in data.groupby("source", sort=False):
        line, label = ("none", "thesis (published)") if source == THESIS else ("-", str(source))
        ax.plot(rows["stride"], values[rows.index], linestyle=line, label=label, **source_style(str(source)))
    ax.set(xticks=sorted(data["stride"].unique()), xlabel="stride of both convolutions [pixels]")
    legend_below(ax)
    return ax
