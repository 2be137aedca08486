"""From TensorFlow's step statistics to one row per node execution, and to totals per kernel.

What the profiled steps left behind is read here, after the clock has stopped.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from ...base.errors import MeasureError
from ...records.run import OpRecord

FUSING = re.compile(r"^_(?:Mkl)?(?:Native)?(?:PadWith)?(?:Fused)?")
"""What Grappler and oneDNN put before an op's name: ``_FusedConv2D``, ``_MklNativePadWithFusedConv2D``, ``_MklLRN``."""

THESIS_OPS = frozenset(
    {"Add", "AvgPool", "BiasAdd", "Const", "Conv2D", "DepthwiseConv2dNative", "FIFOQueueV2", "Identity", "InTopKV2"}
    | {"LRN", "MatMul", "MaxPool", "Mean", "QueueDequeueManyV2", "Relu", "Reshape", "VariableV2"}
)
"""Ops that tables show under their plain name; any other kernel keeps its own."""

_LABEL = re.compile(r"^(?:\[.*?\] )?(?P<node>\S+) = (?P<kernel>\w+)\(")
_SINGLE_STREAM = re.compile(r"/stream:\d+$")
COLUMNS = [
    *("step", "device", "thread", "node", "op", "kernel", "layer", "accelerator"),
    *("start_ns", "duration_ns", "self_ns", "profiler_us", "requested_bytes", "persistent_bytes"),
]


def op_of(kernel: str) -> str:
    """The thesis's name for an executed kernel: ``_FusedConv2D`` is a ``Conv2D``."""
    plain = FUSING.sub("", kernel)
    return plain if plain in THESIS_OPS else kernel


def parse(serialized: bytes) -> config_pb2.RunMetadata:
    """RunMetadata of one traced step."""
    return config_pb2.RunMetadata.FromString(serialized)


def node_rows(
    steps: Sequence[config_pb2.RunMetadata], called_ns: Sequence[int], layer_of: Callable[[str], str]
) -> pd.DataFrame:
    """One row per node execution of all steps.

    Args:
        steps: The metadata of the profiled steps, in order.
        called_ns: When each was called, see `TracedStep`.
        layer_of: Gives a node's layer, see `ExecutedGraph`.

    Returns:
        Columns as `COLUMNS`. ``start_ns`` counts from the call of the step. ``self_ns`` is the
        part of the step that is this row's: moments when n kernels run count 1/n for each, so the sum over a step
        is the time in which any kernel ran. ``profiler_us`` is the duration in the whole microseconds that
        ``tf.compat.v1.profiler`` counts, from the node's scheduling on and at least one.

    Raises:
        MeasureError: a count of bytes is negative.
    """
    rows: list[dict[str, Any]] = []
    for step, (metadata, call_ns) in enumerate(zip(steps, called_ns, strict=True)):
        of_step = [
            _row(step, device.device, node, layer_of)
            for device in metadata.step_stats.dev_stats
            # A GPU's kernels are listed per stream and once more under "stream:all", where the profiler reads them.
            if not _SINGLE_STREAM.search(device.device)
            for node in device.node_stats
        ]
        if of_step:
            starts = np.array([row["start_ns"] for row in of_step])
            durations = np.array([row["duration_ns"] for row in of_step])
            shared = self_times_ns(starts, starts + durations)
            for row, self_ns in zip(of_step, shared, strict=True):
                row["start_ns"] -= call_ns
                row["self_ns"] = self_ns
        rows.extend(of_step)
    for row in rows:
        if (counted := min(row["requested_bytes"], row["persistent_bytes"])) < 0:
            raise MeasureError(
                f"{row['node']}: TensorFlow's count of its bytes must not be negative; it has wrapped. "
                f"Received: {counted:,}. Choose a smaller batch with --batch-size."
            )
    types = {"step": "int32", "thread": "int64", "self_ns": "float64", "accelerator": "bool"}
    return pd.DataFrame(rows, columns=COLUMNS).astype(types)


def _row(step: int, device: str, node: Any, layer_of: Callable[[str], str]) -> dict[str, Any]:
    label = _LABEL.match(node.timeline_label)
    kernel = label["kernel"] if label else node.node_name
    return {
        "step": step,
        "device": device,
        "thread": node.thread_id,
        "node": node.node_name,
        "op": op_of(kernel),
        "kernel": kernel,
        "layer": layer_of(node.node_name),
        "accelerator": "stream:all" in device,
        "start_ns": node.all_start_nanos + node.op_start_rel_nanos,
        "duration_ns": node.op_end_rel_nanos - node.op_start_rel_nanos,
        # As tfprof_node.cc counts (ExecStep::AddTimeStats): from the node's start, and never less than one.
        "profiler_us": max(node.op_end_rel_micros, 1),
        # As tfprof_node.cc adds them up: all that the allocators were asked for, and what stays after the step.
        "requested_bytes": sum(memory.total_bytes for memory in node.memory) + node.memory_stats.persistent_memory_size,
        "persistent_bytes": node.memory_stats.persistent_memory_size,
    }


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
        rows: See `node_rows`.
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
        rows: See `node_rows`.
        fused_ops: What was fused into a node, see `ExecutedGraph`.
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
                requested_bytes=round(group["requested_bytes"].sum() / steps),
                occurrences=len(group) / steps,
                fuses=_fused_into(group["node"], fused_ops or {}),
            )
        )
    return tuple(sorted(records, key=lambda record: -record.time_s))


def _fused_into(nodes: pd.Series[str], fused_ops: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Every op fused into one of the nodes at least, in the order in which they are computed."""
    return tuple(dict.fromkeys(op for node in nodes.unique() for op in fused_ops.get(node, ())))


class ProfilerReport(NamedTuple):
    """What ``tf.compat.v1.profiler`` makes of a run's steps in its *op* view, sorted by time.

    Attributes:
        text: What it prints.
        tree: Its ``MultiGraphNodeProto``.
        add_step_s: What its ``add_step`` took for each step, in seconds.
    """

    text: str
    tree: Any
    add_step_s: tuple[float, ...]


def profiler_report(graph: tf.Graph, steps: Sequence[config_pb2.RunMetadata]) -> ProfilerReport:
    """Hands the steps to TensorFlow's own profiler."""
    options = tf.compat.v1.profiler.ProfileOptionBuilder
    profiler = tf.compat.v1.profiler.Profiler(graph=graph)
    add_step_s = []
    for step, metadata in enumerate(steps):
        start = time.perf_counter()
        profiler.add_step(step, metadata)
        add_step_s.append(time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.txt"
        builder = options(options.time_and_memory(min_micros=0, min_bytes=0)).order_by("micros")
        tree = profiler.profile_operations(builder.with_file_output(str(path)).build())
        return ProfilerReport(path.read_text(encoding="utf-8").lstrip(), tree, tuple(add_step_s))
