"""The thesis's figures, measured again: requested bytes per op of every published variant, to the printed digit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cnnprof_lib.analysis.resolution import resolution
from cnnprof_lib.base import units
from cnnprof_lib.measure import check
from cnnprof_lib.measure.images import pixels
from cnnprof_lib.measure.models import build as model
from cnnprof_lib.measure.models import weights
from cnnprof_lib.measure.models.load import freeze
from cnnprof_lib.measure.prepare import queue_capacity
from cnnprof_lib.measure.runtimes import executions, ops
from cnnprof_lib.measure.runtimes.tensorflow import Unfused
from cnnprof_lib.params.reading import load_preset, load_variant
from cnnprof_lib.params.settings import GENERATED
from cnnprof_lib.records.project import Project
from tests.builders import open_session

PARAMS = Path(__file__).parents[2] / "params"
BATCH, STEPS = 128, 3
COMMON = {"MatMul": "300.03KB", "QueueDequeueManyV2": "885.25KB", "FIFOQueueV2": "30.32MB", "InTopKV2": "128B"}
NOTHING = dict.fromkeys(("Add", "BiasAdd", "Relu", "Identity", "Reshape"), "0B")
# READING.md, "Derived from shapes", in the profiler's units; the variables are 4 bytes a parameter.
PUBLISHED = {
    "baseline": {"Conv2D": "23.59MB", "LRN": "9.44MB", "MaxPool": "5.90MB", "VariableV2": "4.27MB"},
    "stride2": {"Conv2D": "5.01MB", "LRN": "1.47MB", "MaxPool": "1.31MB", "VariableV2": "1.13MB"},
    "stride3": {"Conv2D": "2.23MB", "LRN": "655.36KB", "MaxPool": "557.06KB", "VariableV2": "832.55KB"},
    "stride5": {"Conv2D": "851.97KB", "LRN": "327.68KB", "MaxPool": "327.68KB", "VariableV2": "832.55KB"},
    "filters32": {"Conv2D": "11.80MB", "LRN": "4.72MB", "MaxPool": "2.95MB", "VariableV2": "2.19MB"},
    "pool-large": {"Conv2D": "22.84MB", "LRN": "7.93MB", "MaxPool": "5.14MB", "VariableV2": "4.27MB"},
}


class Profiled:
    """A few traced steps of one variant."""

    def __init__(self, name: str, runtime: str) -> None:
        variant = load_variant(name, PARAMS)
        built = model.build(variant, seed=1)
        weights.fill_zero_weights(built)
        images = pixels.generated_images(queue_capacity([(BATCH, *variant.input.shape)]), *variant.input.shape, seed=0)
        frozen = freeze(built, BATCH)
        stepped = open_session(frozen, runtime, images, np.zeros(len(images), np.int32))
        traced = []
        for _ in range(STEPS):
            stepped.prepare()
            traced.append(stepped.traced_step())
        steps = [ops.parse(step.serialized) for step in traced]
        self.rows = stepped.executions(traced)
        self.totals = executions.totals(self.rows, stepped.executed.fused_ops)
        self.text, self.tree, self.add_step_s = ops.profiler_report(stepped.graph, steps)
        stepped.close()


@pytest.fixture(scope="module")
def baseline() -> Profiled:
    return Profiled("baseline", "unfused")


@pytest.mark.parametrize("name", PUBLISHED)
def test_requested_bytes_are_the_thesis_figures(name: str, request: pytest.FixtureRequest) -> None:
    profiled = request.getfixturevalue("baseline") if name == "baseline" else Profiled(name, "unfused")
    measured = {total.op: units.num_bytes(total.requested_bytes) for total in profiled.totals}
    runtime_nodes = {"NoOp", "_Retval"}  # the executor's own, which the profiler of 2018 did not list
    assert {op: size for op, size in measured.items() if op not in runtime_nodes} == {
        **COMMON,
        **NOTHING,
        **PUBLISHED[name],
        "Const": "20B",
    }


def profiler_rows(tree: Any) -> dict[str, Any]:
    """The profiler's rows by op; its tree is a chain, each row the child of the one before."""
    rows: dict[str, Any] = {}
    nodes = list(tree.children)
    while nodes:
        node = nodes.pop()
        rows[node.name] = node
        nodes.extend(node.children)
    return rows


def test_totals_per_op_are_those_of_tensorflows_profiler(baseline: Profiled) -> None:
    theirs = {name: (node.exec_micros, node.requested_bytes) for name, node in profiler_rows(baseline.tree).items()}
    names = baseline.rows["op"].where(baseline.rows["op"] != "_Retval", baseline.rows["node"])  # as it calls the fetch
    # The profiler averages each node over the steps in whole numbers, then adds the nodes of an op.
    per_node = baseline.rows.groupby([names, "node"])[["profiler_us", "requested_bytes"]].sum() // STEPS
    ours = {str(op): tuple(row) for op, row in per_node.groupby(level=0).sum().iterrows()}
    never_run = {name for name, (micros, _) in theirs.items() if micros == 0}
    assert never_run == {"Assign", "Placeholder", "QueueEnqueueManyV2"}  # set-up, outside the steps
    not_in_the_graph = {"NoOp"}  # the executor's source node
    assert {op: theirs[op] for op in theirs if op not in never_run} == {
        op: ours[op] for op in ours if op not in not_in_the_graph
    }


def test_no_kernel_begins_before_its_step_is_called(baseline: Profiled) -> None:
    assert baseline.rows["start_ns"].min() > 0


def test_nanoseconds_agree_with_the_profilers_microseconds(baseline: Profiled) -> None:
    difference = baseline.rows["profiler_us"] - baseline.rows["duration_ns"] / 1000
    assert difference.median() < 1
    assert baseline.rows["profiler_us"].sum() == pytest.approx(baseline.rows["duration_ns"].sum() / 1000, rel=0.01)


def test_the_profilers_text_is_kept(baseline: Profiled) -> None:
    assert "node name | requested bytes | total execution time | accelerator execution time" in baseline.text
    assert "23.59MB (100.00%, 31.58%)" in baseline.text


def test_every_node_of_a_layer_is_booked_on_it(baseline: Profiled) -> None:
    of_layers = baseline.rows[baseline.rows["layer"] != ""]
    layers = [layer.name for layer in load_variant("baseline", PARAMS).layers]
    assert set(of_layers["layer"]) == set(layers)
    outside = baseline.rows[baseline.rows["layer"] == ""]
    assert set(outside["op"]) == {
        "NoOp", "Const", "FIFOQueueV2", "QueueDequeueManyV2", "Reshape", "InTopKV2", "_Retval"
    }  # fmt: skip


def test_stock_fuses_and_the_convolution_still_comes_out_on_top() -> None:
    profiled = Profiled("baseline", "stock")
    top = profiled.totals[0]
    assert (top.op, top.occurrences) == ("Conv2D", 2)
    assert top.kernel.endswith("FusedConv2D")
    assert top.fuses == ("BiasAdd", "Relu")
    convolutions: pd.DataFrame = profiled.rows[profiled.rows["op"] == "Conv2D"]
    assert set(convolutions["layer"]) == {"conv1", "conv2"}
    # TensorFlow's own profiler books the same kernels by the node they were named after.
    assert profiler_rows(profiled.tree)["Conv2D"].exec_micros == 0
    assert profiler_rows(profiled.tree)["Relu"].exec_micros > 0


def test_the_baseline_against_itself_is_timed_by_whole_steps_and_by_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "PRESET", "smoke")
    monkeypatch.setattr(Unfused, "set_up", lambda runtime: None)  # this process has TensorFlow as shipped
    project = Project(PARAMS.parent, tmp_path)
    record = check.check("unfused", 1, project, GENERATED)
    (pair,) = record.rounds
    preset = load_preset("smoke", PARAMS)
    for blocks in (pair.first_s, pair.second_s):
        assert [len(block) for block in blocks] == [preset.steps_per_block] * preset.blocks
    parts = {(part.layer, part.op): part for part in pair.parts}
    assert len(parts) == len(pair.parts)
    assert {("conv1", "Conv2D"), ("norm2", "LRN"), ("local4", "MatMul"), ("", "QueueDequeueManyV2")} <= set(parts)
    assert all(part.first_s > 0 and part.second_s > 0 for part in pair.parts)
    assert project.store.read_check("unfused", record.machine) == record
    assert resolution(record) is None  # one round tells nothing
