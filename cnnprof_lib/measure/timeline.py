"""One step as a trace that Perfetto and chrome://tracing open. Knows no TensorFlow.

Format: Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from ..base.errors import MeasureError
from ..base.units import counted
from ..records.run import UnattributedRecord

_PROCESS = 1
_STEP_LANE = 0


def chrome_trace(rows: pd.DataFrame, step: int, step_s: float, unattributed: UnattributedRecord) -> bytes:
    """One profiled step as gzipped JSON: a lane with the whole step, and lanes with its kernels.

    Args:
        rows: Node executions, see `ops.node_rows`.
        step: Which step to show.
        step_s: Its duration in seconds, from call to return.
        unattributed: The part of it in which no kernel ran.

    Returns:
        The same bytes for the same rows.

    Raises:
        MeasureError: there is no row of this step.
    """
    of_step = rows[rows["step"] == step].sort_values(["start_ns", "duration_ns", "node"], kind="stable")
    if of_step.empty:
        there = counted(rows["step"].nunique(), "step")
        raise MeasureError(f"Step {step}: no kernel to draw. Received: rows of {there}. Name one of them.")
    events = [_name("process_name", _STEP_LANE, "cnnprof"), *_lane_names(_STEP_LANE, "step")]
    events.append(_complete(_STEP_LANE, f"step {step}", "step", 0.0, step_s * 1e6, _balance(step_s, unattributed)))
    for lane, (name, kernels) in enumerate(_lanes(of_step), start=_STEP_LANE + 1):
        events += _lane_names(lane, name)
        events += [_kernel(lane, kernel) for kernel in kernels]
    text = json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def _balance(step_s: float, unattributed: UnattributedRecord) -> dict[str, float]:
    """Where the step's time went, in microseconds: kernels, and three kinds of unattributed time; they add up to it."""
    parts = {
        "kernels_us": step_s - unattributed.total_s,
        "before_first_kernel_us": unattributed.before_s,
        "between_kernels_us": unattributed.between_s,
        "after_last_kernel_us": unattributed.after_s,
    }
    return {name: round(value * 1e6, 3) for name, value in parts.items()}


def _lanes(of_step: pd.DataFrame) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows by lane, each with its name; no two rows of a lane overlap.

    On a CPU the statistics often give thread 0 for kernels that ran at once. Complete events of one lane may
    only nest, so each row goes to the first lane of its thread that is free when it starts: in order of
    the start this takes as few lanes as kernels ran at once.
    """
    for (device, thread), group in of_step.groupby(["device", "thread"], sort=True):
        lanes: list[list[dict[str, Any]]] = []
        for row in group.to_dict("records"):
            free = (lane for lane in lanes if _end_ns(lane[-1]) <= row["start_ns"])
            lane = next(free, None)
            if lane is None:
                lanes.append(lane := [])
            lane.append({str(key): value for key, value in row.items()})
        for number, lane in enumerate(lanes, start=1):
            yield f"{_short(str(device))} thread {thread}" + (f", lane {number}" if number > 1 else ""), lane


def _end_ns(row: dict[str, Any]) -> int:
    return int(row["start_ns"] + row["duration_ns"])


def _short(device: str) -> str:
    """``CPU:0`` for ``/job:localhost/replica:0/task:0/device:CPU:0``."""
    return device.rpartition("device:")[2]


def _kernel(lane: int, row: dict[str, Any]) -> dict[str, Any]:
    told = {} if pd.isna(row["requested_bytes"]) else {"requested_bytes": int(row["requested_bytes"])}
    arguments = {**{key: str(row[key]) for key in ("op", "kernel", "layer", "node")}, **told}
    return _complete(lane, str(row["op"]), "kernel", row["start_ns"] / 1e3, row["duration_ns"] / 1e3, arguments)


def _complete(
    lane: int, name: str, category: str, start_us: float, duration_us: float, arguments: dict[str, Any]
) -> dict[str, Any]:
    times = {"ts": round(start_us, 3), "dur": round(duration_us, 3)}
    return {"name": name, "cat": category, "ph": "X", **times, "pid": _PROCESS, "tid": lane, "args": arguments}


def _lane_names(lane: int, name: str) -> list[dict[str, Any]]:
    order = {"name": "thread_sort_index", "ph": "M", "pid": _PROCESS, "tid": lane, "args": {"sort_index": lane}}
    return [_name("thread_name", lane, name), order]


def _name(kind: str, lane: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": _PROCESS, "tid": lane, "args": {"name": name}}
