"""How latency changes with the batch and with the number of threads."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..records.machine import RooflineRecord
from ..records.run import RunRecord
from .frames import in_order
from .summary import latency

_COLUMNS = (
    "variant", "runtime", "batch_size", "threads", "latency_s", "latency_s_low", "latency_s_high", "images_per_s",
    "speedup", "macs_per_s", "share_of_peak",
)  # fmt: skip


def scaling_table(runs: Sequence[RunRecord], roofline: RooflineRecord | None) -> pd.DataFrame:
    """The newest run of each variant, runtime, batch size and number of threads.

    Args:
        runs: From `Store.scaling_runs`, the oldest first.
        roofline: What the machine can do; None where it was not measured.

    Returns:
        ``variant``, ``runtime``, ``batch_size``, ``threads`` (missing where TensorFlow chose); ``latency_s`` of a step
        with ``_low`` and ``_high``; ``images_per_s``; ``speedup``, the latency with one thread over this one, missing
        where one thread was not measured; ``macs_per_s`` of the whole step by the convention, with padding; and
        ``share_of_peak``, the rate of products that were computed over what so many threads reach at most.
    """
    newest = {(run.variant.name, run.runtime, run.batch_size, run.threads): run for run in runs}
    rows = []
    for run in newest.values():
        step = latency(run)
        single = newest.get((run.variant.name, run.runtime, run.batch_size, 1))
        images_per_s = run.batch_size / step.value
        computed = sum(cost.macs for cost in run.variant.costs(with_padding=run.machine.multiplies_padding))
        rows.append(
            {
                "variant": run.variant.name,
                "runtime": run.runtime,
                "batch_size": run.batch_size,
                "threads": run.threads,
                "latency_s": step.value,
                "latency_s_low": step.low,
                "latency_s_high": step.high,
                "images_per_s": images_per_s,
                "speedup": latency(single).value / step.value if single else None,
                "macs_per_s": run.macs_per_image * images_per_s,
                "share_of_peak": computed * images_per_s / peak if (peak := _peak(roofline, run)) else None,
            }
        )
    order = list(dict.fromkeys(run.variant.name for run in in_order(newest.values()) if isinstance(run, RunRecord)))
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"threads": "Int64", "speedup": float})
    table = table.assign(_place=table["variant"].map(order.index) if rows else [])
    return table.sort_values(["_place", "runtime", "batch_size", "threads"], ignore_index=True).drop(columns="_place")


def _peak(roofline: RooflineRecord | None, run: RunRecord) -> float | None:
    """The machine's peak rate at the run's threads, where it was measured at as many."""
    if roofline is None or roofline.cpu != run.machine.cpu:
        return None
    if run.threads == 1:
        return roofline.peak_macs_per_s_1_thread
    return roofline.peak_macs_per_s_all_threads if run.threads in (None, roofline.threads) else None
