"""From TensorFlow's step statistics to one row per node execution, after the clock has stopped."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from ...base.errors import MeasureError
from ...records.run import EXECUTIONS
from .executions import self_times_ns

FUSING = re.compile(r"^_(?:Mkl)?(?:Native)?(?:PadWith)?(?:Fused)?")
"""What Grappler and oneDNN put before an op's name: ``_FusedConv2D``, ``_MklNativePadWithFusedConv2D``, ``_MklLRN``."""

THESIS_OPS = frozenset(
    {"Add", "AvgPool", "BiasAdd", "Const", "Conv2D", "DepthwiseConv2dNative", "FIFOQueueV2", "Identity", "InTopKV2"}
    | {"LRN", "MatMul", "MaxPool", "Mean", "QueueDequeueManyV2", "Relu", "Reshape", "VariableV2"}
)
"""Ops that tables show under their plain name; any other kernel keeps its own."""

_LABEL = re.compile(r"^(?:\[.*?\] )?(?P<node>\S+) = (?P<kernel>\w+)\(")
_SINGLE_STREAM = re.compile(r"/stream:\d+$")
_NUMBERS = {name: kind for name, kind in EXECUTIONS.items() if kind != "str"}


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
        Columns as `EXECUTIONS`. ``start_ns`` counts from the call of the step. ``self_ns`` is the
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
    return pd.DataFrame(rows, columns=list(EXECUTIONS)).astype(_NUMBERS)


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
