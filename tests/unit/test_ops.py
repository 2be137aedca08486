"""Step statistics to rows, on statistics written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tensorflow.core.protobuf import config_pb2

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure.runtimes import executions, memory, ops
from cnnprof_lib.records.run import EXECUTIONS

CALLED_NS = 1_790_000_000_000_000_000
CPU = "/job:localhost/replica:0/task:0/device:CPU:0"


def layer_of(node: str) -> str:
    return node.split("/")[0] if "/" in node else ""


def metadata(*nodes: dict[str, Any], device: str = CPU) -> config_pb2.RunMetadata:
    """Statistics of one step; times in microseconds since its call."""
    result = config_pb2.RunMetadata()
    add_device(result, device, nodes)
    return result


def add_device(result: config_pb2.RunMetadata, device: str, nodes: Sequence[dict[str, Any]]) -> None:
    of_device = result.step_stats.dev_stats.add(device=device)
    for node in nodes:
        start_ns, end_ns = round(node["start_us"] * 1e3), round(node["end_us"] * 1e3)
        stats = of_device.node_stats.add(
            node_name=node["name"],
            timeline_label=node.get("label", f"{node['name']} = Conv2D(x, y)"),
            all_start_nanos=CALLED_NS + start_ns,
            op_start_rel_nanos=0,
            op_end_rel_nanos=end_ns - start_ns,
            op_end_rel_micros=(end_ns - start_ns) // 1000,
        )
        stats.memory_stats.persistent_memory_size = node.get("persistent", 0)
        for size in node.get("allocated", ()):
            stats.memory.add(allocator_name="cpu", total_bytes=size)


def rows_of(*steps: config_pb2.RunMetadata) -> pd.DataFrame:
    return ops.node_rows(steps, [CALLED_NS] * len(steps), layer_of)


def test_a_row_says_what_was_executed() -> None:
    node = {"name": "conv1/Conv2D", "start_us": 10, "end_us": 14.5, "allocated": [100, 28], "persistent": 4}
    rows = rows_of(metadata(node))
    assert list(rows.columns) == list(EXECUTIONS)
    assert rows.iloc[0].to_dict() == {
        "step": 0,
        "device": CPU,
        "thread": 0,
        "node": "conv1/Conv2D",
        "op": "Conv2D",
        "kernel": "Conv2D",
        "layer": "conv1",
        "accelerator": False,
        "start_ns": 10_000,
        "duration_ns": 4500,
        "self_ns": 4500.0,
        "profiler_us": 4,
        "requested_bytes": 132,
        "persistent_bytes": 4,
    }


@pytest.mark.parametrize(
    ("counted", "received"), [({"persistent": -1_655_357_440}, "-1,655,357,440"), ({"allocated": [8, -12]}, "-4")]
)
def test_a_count_that_has_wrapped_is_refused(counted: dict[str, Any], received: str) -> None:
    node = {"name": "input_queue", "start_us": 0, "end_us": 1, **counted}
    with pytest.raises(MeasureError) as caught:
        rows_of(metadata(node))
    assert str(caught.value) == (
        "input_queue: TensorFlow's count of its bytes must not be negative; it has wrapped. "
        f"Received: {received}. Choose a smaller batch with --batch-size."
    )


def test_a_fused_kernel_is_a_convolution() -> None:
    label = "[cpu 18.0MB 18.0MB] conv1/Relu = _FusedConv2D(_arg_images_0_0, conv1/kernel, conv1/bias)"
    rows = rows_of(metadata({"name": "conv1/Relu", "start_us": 0, "end_us": 5, "label": label}))
    assert rows.loc[0, ["op", "kernel", "layer"]].tolist() == ["Conv2D", "_FusedConv2D", "conv1"]


@pytest.mark.parametrize(
    ("kernel", "op"),
    [
        ("_FusedConv2D", "Conv2D"),
        ("_MklNativeFusedConv2D", "Conv2D"),
        ("_MklNativePadWithFusedConv2D", "Conv2D"),
        ("_MklFusedMatMul", "MatMul"),
        ("_MklNativeMaxPool", "MaxPool"),
        ("_MklLRN", "LRN"),
        ("LRN", "LRN"),
        ("_FusedBatchNormEx", "_FusedBatchNormEx"),
        ("_Retval", "_Retval"),
        ("MyNewOp", "MyNewOp"),
    ],
)
def test_kernels_map_to_the_ops_of_the_thesis_or_keep_their_name(kernel: str, op: str) -> None:
    assert ops.op_of(kernel) == op


def test_a_node_without_a_label_is_shown_under_its_name() -> None:
    rows = rows_of(metadata({"name": "strange", "start_us": 0, "end_us": 1, "label": ""}))
    assert rows.loc[0, ["op", "kernel", "layer"]].tolist() == ["strange", "strange", ""]


def test_overlapping_kernels_share_the_time_in_which_both_run() -> None:
    first = {"name": "a/x", "start_us": 0, "end_us": 10}
    second = {"name": "b/x", "start_us": 6, "end_us": 14}
    apart = {"name": "c/x", "start_us": 20, "end_us": 21}
    rows = rows_of(metadata(first, second, apart))
    assert rows["self_ns"].tolist() == [8000.0, 6000.0, 1000.0]
    assert executions.unattributed(rows, [25e-6]).sum(axis="columns").tolist() == pytest.approx([10e-6])


def test_the_rest_of_a_step_is_told_apart_by_when_it_was() -> None:
    first = {"name": "a/x", "start_us": 3, "end_us": 10}
    second = {"name": "b/x", "start_us": 14, "end_us": 20}
    (rest,) = executions.unattributed(rows_of(metadata(first, second)), [21.5e-6]).to_dict("records")
    assert rest == pytest.approx({"before_s": 3e-6, "between_s": 4e-6, "after_s": 1.5e-6})


@pytest.mark.parametrize("set_us", [-50, 50])
def test_the_parts_add_up_where_the_clock_was_set_meanwhile(set_us: int) -> None:
    kernel = {"name": "a/x", "start_us": 3 + set_us, "end_us": 10 + set_us}
    (rest,) = executions.unattributed(rows_of(metadata(kernel)), [9e-6]).to_dict("records")
    assert min(rest.values()) >= 0
    assert sum(rest.values()) == pytest.approx(2e-6)


def test_self_times_add_up_to_the_union_of_the_intervals() -> None:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 1000, 60)
    ends = starts + rng.integers(0, 100, 60)
    busy = np.zeros(1200, bool)
    for start, end in zip(starts, ends, strict=True):
        busy[start:end] = True
    assert executions.self_times_ns(starts, ends).sum() == pytest.approx(busy.sum())


def test_a_step_shorter_than_its_kernels_is_refused() -> None:
    rows = rows_of(metadata({"name": "a/x", "start_us": 0, "end_us": 10}))
    with pytest.raises(MeasureError) as caught:
        executions.unattributed(rows, [9e-6])
    assert str(caught.value) == (
        "Step 0: its kernels ran for 0.000010 s, longer than the step. "
        "Received: 0.000009 s. The system's clock was set meanwhile; run again."
    )


def test_a_step_without_kernels_is_refused() -> None:
    rows = rows_of(metadata(), metadata({"name": "a/x", "start_us": 0, "end_us": 1}))
    with pytest.raises(MeasureError) as caught:
        executions.unattributed(rows, [1e-5, 1e-5])
    assert str(caught.value) == "Step 0: its statistics hold no kernel. Received: nothing. Run again."


def test_totals_are_means_per_step_the_longest_first() -> None:
    short = {"name": "a/x", "start_us": 0, "end_us": 1, "label": "a/x = Relu(y)"}
    long = {"name": "b/x", "start_us": 1, "end_us": 4, "allocated": [64]}
    longer = {**long, "end_us": 6}
    relu, conv = executions.totals(rows_of(metadata(short, long), metadata(short, longer)))[::-1]
    assert (conv.op, conv.time_s, conv.cpu_s, conv.requested_bytes, conv.occurrences) == ("Conv2D", 4e-6, 4e-6, 64, 1)
    assert (relu.op, relu.time_s) == ("Relu", 1e-6)


def test_a_kernel_says_what_was_fused_into_it() -> None:
    kernels = [
        {"name": name, "start_us": start, "end_us": start + 1, "label": f"{name} = _FusedMatMul(x, y)"}
        for start, name in enumerate(("local3/Relu", "logits/Add"))
    ]
    fused_ops = {"local3/Relu": ("BiasAdd", "Relu"), "logits/Add": ("BiasAdd",)}
    (total,) = executions.totals(rows_of(metadata(*kernels)), fused_ops)
    assert (total.kernel, total.fuses) == ("_FusedMatMul", ("BiasAdd", "Relu"))


def test_an_accelerators_kernels_are_read_once_and_shown_apart() -> None:
    step = metadata({"name": "a/x", "start_us": 0, "end_us": 1})
    kernel = {"name": "a/x", "start_us": 1, "end_us": 4}
    add_device(step, "/device:GPU:0/stream:all", [kernel])
    add_device(step, "/device:GPU:0/stream:14", [kernel])
    (total,) = executions.totals(rows_of(step))
    assert (total.cpu_s, total.accelerator_s, total.time_s, total.occurrences) == (1e-6, 3e-6, 4e-6, 2)


def allocation(step: config_pb2.RunMetadata, node: str, *events: tuple[int, int]) -> None:
    stats = step.step_stats.dev_stats.add(device=CPU).node_stats.add(node_name=node)
    used = stats.memory.add(allocator_name="cpu")
    for micros, size in events:
        used.allocation_records.add(alloc_micros=micros, alloc_bytes=size)


def test_the_live_peak_is_the_most_alive_at_once() -> None:
    step = config_pb2.RunMetadata()
    allocation(step, "conv1/Conv2D", (10, 100), (30, -100))
    allocation(step, "pool1/MaxPool", (20, 40), (50, -40))
    allocation(step, "conv2/Conv2D", (31, 80), (50, -80))
    assert memory.live_peak(step, layer_of) == (140, "pool1")


def test_a_step_that_allocates_nothing_has_no_peak() -> None:
    assert memory.live_peak(config_pb2.RunMetadata(), layer_of) == (0, "")
