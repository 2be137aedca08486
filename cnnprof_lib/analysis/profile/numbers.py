"""What a step is made of: the ops and the layers of a run, and of its network.

Times are seconds per step of one batch, shares lie between 0 and 1. Ops and layers are shares of the profiled step,
`UNATTRIBUTED` time included, so that a table adds up; only ``own_share`` and ``accumulated_share`` of `by_op` leave it
out, as TensorFlow's profiler and therefore the thesis do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from ...params.costs import FLOAT32_BYTES
from ...params.network import Network, NetworkLayer
from ...records.run import RunRecord
from .. import frames
from ..frames import UNATTRIBUTED, frame_of, layer_order
from .blocks import blocks, is_long

MOST_BARS = 16
"""Rows that a figure has room for; those that take least are one."""
LEAST_BAR_SHARE = 0.005
"""Rows that in neither run reach this part of the step are drawn as one."""


class LayerRow(NamedTuple):
    """A layer of a run. What is no layer of the network has no type, shape, MACs and bytes."""

    layer: str
    time_s: float
    time_share: float
    """Of the profiled step."""
    fused_into: str
    """The layer whose kernel computes this one; empty where it has its own."""
    type: str = ""
    output_shape: tuple[int, ...] | float = math.nan
    """Without the batch."""
    macs: float | None = math.nan
    """Of one image."""
    gmacs_per_s: float = math.nan
    """Achieved; missing without MACs."""
    output_bytes: float = math.nan
    """float32, one batch."""


class BlockRow(NamedTuple):
    """Layers of a run that belong together, see `blocks.blocks`."""

    block: str
    layers: tuple[str, ...]
    time_s: float
    time_share: float
    """Of the profiled step."""
    macs: float | None
    """Of one image, of the layers in which they can be counted; None where that is none of them."""
    gmacs_per_s: float
    """Achieved; missing without MACs, or where some cannot be counted."""


def by_op(record: RunRecord) -> pd.DataFrame:
    """Ops of one run in the thesis's form, by falling time, and the row `UNATTRIBUTED` last.

    Returns:
        ``op``, ``kernels`` (sorted list, each with what is fused into it), ``occurrences``, ``time_s``,
        ``accumulated_share`` (of this row and all below it, as the profiler prints it), ``own_share``,
        ``step_share``, ``accelerator_s``, ``requested_bytes``, ``bytes_accumulated_share`` (in the same order of rows;
        0 where the row has no bytes), ``bytes_share``.
        ``time_s`` adds up to the profiled step. Empty where nothing was traced.
    """
    by_kernel = frames.ops([record])
    by_kernel["executed"] = [_executed(*pair) for pair in zip(by_kernel["kernel"], by_kernel["fuses"], strict=True)]
    rest = by_kernel["op"] == UNATTRIBUTED
    table = (
        by_kernel[~rest]
        .groupby("op", as_index=False)
        .agg(
            kernels=("executed", lambda kernels: sorted(set(kernels))),
            occurrences=("occurrences", "sum"),
            time_s=("time_s", "sum"),
            accelerator_s=("accelerator_s", "sum"),
            requested_bytes=("requested_bytes", frames.sum_of_told),
        )
        .sort_values("time_s", ascending=False, kind="stable")
    )
    table["own_share"] = _share(table["time_s"])
    table["accumulated_share"] = _accumulated(table["time_s"])
    table["bytes_share"] = _share(table["requested_bytes"])
    table["bytes_accumulated_share"] = _accumulated(table["requested_bytes"]).mask(table["requested_bytes"] == 0, 0.0)
    unattributed = pd.DataFrame(
        {
            "op": [UNATTRIBUTED],
            "kernels": [[]],
            "time_s": [record.unattributed_s],
            "accelerator_s": [0.0],
            "requested_bytes": [frames.told_bytes(record)],
        }
    )
    table = pd.concat([table, unattributed], ignore_index=True)
    table["step_share"] = table["time_s"] / (record.latency.profiled_mean_s or math.nan)
    return table if record.is_traced else table.iloc[:0]


def _executed(kernel: str, fuses: Sequence[str]) -> str:
    """A kernel as tables show it: ``_FusedConv2D (with BiasAdd, Relu)``."""
    return f"{kernel} (with {', '.join(fuses)})" if fuses else kernel


def _share(values: pd.Series[Any]) -> pd.Series[Any]:
    total = values.sum()
    return values / total if total else values * 0.0


def _accumulated(values: pd.Series[Any]) -> pd.Series[Any]:
    return _share(values)[::-1].cumsum()[::-1]


def by_layer(record: RunRecord, executed: pd.DataFrame) -> pd.DataFrame:
    """Layers of one run in the network's order, then `frames.NO_LAYER` and `UNATTRIBUTED`.

    Args:
        record: The run.
        executed: Its node executions, as `Store.read_ops` returns them.

    Returns:
        A `LayerRow` each; ``time_s`` adds up to the step. Where nothing was traced there are the layers alone, without
        times.
    """
    times = pd.Series(dtype=float)
    if record.is_traced:
        times = frames.profile(record, executed).groupby("layer", sort=False)["time_s"].sum()
    costs = {cost.name: cost for cost in record.network.layers}
    # A layer that ran no node of its own (flatten, dropout) took no time, but is there.
    rows = [
        _layer_row(record, name, float(times.get(name, 0.0)) if record.is_traced else math.nan, costs.get(name))
        for name in [*costs, *(name for name in times.index if name not in costs)]
    ]
    return frame_of(LayerRow, rows)


def _layer_row(record: RunRecord, name: str, time_s: float, cost: NetworkLayer | None) -> LayerRow:
    step_s = record.latency.profiled_mean_s or math.nan
    row = LayerRow(name, time_s, time_s / step_s, record.fused_into.get(name, ""))
    if cost is None:
        return row
    return row._replace(
        type=cost.type,
        output_shape=cost.output_shape,
        macs=cost.macs,
        gmacs_per_s=cost.macs * record.batch_size / time_s / 1e9 if cost.macs and time_s > 0 else math.nan,
        output_bytes=record.batch_size * math.prod(cost.output_shape) * FLOAT32_BYTES,
    )


def kernels(run: RunRecord, executed: pd.DataFrame) -> pd.DataFrame:
    """Which kernel ran for each layer, the one that took most time: ``layer``, ``kernel``, ``fell_back``."""
    own = executed[(executed["layer"] != "") & frames.computations(run, executed)]
    sums = own.groupby(["layer", "node", "kernel"])["self_ns"].sum().reset_index()
    longest = sums.loc[sums.groupby("layer")["self_ns"].idxmax()]
    longest = longest.assign(fell_back=[run.fell_back.get(node, "") for node in longest["node"]]).set_index("layer")
    names = [name for name in layer_order([layer.name for layer in run.network.layers]) if name in longest.index]
    return longest.loc[names, ["kernel", "fell_back"]].reset_index()


def by_block(record: RunRecord, layers: pd.DataFrame) -> pd.DataFrame:
    """The same by blocks of layers, a `BlockRow` each, of a network that is shown by them; none of any other.

    Args:
        record: The run.
        layers: Its layers, from `by_layer`.
    """
    found = blocks(record.network) if is_long(record.network) else []
    of_layer = layers.set_index("layer")
    rows = []
    for name, names in found:
        own = of_layer.loc[list(names)]
        time_s, macs = own["time_s"].sum(min_count=1), own["macs"].astype(float)
        total = float(macs.sum()) if macs.notna().any() else None
        rate = total * record.batch_size / time_s / 1e9 if total and time_s > 0 and macs.notna().all() else math.nan
        rows.append(BlockRow(name, names, time_s, own["time_share"].sum(min_count=1), total, rate))
    return frame_of(BlockRow, rows)


def architecture(network: Network) -> pd.DataFrame:
    """Layers of a network: ``layer``, ``type``, ``output_shape``, ``parameters``, ``macs`` (of one image)."""
    rows = [(c.name, c.type, c.output_shape, c.parameters, c.macs) for c in network.layers]
    return pd.DataFrame(rows, columns=["layer", "type", "output_shape", "parameters", "macs"])


def shapes(networks: Sequence[Network]) -> pd.DataFrame:
    """Output shapes of several networks: ``layer`` and a column per variant, missing where it has no such layer."""
    columns = [
        pd.Series({layer.name: layer.output_shape for layer in network.layers}, name=network.name, dtype=object)
        for network in networks
    ]
    return pd.concat(columns, axis="columns", sort=False).rename_axis("layer").reset_index()


def totals_of_both(before: pd.DataFrame, after: pd.DataFrame, value: str, by: str) -> pd.DataFrame:
    """What two runs spend, added up by op, layer or the like, for one beside the other.

    Args:
        before: Rows of `frames.profile` or `frames.ops` of one run.
        after: The same of another.
        value: The column to add up.
        by: The column to add up by.

    Returns:
        ``before`` and ``after``, a row for each value of ``by``: the longest first, and those that in neither run reach
        `LEAST_BAR_SHARE` as one; but all layers, in their order, up to `MOST_BARS`.

    Raises:
        MeasureError: a runtime does not tell ``value``.
    """
    for data in (before, after):
        frames.require_told(data, value)
    sums = [data.groupby(by, sort=False)[value].sum() for data in (before, after)]
    totals = pd.concat(sums, axis="columns", keys=["before", "after"], sort=False).fillna(0.0)
    if by == "layer":
        totals = totals.reindex([name for name in layer_order(*(s.index for s in sums)) if name in totals.index])
        return largest_rows(totals)
    totals = totals.loc[totals.max(axis="columns").sort_values(ascending=False, kind="stable").index]
    return largest_rows(totals, LEAST_BAR_SHARE)


def largest_rows(totals: pd.DataFrame, least_share: float = 0.0) -> pd.DataFrame:
    """The rows that a figure has room for, in their order, and the others together as the last.

    Args:
        totals: What is spent, a column for each run.
        least_share: Rows that in no column reach this part of its sum are among the others.
    """
    shares = (totals / totals.sum()).fillna(0.0).max(axis="columns")
    small = shares < least_share
    if len(totals) - small.sum() + small.any() > MOST_BARS:
        small |= shares.rank(method="first", ascending=False) >= MOST_BARS
    if small.sum() < 2:
        return totals
    rest = totals[small].sum().to_frame(f"{small.sum()} others").T
    return pd.concat([totals[~small], rest])
