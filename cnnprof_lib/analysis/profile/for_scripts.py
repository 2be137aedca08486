"""What a script reads of one run, from `cnnprof show --json`."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ...records.run import RunRecord
from ..cautions import cautions
from ..estimates import ends, latency, profiled_over_plain, proportion, unattributed_share
from ..frames import UNATTRIBUTED
from ..resolution import INDISTINCT, Resolution, ratio_to_baseline, ratio_to_reference
from .numbers import by_block, by_layer, by_op, kernels

_OF_LAYER = (
    "layer",
    "type",
    "time_s",
    "time_share",
    "fused_into",
    "kernel",
    "fell_back",
    "macs",
    "gmacs_per_s",
    "output_bytes",
)


def run_for_scripts(record: RunRecord, executed: pd.DataFrame, resolution: Resolution | None = None) -> dict[str, Any]:
    """The object `cnnprof show --json` prints; its keys are a promise to scripts.

    Args:
        record: The run.
        executed: Its node executions, as `Store.read_ops` returns them.
        resolution: What the machine can tell apart; None where it was not checked.

    Returns:
        Plain dicts, lists, numbers, text and None. ``macs`` of a layer are those of one image, like
        ``macs_per_image``; times and bytes are those of one batch. ``ops`` come by falling time and ``layers`` in the
        network's order, then `frames.NO_LAYER`; ``blocks`` are neighbours among the layers, none where these are few.
    """
    step, ratio = latency(record), ratio_to_baseline(record, resolution)
    reference = ratio_to_reference(record, resolution)
    ops = by_op(record)
    ops = (
        ops[ops["op"] != UNATTRIBUTED].rename(columns={"step_share": "time_share"}).astype({"requested_bytes": "Int64"})
    )
    layers = by_layer(record, executed)
    parts = by_block(record, layers).astype({"macs": "Int64"})
    layers = layers[layers["layer"] != UNATTRIBUTED].astype({"macs": "Int64", "output_bytes": "Int64"})
    layers = layers.merge(kernels(record, executed), on="layer", how="left")
    layers = layers[[*_OF_LAYER]]
    found = cautions(record)
    if not record.is_baseline and resolution and not resolution.distinguishes(ratio.value):
        found.append(f"The ratio to the baseline, {ratio.value:.3f}, is {INDISTINCT}: {resolution}")
    return {
        "variant": record.name,
        "runtime": record.runtime,
        "run_id": record.run_id,
        "parameters": record.network.parameters,
        "macs_per_image": record.network.macs_per_image,
        "uncounted_layers": list(record.network.uncounted),
        "batch_size": record.batch_size,
        "threads": record.threads,
        "baseline": record.baseline,
        "latency_s": {
            "median": step.value,
            "ci95": ends(*step[1:]),
            "steps": sum(len(block) for block in record.latency.plain_s),
        },
        "profiled_over_plain": _known(profiled_over_plain(record).value),
        "unattributed_s": _known(record.unattributed_s),
        "unattributed_share": _known(unattributed_share(record)),
        "ratio_to_baseline": {"median": _known(ratio.value), "ci95": ends(*ratio[1:])},
        "ratio_to_reference": {"median": _known(reference.value), "ci95": ends(*reference[1:])},
        "reference": record.reference.network if record.reference else None,
        "precision": record.precision,
        "model_bytes": record.model_bytes,
        "calibration": record.calibration.model_dump() if record.calibration else None,
        "output_agreement": record.agreement.model_dump() if record.agreement else None,
        "ops": _plain_rows(ops[["op", "kernels", "time_s", "time_share", "requested_bytes", "occurrences"]]),
        "layers": _plain_rows(layers),
        "blocks": _plain_rows(parts),
        "memory": record.memory.model_dump(include={"requested_bytes", "live_peak_bytes", "rss_bytes"}),
        "accuracy": _show_accuracy(record),
        "warnings": found,
    }


def _known(value: float) -> float | None:
    """A number as JSON has it: None where it is missing."""
    return None if math.isnan(value) else value


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
