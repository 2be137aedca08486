"""Records to result tables: ops, layers, variants, and what a script reads from `cnnprof show --json`.

Times are seconds per step of one batch, shares lie between 0 and 1, intervals are 95%. Ops and layers are shares of the
profiled step, `UNATTRIBUTED` time included, so that a table adds up; only ``own_share`` and ``accumulated_share``
of `op_table` leave it out, as TensorFlow's profiler and therefore the thesis do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..params.costs import FLOAT32_BYTES
from ..params.settings import Runtime
from ..params.variant import LayerCost, VariantSpec
from ..records.run import RunRecord
from . import frames
from .check import INDISTINCT, Resolution
from .estimates import (
    Estimate,
    are_units,
    ends,
    median_of_blocks,
    process_spread,
    proportion,
    ratio_of_blocks,
    spread,
)
from .frames import UNATTRIBUTED, Record
from .warnings import warnings


def op_table(record: RunRecord) -> pd.DataFrame:
    """Ops of one run in the thesis's form, by falling time, and the row `UNATTRIBUTED` last.

    Returns:
        ``op``, ``kernels`` (sorted list, each with what is fused into it), ``occurrences``, ``time_s``,
        ``accumulated_share`` (of this row and all below it, as the profiler prints it), ``own_share``,
        ``step_share``, ``accelerator_s``, ``requested_bytes``, ``bytes_accumulated_share`` (in the same order of rows;
        0 where the row has no bytes), ``bytes_share``.
        ``time_s`` adds up to the profiled step.
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
            requested_bytes=("requested_bytes", "sum"),
        )
        .sort_values("time_s", ascending=False, kind="stable")
    )
    table["own_share"] = _share(table["time_s"])
    table["accumulated_share"] = _accumulated(table["time_s"])
    table["bytes_share"] = _share(table["requested_bytes"])
    table["bytes_accumulated_share"] = _accumulated(table["requested_bytes"]).where(table["requested_bytes"] > 0, 0.0)
    unattributed = pd.DataFrame(
        {
            "op": [UNATTRIBUTED],
            "kernels": [[]],
            "time_s": [record.unattributed_s],
            "accelerator_s": [0.0],
            "requested_bytes": [0],
        }
    )
    table = pd.concat([table, unattributed], ignore_index=True)
    table["step_share"] = table["time_s"] / record.latency.profiled_mean_s
    return table


def _executed(kernel: str, fuses: Sequence[str]) -> str:
    """A kernel as tables show it: ``_FusedConv2D (with BiasAdd, Relu)``."""
    return f"{kernel} (with {', '.join(fuses)})" if fuses else kernel


def _share(values: pd.Series[Any]) -> pd.Series[Any]:
    total = values.sum()
    return values / total if total else values * 0.0


def _accumulated(values: pd.Series[Any]) -> pd.Series[Any]:
    return _share(values)[::-1].cumsum()[::-1]


def layer_table(record: RunRecord, executed: pd.DataFrame) -> pd.DataFrame:
    """Layers of one run in the network's order, then `frames.NO_LAYER` and `UNATTRIBUTED`.

    Args:
        record: The run.
        executed: Its node executions, as `Store.read_ops` returns them.

    Returns:
        ``layer``, ``type``, ``output_shape`` (without the batch), ``time_s``, ``time_share`` (of the profiled step),
        ``fused_into`` (the layer whose kernel computes this one; empty where it has its own), ``macs`` (of one
        image), ``gmacs_per_s`` (achieved; missing without MACs), ``output_bytes`` (float32, one batch). Type, shape,
        MACs and bytes are empty or missing in the last two rows. ``time_s`` adds up to the step.
    """
    times = frames.profile(record, executed).groupby("layer", sort=False)["time_s"].sum()
    costs = {cost.name: cost for cost in record.variant.costs()}
    # A layer that ran no node of its own (flatten, dropout) took no time, but is there.
    rows: list[dict[str, Any]] = []
    for name in [*costs, *(name for name in times.index if name not in costs)]:
        time_s = float(times.get(name, 0.0))
        row = {"layer": name, "type": "", "time_s": time_s, "time_share": time_s / record.latency.profiled_mean_s}
        row["fused_into"] = record.fused_into.get(name, "")
        if name in costs:
            row |= _work(costs[name], record.batch_size, time_s)
        rows.append(row)
    columns = ["layer", "type", "output_shape", "time_s", "time_share", "fused_into"]
    return pd.DataFrame(rows, columns=[*columns, "macs", "gmacs_per_s", "output_bytes"])


def _work(cost: LayerCost, batch_size: int, time_s: float) -> dict[str, Any]:
    """What a layer does, and how fast."""
    return {
        "type": cost.type,
        "output_shape": cost.output_shape,
        "macs": cost.macs,
        "gmacs_per_s": cost.macs * batch_size / time_s / 1e9 if cost.macs and time_s else None,
        "output_bytes": batch_size * math.prod(cost.output_shape) * FLOAT32_BYTES,
    }


def architecture(variant: VariantSpec) -> pd.DataFrame:
    """Layers of a network: ``layer``, ``type``, ``output_shape``, ``parameters``, ``macs`` (of one image)."""
    rows = [(c.name, c.type, c.output_shape, c.parameters, c.macs) for c in variant.costs()]
    return pd.DataFrame(rows, columns=["layer", "type", "output_shape", "parameters", "macs"])


def shapes(variants: Sequence[VariantSpec]) -> pd.DataFrame:
    """Output shapes of several networks: ``layer`` and a column per variant, missing where it has no such layer."""
    columns = [
        pd.Series({cost.name: cost.output_shape for cost in variant.costs()}, name=variant.name, dtype=object)
        for variant in variants
    ]
    return pd.concat(columns, axis="columns", sort=False).rename_axis("layer").reset_index()


def overview(records: Sequence[Record], resolutions: Mapping[Runtime, Resolution] | None = None) -> pd.DataFrame:
    """One row per run or failure: the columns of `frames.runs` and the estimates.

    Args:
        records: The runs and failures.
        resolutions: What the machine can tell apart in each runtime, see `check.resolutions`.

    Returns:
        Also ``latency_s``, ``ratio`` (to the baseline in the same process), ``profiled_over_plain`` and ``top1``, each
        with ``_low`` and ``_high``; ``profiled_s``, the median profiled step; ``spread`` of the unprofiled steps,
        ``process_spread`` of the processes' medians, ``unattributed_share``, and ``smallest_ratio`` above 1 that the
        machine can tell apart. All missing for a failure. ``indistinct`` is true where the ratio of a variant other
        than the baseline is nearer to 1 than that. ``warnings`` is one text, empty where there are none.
    """
    resolutions = resolutions or {}
    table = frames.runs(records)
    intervals = ("latency_s", "ratio", "profiled_over_plain", "top1")
    columns = [column for name in intervals for column in _interval(name)]
    columns += ["profiled_s", "spread", "process_spread", "unattributed_share"]
    table["warnings"] = ["; ".join(warnings(r)) if isinstance(r, RunRecord) else "" for r in records]
    rows = [_estimates(r, resolutions.get(r.runtime)) if isinstance(r, RunRecord) else {} for r in records]
    estimated = pd.DataFrame(rows, columns=columns, index=table.index, dtype=float)
    table["smallest_ratio"] = [
        resolutions[r.runtime].smallest_ratio if r.runtime in resolutions else math.nan for r in records
    ]
    table["indistinct"] = [
        r.runtime in resolutions and not resolutions[r.runtime].distinguishes(ratio)
        for r, ratio in zip(records, estimated["ratio"].fillna(math.inf), strict=True)
    ]
    table["indistinct"] &= table["variant"] != "baseline"  # of itself it is no question
    return pd.concat([table, estimated], axis=1)


def _estimates(record: RunRecord, resolution: Resolution | None) -> dict[str, float]:
    timed = record.latency
    row = {
        **dict(zip(_interval("latency_s"), latency(record), strict=True)),
        **dict(zip(_interval("ratio"), ratio_to_baseline(record, resolution), strict=True)),
        **dict(zip(_interval("profiled_over_plain"), profiled_over_plain(record), strict=True)),
        "profiled_s": median_of_blocks(timed.profiled_s, timed.processes).value,
        "spread": spread(timed.plain_s),
        "process_spread": process_spread(timed.plain_s, timed.processes),
        "unattributed_share": unattributed_share(record),
    }
    if record.accuracy:
        top1 = proportion(record.accuracy.correct, record.accuracy.images)
        row |= dict(zip(_interval("top1"), top1, strict=True))
    return row


def _interval(column: str) -> tuple[str, str, str]:
    return column, f"{column}_low", f"{column}_high"


def latency(record: RunRecord) -> Estimate:
    """Median unprofiled step, in seconds."""
    return median_of_blocks(record.latency.plain_s, record.latency.processes)


def ratio_to_baseline(record: RunRecord, resolution: Resolution | None) -> Estimate:
    """Unprofiled step over the baseline's in the same process, by paired blocks.

    Args:
        record: The run.
        resolution: What the machine can tell apart. Where the interval is over blocks it is widened by that, for blocks
            do not know how far two sessions of one network differ; None where it was not checked.
    """
    timed = record.latency
    ratio = ratio_of_blocks(timed.plain_s, timed.baseline_s, timed.processes)
    return ratio if resolution is None or are_units(timed.processes) else ratio.widened(resolution.unseen_ratio)


def profiled_over_plain(record: RunRecord) -> Estimate:
    """Profiled step over unprofiled step, by paired blocks: what profiling costs."""
    timed = record.latency
    return ratio_of_blocks(timed.profiled_s, timed.plain_s, timed.processes)


def unattributed_share(record: RunRecord) -> float:
    """Part of the profiled step in which no kernel ran."""
    return record.unattributed_s / record.latency.profiled_mean_s


def show(record: RunRecord, executed: pd.DataFrame, resolution: Resolution | None = None) -> dict[str, Any]:
    """The object `cnnprof show --json` prints; its keys are a promise to scripts.

    Args:
        record: The run.
        executed: Its node executions, as `Store.read_ops` returns them.
        resolution: What the machine can tell apart; None where it was not checked.

    Returns:
        Plain dicts, lists, numbers, text and None. ``macs`` of a layer are those of one image, like
        ``macs_per_image``; times and bytes are those of one batch. ``ops`` come by falling time and ``layers`` in the
        network's order, then `frames.NO_LAYER`.
    """
    step, ratio = latency(record), ratio_to_baseline(record, resolution)
    ops = op_table(record)
    ops = ops[ops["op"] != UNATTRIBUTED].rename(columns={"step_share": "time_share"})
    layers = layer_table(record, executed)
    layers = layers[layers["layer"] != UNATTRIBUTED].astype({"macs": "Int64", "output_bytes": "Int64"})
    layers = layers[["layer", "type", "time_s", "time_share", "fused_into", "macs", "output_bytes"]]
    found = warnings(record)
    if record.variant.name != "baseline" and resolution and not resolution.distinguishes(ratio.value):
        found.append(f"The ratio to the baseline, {ratio.value:.3f}, is {INDISTINCT}: {resolution}")
    return {
        "variant": record.variant.name,
        "runtime": record.runtime,
        "run_id": record.run_id,
        "parameters": record.parameters,
        "macs_per_image": record.macs_per_image,
        "batch_size": record.batch_size,
        "threads": record.threads,
        "latency_s": {
            "median": step.value,
            "ci95": ends(*step[1:]),
            "steps": sum(len(block) for block in record.latency.plain_s),
        },
        "profiled_over_plain": profiled_over_plain(record).value,
        "unattributed_s": record.unattributed_s,
        "unattributed_share": unattributed_share(record),
        "ratio_to_baseline": {"median": ratio.value, "ci95": ends(*ratio[1:])},
        "ops": _plain_rows(ops[["op", "kernels", "time_s", "time_share", "requested_bytes", "occurrences"]]),
        "layers": _plain_rows(layers),
        "memory": record.memory.model_dump(include={"requested_bytes", "live_peak_bytes", "rss_bytes"}),
        "accuracy": _show_accuracy(record),
        "warnings": found,
    }


def _plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts of Python's own numbers, which json can write, with None for what is empty or missing."""
    plain = table.astype(object)
    return plain.where(plain.notna() & (plain != ""), None).to_dict("records")  # type: ignore[return-value]


def _show_accuracy(record: RunRecord) -> dict[str, Any] | None:
    if record.accuracy is None:
        return None
    accuracy = record.accuracy
    top1 = proportion(accuracy.correct, accuracy.images)
    return {
        "top1": top1.value,
        "images": accuracy.images,
        "ci95": [top1.low, top1.high],
        "dataset": accuracy.dataset,
        "measured": accuracy.measured,
        "weights_sha256": accuracy.weights_sha256,
    }
