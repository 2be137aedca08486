"""Result tables as HTML: numbers in the profiler's units, every text escaped.

Each function takes a frame of `summary` or `thesis` and returns a pandas Styler, which a notebook shows as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from ..base import units
from ..page.table import Column, interval_texts, styled, with_row
from ..records.run import RunRecord
from . import frames
from .check import INDISTINCT
from .conditions import conditions
from .frames import Record

RECORDED = "recorded, not measured here"

_HASH_DIGITS = 12
_COMMIT = re.compile(r"^([0-9a-f]{12})[0-9a-f]{28}")


_TIME, _BYTES = "time per step", "requested bytes"
OPS = {
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
_LATENCY, _RATIO, _NETWORK, _TOP1 = "latency per step", "ratio to baseline", "network", "top-1"
_OVERVIEW = {
    "variant": Column("variant", wraps=False),
    "runtime": Column("runtime"),
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
_TRAININGS = {
    "variant": Column("variant", wraps=False),
    "recipe": Column("recipe"),
    "seed": Column("seed", "{:.0f}".format),
    "steps": Column("steps", "{:,.0f}".format),
    "machine": Column("machine"),
    "step_s": Column("median step", units.seconds),
    "training_s": Column("steps times that [h]", lambda seconds: f"{seconds / 3600:.2f}"),
    "held_out_top1": Column("held out", units.percent, _TOP1),
    "top1": Column("test", units.percent, _TOP1),
    "top1_interval": Column("95% interval", None, _TOP1, wraps=False),
}


def ops(table: pd.DataFrame) -> Styler:
    """Ops of one run in the thesis's form, closed by the unattributed time and the whole profiled step.

    Args:
        table: From `summary.op_table`. A kernel is shown where it does not bear its op's name, the accelerator where
            it did anything.
    """
    total = {
        "op": "profiled step",
        "kernels": "",
        "time_s": table["time_s"].sum(),
        "step_share": table["step_share"].sum(),
        "accelerator_s": table["accelerator_s"].sum(),
        "requested_bytes": table["requested_bytes"].sum(),
    }
    pairs = zip(table["op"], table["kernels"], strict=True)
    table = table.assign(kernels=["" if kernels == [op] else ", ".join(kernels) for op, kernels in pairs])
    hidden = [name for name in ("kernels", "accelerator_s") if not table[name].any()]
    return styled(with_row(table, total), OPS, hidden=hidden, closing_rows=2)


def nodes(table: pd.DataFrame) -> pd.DataFrame:
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


def layers(by_runtime: Mapping[str, pd.DataFrame]) -> Styler:
    """Layers of one variant, closed by the whole profiled step: what they are, then their times in each runtime.

    Args:
        by_runtime: A table from `summary.layer_table` for each runtime. What layers are fused into is shown where any
            is fused.
    """
    merged = pd.concat([table[list(_LAYERS)] for table in by_runtime.values()]).drop_duplicates("layer")
    total: dict[Any, Any] = {"layer": "profiled step", "type": "", "macs": merged["macs"].sum()}
    columns, hidden = dict(_LAYERS), []
    for runtime, table in by_runtime.items():
        names = {name: f"{name} {runtime}" for name in _LAYER_TIMES}
        merged = merged.merge(table[["layer", *names]].rename(columns=names), on="layer", how="left")
        total |= {names[name]: table[name].sum() for name in ("time_s", "time_share")}
        columns |= {names[name]: column._replace(group=runtime) for name, column in _LAYER_TIMES.items()}
        total[names["fused_into"]] = ""
        hidden += [] if table["fused_into"].any() else [names["fused_into"]]
    return styled(with_row(merged, total), columns, hidden=hidden, closing_rows=1)


def architecture(table: pd.DataFrame) -> Styler:
    """Layers of a network, from `summary.architecture`, closed by their sums."""
    total = {"layer": "network", "type": "", **table[["parameters", "macs"]].sum()}
    caption = "Layers, parameters and multiply-adds of the network; products with padding count"
    return styled(with_row(table, total), _ARCHITECTURE, closing_rows=1, caption=caption)


def shapes(table: pd.DataFrame) -> Styler:
    """Output shapes of several networks side by side, from `summary.shapes`."""
    names = [name for name in table.columns if name != "layer"]
    columns = {"layer": Column("layer"), **{name: Column(name, units.shape) for name in names}}
    return styled(table, columns, caption="Output shapes of all networks")


def overview(table: pd.DataFrame) -> Styler:
    """All runs, from `summary.overview`; a failed one shows its error and no numbers."""
    shown = table.assign(
        latency_interval=interval_texts(table, "latency_s", units.seconds),
        ratio_interval=interval_texts(table, "ratio", "{:.3f}".format),
        indistinct=table["indistinct"].map({True: INDISTINCT, False: ""}),
        top1_interval=interval_texts(table, "top1", units.percent),
        remark=[_remark(row) for row in table.to_dict("records")],
    )
    hidden = [] if table["indistinct"].any() else ["indistinct"]
    hidden += ["process_spread"] if table["process_spread"].isna().all() else []
    caption = "All runs: latency, ratio to the baseline, size of the network and accuracy"
    if len(remarks := set(shown["remark"])) == 1:  # once is enough
        hidden.append("remark")
        caption += f" ({remarks.pop()})"
    return styled(shown, _OVERVIEW, hidden=hidden, caption=caption, key="overview")


def trainings(table: pd.DataFrame) -> Styler:
    """How the weights came about, from `training.results`."""
    shown = table.assign(top1_interval=interval_texts(table, "top1", units.percent))
    return styled(shown, _TRAININGS, caption="How the networks were trained, and how accurate they are")


def _remark(row: dict[Any, Any]) -> str:
    if row["status"] == "failed":
        return f"failed: {row['error']}"
    if pd.isna(row["top1"]):
        return "neither measured nor recorded"
    return "measured" if row["accuracy_measured"] else RECORDED


def environment(records: Sequence[Record]) -> Styler:
    """Machine, software, images and weights of the runs: a column per runtime, all values where its runs differ."""
    runs = frames.completed(records)
    facts = pd.DataFrame([{"runtime": run.runtime, **_facts(run)} for run in runs])
    merged = facts.groupby("runtime", sort=False).agg(_distinct)
    table = merged.T.rename_axis("fact").reset_index()
    columns = {"fact": Column(""), **{runtime: Column(runtime) for runtime in merged.index}}
    return styled(table, columns, caption="Machine, software, images and weights of the runs")


def provenance(records: Sequence[Record]) -> Styler:
    """Of every run its ids, commit, weights and images: what the numbers beside its variant and runtime rest on."""
    rows = [
        {
            "variant": run.variant.name,
            "runtime": run.runtime,
            "runs": ", ".join(run.pooled or (run.run_id,)),
            "commit": _COMMIT.sub(r"\1", run.commit or "unknown"),
            "weights": run.weights.sha256[:_HASH_DIGITS],
            "images": run.images.sha256[:_HASH_DIGITS] if run.images.sha256 else run.images.name,
        }
        for run in frames.completed(records)
    ]
    columns = {name: Column(name) for name in rows[0]} if rows else {}
    return styled(pd.DataFrame(rows), columns, caption="What the numbers of each variant and runtime rest on")


def _distinct(values: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(values))


def _facts(run: RunRecord) -> dict[str, str]:
    weights = run.weights
    recipe = f", recipe {weights.recipe}" if weights.recipe else ""
    blocks = run.latency.plain_s
    return {
        **conditions(run),
        "memory": units.num_bytes(run.machine.memory_bytes),
        "system": run.machine.system,
        "Python": run.machine.python,
        "unprofiled steps": f"{sum(map(len, blocks))} in {units.counted(len(blocks), 'block')}",
        "images while timed": run.images.name,
        "weights": f"{weights.origin}{recipe}",
        "commit": _COMMIT.sub(r"\1", run.commit or "unknown"),
    }
