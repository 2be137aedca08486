"""What node executions add up to, in any runtime: shares of a step, totals per kernel, and what remains of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...base.errors import MeasureError
from ...records.run import OpRecord


def self_times_ns(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Shares the time in which any interval runs among the intervals that run.

    Args:
        starts: (n,) in nanoseconds.
        ends: (n,), each at or after its start.

    Returns:
        (n,), whose sum is the length of the union of the intervals.
    """
    edges = np.unique(np.concatenate([starts, ends]))
    running = (starts[:, None] <= edges[:-1]) & (ends[:, None] >= edges[1:])
    return (running * np.diff(edges) / np.maximum(running.sum(axis=0), 1)).sum(axis=1)


def unattributed(rows: pd.DataFrame, profiled_s: Sequence[float]) -> pd.DataFrame:
    """What remains of each profiled step after the time in which kernels ran.

    Args:
        rows: Node executions, see `EXECUTIONS`.
        profiled_s: The steps' durations, in order.

    Returns:
        A row per step: ``before_s``, ``between_s`` and ``after_s`` as in `UnattributedRecord`.

    Raises:
        MeasureError: a step without kernels, or one whose kernels took longer than the step.
    """
    by_step = rows.assign(end_ns=rows["start_ns"] + rows["duration_ns"]).groupby("step")
    times = by_step.agg(busy=("self_ns", "sum"), first=("start_ns", "min"), last=("end_ns", "max"))
    times = times.reindex(range(len(profiled_s))) / 1e9
    busy_s = times["busy"]
    rest = np.asarray(profiled_s) - busy_s
    for step, seconds in enumerate(rest):
        if np.isnan(seconds):
            raise MeasureError(f"Step {step}: its statistics hold no kernel. Received: nothing. Run again.")
        if seconds < 0:
            raise MeasureError(
                f"Step {step}: its kernels ran for {busy_s[step]:.6f} s, longer than the step. "
                f"Received: {profiled_s[step]:.6f} s. The system's clock was set meanwhile; run again."
            )
    # The step's clock and that of its statistics are two: where one was set meanwhile, the parts still add up.
    between = (times["last"] - times["first"] - busy_s).clip(0, rest)
    before = times["first"].clip(0, rest - between)
    return pd.DataFrame({"before_s": before, "between_s": between, "after_s": rest - between - before})


def totals(rows: pd.DataFrame, fused_ops: Mapping[str, Sequence[str]] | None = None) -> tuple[OpRecord, ...]:
    """Means per step of each executed kernel, the longest first.

    Args:
        rows: Node executions, see `EXECUTIONS`.
        fused_ops: What was fused into a node, see `Profile`.
    """
    steps = rows["step"].nunique()
    records = []
    for (op, kernel), group in rows.groupby(["op", "kernel"], sort=False):
        on_cpu = group[~group["accelerator"]]
        on_accelerator = group[group["accelerator"]]
        records.append(
            OpRecord(
                op=str(op),
                kernel=str(kernel),
                time_s=group["self_ns"].sum() / steps / 1e9,
                cpu_s=on_cpu["duration_ns"].sum() / steps / 1e9,
                accelerator_s=on_accelerator["duration_ns"].sum() / steps / 1e9,
                requested_bytes=mean_bytes(group["requested_bytes"], steps),
                occurrences=len(group) / steps,
                fuses=_fused_into(group["node"], fused_ops or {}),
            )
        )
    return tuple(sorted(records, key=lambda record: -record.time_s))


def mean_bytes(told: pd.Series[float], steps: int) -> int | None:
    """Bytes per step of node executions; None where the runtime does not tell them."""
    return None if told.isna().all() else round(told.sum() / steps)


def _fused_into(nodes: pd.Series[str], fused_ops: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Every op fused into one of the nodes at least, in the order in which they are computed."""
    return tuple(dict.fromkeys(op for node in nodes.unique() for op in fused_ops.get(node, ())))
