"""XProf's table of ops next to ours, on tables written by hand; and once for real, where XProf is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure import xprof as second_opinion
from cnnprof_lib.records.machine import ComparisonRecord, OpShares
from cnnprof_lib.records.project import Project
from cnnprof_lib.records.store import Store
from tests.builders import make_machine

ROOT = Path(__file__).parents[2]

# The columns of `framework_op_stats`, as XProf 2.20 to 2.24 write them: id, label and type.
COLUMNS = [
    ("rank", "Rank", "number"),
    ("host_or_device", "Host/device", "string"),
    ("type", "Operation Type", "string"),
    ("operation", "Operation Name", "string"),
    ("occurrences", "#Occurrences", "number"),
    ("total_time", "Total time (us)", "number"),
    ("avg_time", "Avg. time (us)", "number"),
    ("total_self_time", "Total self-time (us)", "number"),
    ("avg_self_time", "Avg. self-time (us)", "number"),
    ("device_total_self_time_percent", "Total self-time on Device (%)", "number"),
    ("device_cumulative_total_self_time_percent", "Cumulative total-self time on Device (%)", "number"),
    ("host_total_self_time_percent", "Total self-time on Host (%)", "number"),
    ("Host_cumulative_total_self_time_percent", "Cumulative total-self time on Host (%)", "number"),
    ("measured_flop_rate", "Normalized FLOP Rate (FLOPs/s)", "number"),
    ("model_flop_rate", "Model FLOP Rate (GFLOP/s)", "number"),
    ("measured_memory_bw", "Measured Memory BW (GBytes/Sec)", "number"),
    ("operational_intensity", "Operational Intensity (FLOPs/Byte)", "number"),
    ("bound_by", "Bound by", "string"),
    ("eager", "Execution mode", "string"),
]


def op_stats(*nodes: tuple[str, str, str, float, float]) -> bytes:
    """An answer with these rows: host or device, type, node, occurrences, microseconds."""
    rows = []
    for rank, (place, kind, node, occurrences, micros) in enumerate(nodes, start=1):
        mean = micros / occurrences if occurrences else 0.0
        times = [micros, mean, micros, mean, *[0.0] * 8]
        values = [float(rank), place, kind, node, occurrences, *times, "Unknown", "Function"]
        rows.append({"c": [{"v": value} for value in values]})
    columns = [{"id": name, "label": label, "type": kind} for name, label, kind in COLUMNS]
    about = {"architecture_type": "Unknown", "task_type": "Inference"}
    tables = [{"cols": columns, "p": about, "rows": chosen} for chosen in (rows, _without_idle(rows))]
    return json.dumps(tables).encode()


def _without_idle(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["c"][2]["v"] != "IDLE"]


ANSWER = op_stats(
    ("Host", "IDLE", "IDLE", 0.0, 1_873_119.5),
    ("Host", "_FusedConv2D", "conv2/Relu", 10.0, 6000.0),
    ("Host", "_FusedConv2D", "conv1/Relu", 10.0, 2000.0),
    ("Host", "LRN", "norm1/LRN", 10.0, 1500.0),
    ("Host", "FIFOQueueV2", "input_queue", 20.0, 1000.0),
    ("Device", "Conv2D", "conv1/Relu", 10.0, 400.0),
)


def test_the_table_is_read_by_op_and_node_of_the_host_without_the_idle_row() -> None:
    executed = second_opinion.parse_op_stats(ANSWER)
    assert executed.to_dict("list") == {
        "op": ["Conv2D", "Conv2D", "LRN", "FIFOQueueV2"],
        "node": ["conv2/Relu", "conv1/Relu", "norm1/LRN", "input_queue"],
        "occurrences": [10.0, 10.0, 10.0, 20.0],
        "self_s": [6e-3, 2e-3, 1.5e-3, 1e-3],
    }


def test_a_node_counts_its_mean_execution_over_all_traces() -> None:
    again = second_opinion.parse_op_stats(op_stats(("Host", "LRN", "norm1/LRN", 5.0, 3000.0)))
    executed = pd.concat([second_opinion.parse_op_stats(ANSWER), again])
    assert second_opinion.xprof_seconds(executed) == pytest.approx(
        {"Conv2D": 800e-6, "LRN": 300e-6, "FIFOQueueV2": 50e-6}
    )


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (None, "b'' (JSONDecodeError)"),
        (b"failed to convert", "b'failed to convert' (JSONDecodeError)"),
        (b"[]", "b'[]' (IndexError)"),
        (b'[{"cols": [], "rows": []}]', 'b\'[{"cols": [], "rows": []}]\' (KeyError)'),
    ],
)
def test_another_answer_is_refused(answer: bytes | None, shown: str) -> None:
    with pytest.raises(MeasureError) as caught:
        second_opinion.parse_op_stats(answer)
    assert str(caught.value) == (
        f"xprof: framework_op_stats is not the table expected. Received: {shown}. "
        'Install a version known to work: pip install "cnnprof[xprof]"'
    )


def test_shares_are_of_the_ops_that_both_know() -> None:
    ours = {"LRN": 2.0, "Conv2D": 6.0, "Identity": 1.0}
    theirs = {"Conv2D": 3.5, "LRN": 1.5, "Placeholder": 9.0}
    shares, left_out = second_opinion.compare_seconds(ours, theirs)
    assert shares == (
        OpShares(op="Conv2D", our_share=0.75, xprof_share=0.7),
        OpShares(op="LRN", our_share=0.25, xprof_share=0.3),
    )
    assert left_out == ("Identity", "Placeholder")


def test_no_op_in_common_is_refused() -> None:
    with pytest.raises(MeasureError) as caught:
        second_opinion.compare_seconds({"Conv2D": 1.0}, {})
    assert str(caught.value) == (
        "xprof: none of its ops is among those executed. Received: no op. "
        'Install a version known to work: pip install "cnnprof[xprof]"'
    )


def test_the_largest_difference_is_named_whichever_way_it_goes() -> None:
    comparison = ComparisonRecord(
        created="2026-11-24T00:00:00+00:00",
        variant="baseline",
        runtime="stock",
        machine=make_machine("stock"),
        preset="quick",
        steps=100,
        ops=(
            OpShares(op="Conv2D", our_share=0.75, xprof_share=0.74),
            OpShares(op="LRN", our_share=0.20, xprof_share=0.225),
            OpShares(op="MatMul", our_share=0.05, xprof_share=0.035),
        ),
        left_out=(),
        left_out_share=0.0,
        own_difference_pp=0.4,
    )
    assert comparison.largest.op == "LRN"
    assert comparison.largest_difference_pp == pytest.approx(2.5)
    assert [shares.difference_pp for shares in comparison.ops] == pytest.approx([1.0, -2.5, 1.5])
    assert ComparisonRecord.model_validate_json(comparison.model_dump_json()) == comparison


def test_our_own_difference_is_between_odd_and_even_blocks() -> None:
    micros = {"Conv2D": [8, 8, 6, 6, 8, 8, 6, 6], "LRN": [2, 2, 4, 4, 2, 2, 4, 4]}  # two steps a block
    rows = [
        {"step": step, "op": op, "kernel": op, "accelerator": False, "requested_bytes": 0, "node": op}
        | {"self_ns": 1e3 * micros[op][step], "duration_ns": 1000 * micros[op][step]}
        for step in range(8)
        for op in micros
    ]
    assert second_opinion.own_difference_pp(pd.DataFrame(rows), steps_per_block=2) == pytest.approx(20.0)


def test_without_xprof_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = "xprof.convert.raw_to_tool_data"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MeasureError) as caught:
        second_opinion.compare("smoke", "unfused", "smoke", Project(ROOT, tmp_path))
    assert str(caught.value) == (
        f"xprof: cannot be imported (import of {module} halted; None in sys.modules). "
        'Install it: pip install "cnnprof[xprof]"'
    )


def test_xprof_sees_the_same_ops(tmp_path: Path) -> None:
    pytest.importorskip("xprof.convert.raw_to_tool_data", reason="the extra cnnprof[xprof] is not installed")
    comparison = second_opinion.compare("smoke", "unfused", "smoke", Project(ROOT, tmp_path), source="generated")
    assert (comparison.variant, comparison.runtime, comparison.steps) == ("smoke", "unfused", 8)
    assert {"Conv2D", "BiasAdd", "Relu", "MatMul"} <= {shares.op for shares in comparison.ops}
    assert sum(shares.our_share for shares in comparison.ops) == pytest.approx(1)
    assert sum(shares.xprof_share for shares in comparison.ops) == pytest.approx(1)
    assert "QueueDequeueManyV2" in comparison.left_out  # it waits on a queue, which the tracer does not follow
    assert Store(tmp_path).read_comparisons() == [comparison]
