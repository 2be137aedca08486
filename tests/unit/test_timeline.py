"""The trace of one step, from rows written by hand."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure import timeline
from cnnprof_lib.records.run import UnattributedRecord
from tests.builders import make_ops, make_record

CPU = "/job:localhost/replica:0/task:0/device:CPU:0"


def row(node: str, start_us: float, end_us: float, **changes: Any) -> dict[str, Any]:
    duration_ns = round((end_us - start_us) * 1e3)
    fields = {
        "step": 0,
        "device": CPU,
        "thread": 0,
        "node": node,
        "op": "Conv2D",
        "kernel": "_FusedConv2D",
        "layer": node.split("/")[0],
        "accelerator": False,
        "start_ns": round(start_us * 1e3),
        "duration_ns": duration_ns,
        "self_ns": float(duration_ns),
        "profiler_us": duration_ns // 1000,
        "requested_bytes": 64,
    }
    return {**fields, **changes}


def chrome_trace(rows: pd.DataFrame, step: int, step_s: float, *rest_s: float) -> bytes:
    before_s, between_s, after_s = rest_s or (0.0, 0.0, 0.0)
    rest = UnattributedRecord(before_s=before_s, between_s=between_s, after_s=after_s)
    return timeline.chrome_trace(rows, step, step_s, rest)


def events_of(trace: bytes, phase: str = "X") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gzip.decompress(trace))["traceEvents"]
    assert {event["ph"] for event in found} == {"X", "M"}
    return [event for event in found if event["ph"] == phase]


def lanes_of(trace: bytes) -> dict[str, list[dict[str, Any]]]:
    """Complete events by the name of their lane, in order."""
    named = [event for event in events_of(trace, "M") if event["name"] == "thread_name"]
    complete = events_of(trace)
    return {lane["args"]["name"]: [e for e in complete if e["tid"] == lane["tid"]] for lane in named}


def test_a_kernel_says_what_it_was() -> None:
    rows = pd.DataFrame([row("conv1/Relu", 0, 12.5, requested_bytes=1024)])
    assert lanes_of(chrome_trace(rows, 0, 20e-6))["CPU:0 thread 0"] == [
        {
            "name": "Conv2D",
            "cat": "kernel",
            "ph": "X",
            "ts": 0.0,
            "dur": 12.5,
            "pid": 1,
            "tid": 1,
            "args": {
                "op": "Conv2D",
                "kernel": "_FusedConv2D",
                "layer": "conv1",
                "node": "conv1/Relu",
                "requested_bytes": 1024,
            },
        }
    ]


def test_the_step_encloses_its_kernels_and_says_what_is_left() -> None:
    rows = pd.DataFrame([row("a/x", 0, 10), row("b/x", 14, 20)])
    (step,) = lanes_of(chrome_trace(rows, 0, 25.5e-6, 2e-6, 4e-6, 3.5e-6))["step"]
    assert (step["name"], step["ts"], step["dur"]) == ("step 0", 0.0, 25.5)
    assert step["args"] == {
        "kernels_us": 16.0,
        "before_first_kernel_us": 2.0,
        "between_kernels_us": 4.0,
        "after_last_kernel_us": 3.5,
    }


def test_kernels_that_ran_at_once_take_a_lane_each_and_as_few_as_possible() -> None:
    rows = pd.DataFrame([row("a/x", 0, 10), row("b/x", 6, 14), row("c/x", 10, 11), row("d/x", 14, 15)])
    lanes = lanes_of(chrome_trace(rows, 0, 20e-6))
    assert {name: [event["args"]["node"] for event in lane] for name, lane in lanes.items() if name != "step"} == {
        "CPU:0 thread 0": ["a/x", "c/x", "d/x"],
        "CPU:0 thread 0, lane 2": ["b/x"],
    }


def test_threads_and_devices_have_lanes_of_their_own() -> None:
    gpu = "/device:GPU:0/stream:all"
    rows = pd.DataFrame([row("a/x", 0, 1), row("b/x", 1, 2, thread=7), row("c/x", 2, 3, device=gpu, accelerator=True)])
    trace = chrome_trace(rows, 0, 4e-6)
    assert list(lanes_of(trace)) == ["step", "GPU:0/stream:all thread 0", "CPU:0 thread 0", "CPU:0 thread 7"]
    order = {e["tid"]: e["args"]["sort_index"] for e in events_of(trace, "M") if e["name"] == "thread_sort_index"}
    assert order == {0: 0, 1: 1, 2: 2, 3: 3}


def test_events_of_a_lane_never_overlap() -> None:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 1000, 300)
    durations = rng.integers(0, 60, 300)
    rows = pd.DataFrame(
        [row(f"n{i}/x", start, start + length) for i, (start, length) in enumerate(zip(starts, durations, strict=True))]
    )
    lanes = lanes_of(chrome_trace(rows, 0, 1.1e-3))
    del lanes["step"]
    assert sum(len(lane) for lane in lanes.values()) == len(rows)
    for lane in lanes.values():
        for before, after in pairwise(lane):
            assert before["ts"] + before["dur"] <= after["ts"]
    at_once = max(((starts <= moment) & (moment < starts + durations)).sum() for moment in range(1060))
    assert len(lanes) == at_once


def test_only_the_step_asked_for_is_drawn() -> None:
    rows = pd.DataFrame([row("a/x", 0, 1), row("b/x", 0, 2, step=1)])
    names = [event["args"].get("node", event["name"]) for event in events_of(chrome_trace(rows, 1, 3e-6))]
    assert names == ["step 1", "b/x"]


def test_a_step_without_rows_is_refused() -> None:
    with pytest.raises(MeasureError) as caught:
        chrome_trace(pd.DataFrame([row("a/x", 0, 1)]), 5, 1e-3)
    assert str(caught.value) == "Step 5: no kernel to draw. Received: rows of 1 step. Name one of them."


def test_a_variants_trace_is_small_and_the_same_each_time() -> None:
    record = make_record("baseline")
    rows = make_ops(record)
    trace = chrome_trace(rows, 1, record.latency.profiled_mean_s)
    assert trace == chrome_trace(rows.sample(frac=1, random_state=0), 1, record.latency.profiled_mean_s)
    assert len(trace) < 20_000
    assert len(events_of(trace)) == 1 + (rows["step"] == 1).sum()
