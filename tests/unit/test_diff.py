"""Where the time went: every step by value, the sum, the intervals, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from cnnprof_lib.analysis.differences import numbers as diff
from cnnprof_lib.analysis.differences.matching import matched_layers
from cnnprof_lib.app import terminal_diff
from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.run import RunRecord
from tests.builders import Node, make_machine, make_ops, make_record, make_resolution, make_unattributed
from tests.networks import make_mobilenet, make_run

Run = tuple[RunRecord, pd.DataFrame]


def network(name: str, filters: int, *more: dict[str, Any]) -> VariantSpec:
    """Per image, conv1 has 16 MACs per filter and logits 40; ``more`` layers stand between pool1 and logits."""
    layers = [
        {"name": "conv1", "type": "conv", "filters": filters, "kernel": 1, "activation": "relu"},
        {"name": "pool1", "type": "max_pool", "window": 2, "stride": 2},
        *more,
        {"name": "logits", "type": "dense", "units": 10},
    ]
    size = {"height": 4, "width": 4, "channels": 1}
    return VariantSpec.model_validate({"name": name, "title": name, "input": size, "classes": 10, "layers": layers})


WIDE_NODES = (
    Node("QueueDequeueManyV2", "", 0.0005),
    Node("Conv2D", "conv1", 0.008),
    Node("Relu", "conv1", 0.001),
    Node("MaxPool", "pool1", 0.002),
    Node("MatMul", "logits", 0.003),
)
NARROW_NODES = (
    Node("QueueDequeueManyV2", "", 0.0007),
    Node("Conv2D", "conv1", 0.005, kernel="_FusedConv2D"),
    Node("Relu", "conv1", 0.0004),
    Node("MaxPool", "pool1", 0.0015),
    Node("MatMul", "logits", 0.0015),
)


def steady(seconds: float, rounds: int) -> tuple[tuple[float, ...], ...]:
    return ((seconds,) * 5,) * rounds


def run_of(
    variant: VariantSpec,
    nodes: Sequence[Node],
    plain_s: float,
    base_s: float = 0.02,
    factors: Any = None,
    rounds: int = 6,
    **changes: Any,
) -> Run:
    """A run and its ops; ``factors`` lengthen each of its steps, profiled and not, by round."""
    changes = {"plain_s": steady(plain_s, rounds), "baseline_s": steady(base_s, rounds), **changes}
    record = make_record(variant, nodes=nodes, **changes)
    ops = make_ops(record, nodes)
    if factors is None:
        return record, ops
    flat = [factor for of_round in factors for factor in of_round]
    step_s, mean = record.latency.profiled_mean_s, sum(flat) / len(flat)
    timed = {
        "profiled_s": tuple(tuple(step_s * factor for factor in of_round) for of_round in factors),
        "plain_s": tuple(tuple(plain_s * factor for factor in of_round) for of_round in factors),
    }
    rest = make_unattributed(record.unattributed_s * mean)
    update = {"latency": record.latency.model_copy(update=timed), "unattributed": rest}
    return record.model_copy(update=update), ops.assign(self_ns=ops["self_ns"] * ops["step"].map(dict(enumerate(flat))))


def wide(name: str = "wide", **changes: Any) -> Run:
    """Profiled steps of 15 ms, unprofiled ones of 14 ms."""
    return run_of(network(name, 8), WIDE_NODES, 0.014, unattributed_s=0.0005, **changes)


def narrow(name: str = "narrow", **changes: Any) -> Run:
    """Half the filters; profiled steps of 10 ms, unprofiled ones of 9.2 ms."""
    return run_of(network(name, 4), NARROW_NODES, 0.0092, unattributed_s=0.0009, **changes)


def waterfall(before: Run, after: Run) -> pd.DataFrame:
    return diff.waterfall(*before, *after)


def micros(table: pd.DataFrame) -> list[tuple[str, str, float]]:
    """Layer, cause and change in microseconds of each row."""
    changes = (table["change_s"] * 1e6).round(6) + 0.0
    return list(zip(table["layer"], table["cause"], changes, strict=True))


# The steps


WIDE_TO_NARROW = [
    ("wide", "latency", 14000),
    ("conv1", "MACs", -4000),
    ("conv1", "rate", 1000),
    ("conv1", "side operations", -600),
    ("pool1", "side operations", -500),
    ("logits", "MACs", -1500),
    ("logits", "rate", 0),
    ("(no layer)", "side operations", 200),
    ("unattributed", "unattributed", 400),
    ("tracing", "tracing", 200),
    ("narrow", "latency", 9200),
    ("difference", "difference", -4800),
]


def test_each_layer_is_split_by_cause() -> None:
    assert micros(waterfall(wide(), narrow())) == WIDE_TO_NARROW


QUANTISED_NODES = (
    Node("Quantize", "conv1", 0.0004),
    Node("Conv2D", "conv1", 0.003, kernel="brgconv_avx512_I8"),
    Node("MaxPool", "pool1", 0.0035),
    Node("MatMul", "logits", 0.001),
)


def test_one_network_in_two_runtimes_is_split_into_kernels_and_conversions() -> None:
    """The reference took 20 ms beside the first and 10 ms beside the second: the first's times count half."""
    before = run_of(network("wide", 8), WIDE_NODES, 0.014, reference_s=steady(0.02, 6), unattributed_s=0.0005)
    runtime = {"runtime": "stock", "conversions": ("conv1/Quantize_0",)}
    other = run_of(network("wide", 8), QUANTISED_NODES, 0.009, reference_s=steady(0.01, 6), **runtime)
    table = waterfall(before, other)
    assert micros(table) == [
        ("unfused", "latency", 7000),
        ("conv1", "kernels", -1500),
        ("conv1", "conversions", 400),
        ("pool1", "kernels", 2500),
        ("logits", "kernels", -500),
        ("(no layer)", "kernels", -250),
        ("unattributed", "unattributed", 750),
        ("tracing", "tracing", 600),
        ("stock", "latency", 9000),
        ("difference", "difference", 2000),
    ]
    assert set(table["drift"]) == {0.5}


def test_two_networks_in_two_runtimes_have_nothing_in_common() -> None:
    with pytest.raises(MeasureError, match=r"not run alike: runtime \(unfused / stock\)"):
        waterfall(
            wide(run_id="a", reference_s=steady(0.02, 6)),
            narrow(run_id="b", runtime="stock", reference_s=steady(0.02, 6), machine=make_machine()),
        )


def test_the_steps_add_up_to_the_difference_of_the_latencies() -> None:
    table = waterfall(wide(), narrow())
    assert diff.waterfall_steps(table)["change_s"].sum() == pytest.approx(0.0092 - 0.014, abs=1e-15)
    assert list(diff.waterfall_steps(table).index) == list(range(1, 10))


def test_the_old_rate_is_that_of_the_run_before() -> None:
    """Back from 4 to 8 filters at 5 ms for 4 of them: 5 ms more, but it takes 3 ms more."""
    by_row = {(layer, cause): change for layer, cause, change in micros(waterfall(narrow(), wide()))}
    assert (by_row["conv1", "MACs"], by_row["conv1", "rate"]) == (5000, -2000)
    assert by_row["difference", "difference"] == 4800


def test_rows_say_which_runs_they_are_of() -> None:
    before, after = wide(run_id="a"), narrow(run_id="b")
    row = waterfall(before, after).iloc[3]
    named = ["before", "before_run_id", "after", "after_run_id", "after_runtime", "batch_size", "drift"]
    assert row[named].tolist() == ["wide", "a", "narrow", "b", "unfused", 128, 1.0]


NORM = {"name": "norm1", "type": "lrn", "depth_radius": 4, "bias": 1.0, "alpha": 0.1, "beta": 0.75}
HIDDEN = {"name": "hidden", "type": "dense", "units": 10, "activation": "relu"}


def deep(name: str = "deep") -> Run:
    nodes = (
        *WIDE_NODES,
        Node("LRN", "norm1", 0.001),
        Node("MatMul", "hidden", 0.002),
        Node("Relu", "hidden", 0.0001),
    )
    return run_of(network(name, 8, NORM, HIDDEN), nodes, 0.017, unattributed_s=0.0005)


def test_a_layer_that_only_one_network_has_is_all_macs_and_side_operations() -> None:
    table = micros(waterfall(wide(), deep()))
    assert [row for row in table if row[0] in ("norm1", "hidden")] == [
        ("norm1", "side operations", 1000),
        ("hidden", "MACs", 2000),
        ("hidden", "side operations", 100),
    ]
    assert list(dict.fromkeys(layer for layer, _, _ in table)) == [
        *("wide", "conv1", "pool1", "norm1", "hidden", "logits"),
        *("(no layer)", "unattributed", "tracing", "deep", "difference"),
    ]
    assert ("logits", "MACs", -2062.5) in table  # 100 instead of 320 MACs, 3 ms before
    back = micros(waterfall(deep(), wide()))
    assert [row for row in back if row[0] in ("norm1", "hidden")] == [
        ("norm1", "side operations", -1000),
        ("hidden", "MACs", -2000),
        ("hidden", "side operations", -100),
    ]
    assert back[-1] == ("difference", "difference", -3000)


def test_a_layer_that_only_one_network_has_is_gone_or_new() -> None:
    def presence(table: pd.DataFrame) -> dict[str, str]:
        return dict(zip(table["layer"], table["presence"], strict=True))

    there = presence(waterfall(wide(), deep()))
    assert {layer for layer, of in there.items() if of != "both"} == {"norm1", "hidden"}
    assert there["norm1"] == "new"
    assert presence(waterfall(deep(), wide()))["norm1"] == "gone"
    lines = printed(waterfall(deep(), wide()))
    assert [line.split()[:2] for line in lines if "norm1" in line] == [["norm1", "(gone)"]]


def renamed(**changes: Any) -> Run:
    """The network `wide` with its first two layers under other names."""
    names = {"conv1": "stem", "pool1": "shrink"}
    spec = network("renamed", 4)
    layers = tuple(layer.model_copy(update={"name": names.get(layer.name, layer.name)}) for layer in spec.layers)
    nodes = [dataclasses.replace(node, layer=names.get(node.layer, node.layer)) for node in NARROW_NODES]
    return run_of(spec.model_copy(update={"layers": layers}), nodes, 0.0092, unattributed_s=0.0009, **changes)


def test_layers_under_two_names_are_compared_as_under_one() -> None:
    table = waterfall(wide(), renamed())
    names = {"conv1": "conv1 -> stem", "pool1": "pool1 -> shrink", "narrow": "renamed"}
    assert micros(table) == [(names.get(layer, layer), cause, change) for layer, cause, change in WIDE_TO_NARROW]
    assert set(table["presence"]) == {"both"}
    assert diff.check_balance(table) is table


def test_the_steps_between_networks_of_other_layers_add_up() -> None:
    before, after = make_run(make_mobilenet(blocks=4)), make_run(make_mobilenet("inner/", blocks=5))
    table = waterfall(before, after)
    paired = [name for name in dict.fromkeys(table["layer"]) if "->" in name]
    assert paired[0] == "Conv1 -> inner/Conv1"
    assert len(paired) == len(before[0].network.layers)
    new = table.loc[table["presence"] == "new", "layer"]
    assert {name.split("_")[1] for name in new} == {"5"}
    assert all(old == new.removeprefix("inner/") for old, new in (name.split(" -> ") for name in paired))
    assert diff.waterfall_steps(table)["change_s"].sum() == pytest.approx(
        after[0].latency.plain_s[0][0] - before[0].latency.plain_s[0][0]
    )


def test_many_layers_are_folded_to_the_ones_that_change_most() -> None:
    table = waterfall(make_run(make_mobilenet()), make_run(make_mobilenet(blocks=12)))
    folded = diff.largest_steps(table)
    names = list(dict.fromkeys(folded["layer"]))
    assert len(set(table["layer"])) > 130
    assert names[-4:] == [f"{106 + 25 - diff.MOST_DRAWN} other layers", "unattributed", "tracing", "difference"]
    assert len(names) == diff.MOST_DRAWN + len(["mobilenet", "unattributed", "tracing", "difference"])
    assert diff.check_balance(folded) is folded
    rest = folded[folded["layer"] == f"{106 + 25 - diff.MOST_DRAWN} other layers"]
    assert rest["change_s_low"].isna().all()
    assert diff.largest_steps(folded) is folded
    assert diff.largest_steps(waterfall(wide(), narrow())).equals(waterfall(wide(), narrow()))


# Which layer is which


def pairs(before: str, after: str) -> list[tuple[str | None, str | None]]:
    """Pairs of layers whose types are the letters before their numbers."""
    types = [{name: name.rstrip("0123456789").lower() for name in names.split()} for names in (before, after)]
    return [tuple(pair) for pair in matched_layers(*types)]


def test_layers_of_one_name_are_one_wherever_they_stand() -> None:
    assert pairs("a b c", "c a") == [("a", "a"), ("b", None), ("c", "c")]
    assert pairs("a b", "a x b y") == [("a", "a"), (None, "x"), ("b", "b"), (None, "y")]


def test_others_are_matched_by_type_between_those() -> None:
    assert pairs("Conv1 pool", "conv2 pool") == [("Conv1", "conv2"), ("pool", "pool")]
    assert pairs("pool Conv1", "conv2 pool") == [(None, "conv2"), ("pool", "pool"), ("Conv1", None)]
    assert pairs("Conv1 Relu1 pool", "conv2 norm relu2 pool") == [
        *(("Conv1", "conv2"), (None, "norm"), ("Relu1", "relu2"), ("pool", "pool"))
    ]
    assert pairs("Conv1 Conv2", "conv3") == [("Conv1", "conv3"), ("Conv2", None)]


def test_a_network_inside_another_has_its_layers_under_a_path() -> None:
    types = {"a": "x", "b": "x"}, {"in/b": "x", "in/c": "x"}
    assert matched_layers(*types) == [("a", None), ("b", "in/b"), (None, "in/c")]
    assert matched_layers({"a/x": "x"}, {"b/x": "x", "c/x": "x"}) == [("a/x", "b/x"), (None, "c/x")]  # by type


def test_layers_of_no_known_type_are_matched_by_name_alone() -> None:
    assert matched_layers({"a": "", "b": ""}, {"a": "", "c": ""}) == [("a", "a"), (None, "c"), ("b", None)]


def test_a_pair_is_called_by_both_its_names() -> None:
    labels = [(pair.label, pair.presence) for pair in matched_layers({"a": "x", "b": "y"}, {"c": "x", "d": "z"})]
    assert labels == [("a -> c", "both"), ("d", "new"), ("b", "gone")]


def padded(stride: int, conv1_s: float, runtime: str) -> Run:
    """On 4x4 pixels a window of 3x3 meets 100 values and 44 of padding with stride 1, 16 and 20 with stride 3."""
    spec = network(f"stride{stride}", 8)
    conv1 = spec.layers[0].model_copy(update={"kernel": 3, "stride": stride})
    spec = spec.model_copy(update={"layers": (conv1, *spec.layers[1:])})
    nodes = (Node("Conv2D", "conv1", conv1_s), Node("MatMul", "logits", 0.001))
    return run_of(spec, nodes, conv1_s + 0.002, unattributed_s=0.001, runtime=runtime)


@pytest.mark.parametrize(("runtime", "macs", "rate"), [("stock", -8400, 0), ("unfused", -7500, -900)])
def test_kernels_that_skip_padding_are_not_called_faster_for_it(runtime: str, macs: float, rate: float) -> None:
    table = micros(waterfall(padded(1, 0.010, runtime), padded(3, 0.0016, runtime)))
    assert [row for row in table if row[0] == "conv1"] == [("conv1", "MACs", macs), ("conv1", "rate", rate)]


def test_a_layer_that_no_network_names_is_not_dropped() -> None:
    odd = run_of(network("odd", 8), (*WIDE_NODES, Node("Cast", "elsewhere", 0.001)), 0.015, unattributed_s=0.0005)
    table = micros(waterfall(wide(), odd))
    assert table[-6:-4] == [("elsewhere", "side operations", 1000), ("(no layer)", "side operations", 0)]


def test_without_kernels_of_its_own_all_is_side_operations() -> None:
    nodes = (Node("Custom", "conv1", 0.004), Node("MaxPool", "pool1", 0.001))
    before = run_of(network("custom", 8), nodes, 0.006)
    table = micros(waterfall(before, before))
    assert {cause for _, cause, change in table if change} == {"latency"}


# What represents a run


def test_a_disturbed_step_moves_no_layer() -> None:
    factors = ((1.0,) * 5, (1.0, 9.0, 1.0, 1.0, 1.0), (1.0,) * 5, (1.0,) * 5)
    assert micros(waterfall(wide(), narrow(factors=factors))) == WIDE_TO_NARROW


RISING = tuple(tuple(1 + 0.05 * i + 0.01 * j for j in range(5)) for i in range(6))


def test_a_run_is_the_mean_over_the_middle_half_of_its_steps() -> None:
    table = waterfall(wide(), narrow(factors=RISING))
    factor = stats.trim_mean([factor for of_round in RISING for factor in of_round], 0.25)
    by_row = {(layer, cause): change for layer, cause, change in micros(table)}
    assert by_row["pool1", "side operations"] == pytest.approx(1500 * factor - 2000)
    assert by_row["conv1", "rate"] == pytest.approx(5000 * factor - 4000)
    profiled = diff.waterfall_steps(table).iloc[:-1]["change_s"].sum()
    assert profiled == pytest.approx(0.010 * factor - 0.015)


def test_drift_between_processes_scales_the_run_before() -> None:
    table = waterfall(wide(base_s=0.02), narrow(base_s=0.03))
    assert table["drift"].tolist() == pytest.approx([1.5] * len(table))
    by_row = {(layer, cause): change for layer, cause, change in micros(table)}
    assert by_row["wide", "latency"] == 21000
    assert (by_row["conv1", "MACs"], by_row["conv1", "rate"]) == (-6000, -1000)
    assert by_row["pool1", "side operations"] == -1500
    assert by_row["narrow", "latency"] == 9200


def test_from_the_baseline_the_first_latency_is_the_one_beside_the_other_run() -> None:
    table = waterfall(wide("baseline", base_s=0.5), narrow(base_s=0.021))
    assert (micros(table)[0], micros(table)[-1]) == (
        ("baseline", "latency", 21000),
        ("difference", "difference", -11800),
    )
    assert table["drift"][0] == pytest.approx(1.5)


def test_two_runs_of_the_baseline_differ_by_what_the_second_tells_apart() -> None:
    table = waterfall(wide("baseline"), wide("baseline", base_s=0.0135))
    assert micros(table)[-1] == ("difference", "difference", 500)


# Intervals


def test_steps_that_are_all_alike_leave_intervals_of_no_width() -> None:
    table = waterfall(wide(), narrow())
    assert table["change_s_low"].tolist() == pytest.approx(table["change_s"].tolist(), abs=1e-15)
    assert table["change_s_high"].tolist() == pytest.approx(table["change_s"].tolist(), abs=1e-15)


def test_intervals_hold_the_value_and_are_the_same_every_time() -> None:
    table = waterfall(wide(factors=RISING), narrow(factors=RISING[::-1]))
    assert (table["change_s_low"] < table["change_s"]).all()
    assert (table["change_s"] < table["change_s_high"]).all()
    pd.testing.assert_frame_equal(waterfall(wide(factors=RISING), narrow(factors=RISING[::-1])), table)


def test_blocks_of_a_round_are_drawn_together() -> None:
    """Profiled steps are 10 ms and unprofiled ones 9.2 ms in every round, so that tracing adds little but 0.8 ms."""
    table = waterfall(wide(), narrow(factors=tuple((1 + 0.1 * i,) * 5 for i in range(6))))
    width = (table["change_s_high"] - table["change_s_low"]).set_axis(table["cause"])
    assert 0 < width["tracing"] < 0.3 * width["difference"]


def told(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Rows of layers that are called a change: their interval leaves out 0."""
    rows = diff.waterfall_steps(table)[["layer", "cause", "change_s_low", "change_s_high"]]
    return [
        (layer, cause)
        for layer, cause, low, high in rows.itertuples(index=False)
        if (low > 0 or high < 0) and cause != diff.TRACING
    ]


def test_layers_of_two_copies_are_not_told_apart_by_less_than_sessions_differ_by() -> None:
    """Each layer takes 1% more or, as a whole, a microsecond; a check showed 2% in kernels and 5% in all else."""
    nodes = [Node(node.op, node.layer, node.time_s * 1.01) for node in WIDE_NODES[1:]]
    before, after = wide("a"), run_of(network("b", 8), [WIDE_NODES[0], *nodes], 0.014, unattributed_s=0.0005)
    assert ("conv1", "rate") in told(waterfall(before, after))
    checked = make_resolution(1.01, kernel_ratio=1.02, side_ratio=1.05)
    assert told(diff.waterfall(*before, *after, checked)) == []
    tiny = [Node("Relu", "pool1", 1e-6), *WIDE_NODES]
    assert told(diff.waterfall(*before, *run_of(network("b", 8), tiny, 0.014, unattributed_s=0.0005), checked)) == []


def test_a_layer_that_changed_is_told_whatever_the_whole_step_does() -> None:
    """Half of pool1's 2 ms are gone, which is less than the 10% by which whole steps may differ."""
    nodes = [node if node.layer != "pool1" else Node("MaxPool", "pool1", 0.001) for node in WIDE_NODES]
    after = run_of(network("b", 8), nodes, 0.013, unattributed_s=0.0005)
    table = diff.waterfall(*wide("a"), *after, make_resolution(1.1, kernel_ratio=1.02, side_ratio=1.05))
    assert told(table) == [("pool1", "side operations")]
    assert diff.is_distinct(table) is False


def test_enough_processes_are_what_is_drawn_and_need_no_widening() -> None:
    """The first block of each process takes twice as long: blocks differ, processes do not."""
    factors = (((2.0,) * 5,) + ((1.0,) * 5,) * 2) * 6

    def pooled(run: Run) -> Run:
        latency = run[0].latency.model_copy(update={"processes": (3,) * 6})
        return run[0].model_copy(update={"latency": latency}), run[1]

    before, after = (make(rounds=18, factors=factors) for make in (wide, narrow))
    checked = make_resolution(1.5)
    by_block, by_process = waterfall(before, after), diff.waterfall(*pooled(before), *pooled(after), checked)
    width = [table["change_s_high"] - table["change_s_low"] for table in (by_block, by_process)]
    assert (width[0] > 1e-6).any()
    assert width[1].abs().max() < 1e-12


def test_rounds_may_differ_in_number_and_length() -> None:
    uneven = narrow(factors=((1.0,), (1.0, 1.0, 1.0), (1.0, 1.0)))
    assert micros(waterfall(wide(), uneven)) == WIDE_TO_NARROW


# What is refused


def test_unlike_runs_are_refused_by_name() -> None:
    machine = make_machine(
        cpu="Another CPU", logical_cores=4, tensorflow="2.22.0", keras="3.13.0", onednn=True, gpus=("A GPU",)
    )
    other = narrow(machine=machine, batch_size=64, threads=1, run_id="b")
    with pytest.raises(MeasureError) as refused:
        waterfall(wide(run_id="a"), other)
    assert str(refused.value) == (
        "wide (a) and narrow (b) were not run alike: batch size (128 / 64), threads (the runtime's choice / 1), "
        "CPU (Made-up CPU / Another CPU), logical cores (2 / 4), GPUs (none / A GPU), TensorFlow (2.21.0 / 2.22.0), "
        "Keras (3.12.0 / 3.13.0), oneDNN kernels (off / on). Measure both anew under the same conditions: "
        "cnnprof run wide narrow"
    )
    with pytest.raises(MeasureError) as refused:
        waterfall(wide(run_id="a"), wide(run_id="b", runtime="stock", machine=make_machine()))
    assert str(refused.value) == (
        "wide (a) and wide (b) were not run alike: runtime (unfused / stock). "
        "Measure both anew under the same conditions: cnnprof run wide"
    )


def test_other_images_are_no_reason_to_refuse() -> None:
    record, ops = narrow()
    images = record.images.model_copy(update={"name": "CIFAR-10", "generated": False})
    assert micros(waterfall(wide(), (record.model_copy(update={"images": images}), ops))) == WIDE_TO_NARROW


def test_ops_of_another_run_are_refused() -> None:
    with pytest.raises(MeasureError) as refused:
        waterfall(wide(run_id="a"), (narrow(run_id="b")[0], wide()[1]))
    assert str(refused.value) == (
        "narrow (b): its ops leave -0.004500 s of a step unattributed, but its record 0.000900 s. "
        "Pass the ops of the same run."
    )


def test_steps_that_do_not_add_up_are_refused() -> None:
    table = waterfall(wide(), narrow())
    with pytest.raises(MeasureError) as refused:
        diff.check_balance(table.drop(index=4))
    assert str(refused.value) == (
        "wide and narrow: the steps add up to -0.004300000 s, but the latencies differ by -0.004800000 s."
    )


# What is printed


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return round(value, 9) + 0.0 if isinstance(value, float) else value


def test_show_is_plain_and_complete() -> None:
    shown = rounded(
        json.loads(json.dumps(diff.difference_for_scripts(waterfall(wide(run_id="a"), narrow(run_id="b")))))
    )
    assert shown.pop("steps") == [
        {
            "layer": layer,
            "cause": cause,
            "presence": "both",
            "change_s": round(us / 1e6, 9),
            "ci95": [round(us / 1e6, 9)] * 2,
        }
        for layer, cause, us in WIDE_TO_NARROW[1:-2]
    ]
    assert shown == {
        "before": {
            "variant": "wide",
            "runtime": "unfused",
            "run_id": "a",
            "latency_s": {"median": 0.014, "ci95": [0.014, 0.014]},
        },
        "after": {
            "variant": "narrow",
            "runtime": "unfused",
            "run_id": "b",
            "latency_s": {"median": 0.0092, "ci95": [0.0092, 0.0092]},
        },
        "runtime": "unfused",
        "batch_size": 128,
        "drift": 1.0,
        "difference_s": {"value": -0.0048, "ci95": [-0.0048, -0.0048]},
        "distinguishable": None,
    }


@pytest.mark.parametrize(("noise", "told_apart"), [(1.4, True), (1.6, False)])
def test_a_difference_within_the_noise_of_the_machine_is_called_so(noise: float, told_apart: bool) -> None:
    fall = diff.waterfall(*wide(), *narrow(), make_resolution(noise))
    assert diff.latency_ratio(fall) == pytest.approx(9.2 / 14)
    shown = diff.difference_for_scripts(fall)
    assert shown["distinguishable"] is told_apart
    lines = [str(part) for part in terminal_diff.diff_parts(shown)]
    assert ("This is not distinguishable here: two copies of the baseline differ as much." in lines) is not told_apart


def printed(table: pd.DataFrame) -> list[str]:
    console = Console(file=io.StringIO(), width=120)
    for part in terminal_diff.diff_parts(diff.difference_for_scripts(table)):
        console.print(part, highlight=False)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_terminal_shows_each_step_and_what_it_leads_to() -> None:
    lines = printed(waterfall(wide(), narrow()))
    assert lines[:2] == [
        "wide to narrow, runtime unfused",
        "-4.80ms (95%: -4.80ms to -4.80ms) per step of 128 images",
    ]
    assert [line.split() for line in lines[2:5]] == [
        ["layer", "cause", "change", "95%", "interval", "step"],
        ["wide", "14.00ms", "to", "14.00ms", "14.00ms"],
        ["conv1", "MACs", "-4.00ms", "-4.00ms", "to", "-4.00ms", "10.00ms"],
    ]
    assert lines[5].split()[:2] == ["rate", "+1.00ms"]
    assert [line.split() for line in lines[-4:-1]] == [
        ["unattributed", "+400us", "+400us", "to", "+400us", "9.00ms"],
        ["tracing", "+200us", "+200us", "to", "+200us", "9.20ms"],
        ["narrow", "9.20ms", "to", "9.20ms", "9.20ms"],
    ]
    assert lines[-1] == "Dim rows: the interval holds 0 or is unknown, so no change can be told."


def test_the_terminal_warns_of_drift() -> None:
    lines = printed(waterfall(wide(run_id="a"), narrow(run_id="b", base_s=0.03)))
    text = " ".join(line.strip() for line in lines)
    assert text.endswith(
        "Warning: the baseline took 1.500 times as long in the process of narrow (b) as in that of wide (a). "
        "Here the times of wide are multiplied by this. Measure both again on a quiet machine."
    )
