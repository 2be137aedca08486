"""Ops, layers and networks as tables: numbers in the profiler's units, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from ...base import units
from ...page.table import Column, beside, folded_table, styled, with_row
from ...params.network import Network
from ..frames import sum_of_told

_TIME, _BYTES = "time per step", "requested bytes"

MOST_ROWS = 25
"""Layers that are in sight on a page; of larger networks the whole table opens on a click."""

OP_COLUMNS = {
    "op": Column("op"),
    "kernels": Column("executed as"),
    "time_s": Column("time", units.seconds, _TIME),
    "accumulated_share": Column("accum.", units.percent, _TIME),
    "own_share": Column("own", units.percent, _TIME),
    "step_share": Column("of step", units.percent, _TIME),
    "accelerator_s": Column("accelerator", units.seconds, _TIME),
    "requested_bytes": Column("bytes", units.num_bytes, _BYTES),
    "bytes_accumulated_share": Column("accum.", units.percent, _BYTES),
    "bytes_share": Column("own", units.percent, _BYTES),
}

_LAYERS = {
    "layer": Column("layer"),
    "type": Column("type"),
    "output_shape": Column("output shape", units.shape),
    "output_bytes": Column("output bytes", units.num_bytes),
    "macs": Column("MACs per image", units.count),
}

_LAYER_TIMES = {
    "time_s": Column("time per step", units.seconds),
    "time_share": Column("of the step", units.percent),
    "fused_into": Column("fused into"),
    "gmacs_per_s": Column("GMAC/s", "{:.1f}".format),
}

_ARCHITECTURE = {
    "layer": Column("layer"),
    "type": Column("type"),
    "output_shape": Column("output shape", units.shape),
    "parameters": Column("parameters", "{:,.0f}".format),
    "macs": Column("MACs per image", "{:,.0f}".format),
}


def ops_table(table: pd.DataFrame) -> Styler:
    """Ops of one run in the thesis's form, closed by the unattributed time and the whole profiled step.

    Args:
        table: From `numbers.by_op`. A kernel is shown where it does not bear its op's name, the accelerator where
            it did anything.
    """
    total = {
        "op": "profiled step",
        "kernels": "",
        "time_s": table["time_s"].sum(),
        "step_share": table["step_share"].sum(),
        "accelerator_s": table["accelerator_s"].sum(),
        "requested_bytes": sum_of_told(table["requested_bytes"]),
    }
    pairs = zip(table["op"], table["kernels"], strict=True)
    table = table.assign(kernels=["" if kernels == [op] else ", ".join(kernels) for op, kernels in pairs])
    hidden = [name for name in ("kernels", "accelerator_s") if not table[name].any()]
    return styled(with_row(table, total), OP_COLUMNS, hidden=hidden, closing_rows=2)


def nodes_table(table: pd.DataFrame) -> pd.DataFrame:
    """The nodes of one run, the longest first, as plain numbers under headers with their units: to sort and filter.

    Args:
        table: From `frames.profile`, by node. A kernel is shown where it does not bear its op's name.
    """
    table = table.sort_values("time_s", ascending=False, kind="stable")
    renamed = table["kernel"].where(table["kernel"] != table["op"], "")
    shown = pd.DataFrame(
        {
            "node": table["node"].where(table["node"] != "", table["op"]),
            "layer": table["layer"],
            "op": table["op"],
            "executed as": renamed,
            "time [µs]": (table["time_s"] * 1e6).round(1),
            "of step [%]": (table["time_s"] / table["time_s"].sum() * 100).round(2),
            "requested [KB]": (table["requested_bytes"] / 1e3).round(2),
        }
    ).reset_index(drop=True)
    return shown if renamed.any() else shown.drop(columns="executed as")


def layers_table(by_runtime: Mapping[str, pd.DataFrame], most: int | None = None) -> Styler:
    """Layers of one variant, closed by the whole profiled step: what they are, then their times in each runtime.

    Args:
        by_runtime: A table from `numbers.by_layer` for each runtime. What layers are fused into is shown where any
            is fused.
        most: Show so many, those that take longest in any runtime, and the others as one.
    """
    merged = pd.concat([table[list(_LAYERS)] for table in by_runtime.values()]).drop_duplicates("layer")
    sums = {"macs": merged["macs"].sum(min_count=1)}
    columns, hidden = dict(_LAYERS), []
    for runtime, table in by_runtime.items():
        names = {name: f"{name} {runtime}" for name in _LAYER_TIMES}
        merged = merged.merge(table[["layer", *names]].rename(columns=names), on="layer", how="left")
        sums |= {names[name]: table[name].sum() for name in ("time_s", "time_share")}
        columns |= {names[name]: column._replace(group=runtime) for name, column in _LAYER_TIMES.items()}
        hidden += [] if table["fused_into"].any() else [names["fused_into"]]
    texts = {"type": "", **{f"fused_into {runtime}": "" for runtime in by_runtime}}
    shares = merged[[f"time_share {runtime}" for runtime in by_runtime]].max(axis="columns").fillna(0.0)
    if most and len(merged) > most + 1:
        small = shares.rank(method="first", ascending=False) > most
        others = merged.loc[small, list(sums)].sum(min_count=1)
        merged = with_row(merged[~small], {"layer": f"{small.sum()} others", **texts, **others})
    return styled(with_row(merged, {"layer": "profiled step", **texts, **sums}), columns, hidden=hidden, closing_rows=1)


def layers_text(network: Network, by_runtime: Mapping[str, pd.DataFrame]) -> str:
    """HTML of the layers of a network: the table, or of many layers those that take longest and all of them folded.

    Args:
        network: The network.
        by_runtime: As for `layers_table`.
    """
    left_out = f", MACs{units.left_out(len(network.uncounted))}" if network.uncounted else ""
    title, count = f"Layers of {network.name}", len(network.layers)
    whole = layers_table(by_runtime)
    if count <= MOST_ROWS:
        return beside((title + left_out, whole))
    longest = beside((f"{title}: the {MOST_ROWS} that take longest{left_out}", layers_table(by_runtime, MOST_ROWS)))
    return longest + folded_table(f"All {units.counted(count, 'layer')} of {network.name}", whole)


def architecture_table(table: pd.DataFrame) -> Styler:
    """Layers of a network, from `numbers.architecture`, closed by their sums."""
    total = {"layer": "network", "type": "", **table[["parameters", "macs"]].sum(min_count=1)}
    left_out = units.left_out(int(table["macs"].isna().sum()))
    caption = f"Layers, parameters and multiply-adds of the network{left_out}; products with padding count"
    return styled(with_row(table, total), _ARCHITECTURE, closing_rows=1, caption=caption)


def shapes_table(table: pd.DataFrame) -> Styler:
    """Output shapes of several networks side by side, from `numbers.shapes`."""
    names = [name for name in table.columns if name != "layer"]
    columns = {"layer": Column("layer"), **{name: Column(name, units.shape) for name in names}}
    return styled(table, columns, caption="Output shapes of all networks")
