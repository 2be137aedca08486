"""Result tables, estimates and comparisons, by value."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cnnprof_lib.analysis import estimates
from cnnprof_lib.analysis.profile import numbers as profile
from cnnprof_lib.analysis.profile.for_scripts import run_for_scripts
from cnnprof_lib.analysis.resolution import ratio_to_baseline
from cnnprof_lib.analysis.variants import numbers as variants
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.run import AgreementRecord, RunRecord
from cnnprof_lib.thesis import strides
from tests.builders import (
    PARAMS,
    Node,
    make_accuracy,
    make_failure,
    make_ops,
    make_record,
    make_resolution,
)

# Ops take 10 ms, the profiled step 12.5 ms.
NODES = (
    Node("FIFOQueueV2", "", 0.0005, 3000),
    Node("Conv2D", "conv1", 0.004, 1000),
    Node("BiasAdd", "conv1", 0.0005),
    Node("MaxPool", "pool1", 0.001, 4000),
    Node("Conv2D", "conv2", 0.002, 2000),
    Node("MatMul", "local3", 0.002, 0, kernel="_FusedMatMul"),
)
UNATTRIBUTED_S = 0.0025


def record_of(**changes: object) -> RunRecord:
    return make_record(nodes=NODES, unattributed_s=UNATTRIBUTED_S, **changes)  # type: ignore[arg-type]


def rows(table: object, *columns: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in table[list(columns)].itertuples(index=False)]  # type: ignore[index]


# Ops and layers


def test_op_table_has_the_form_of_the_thesis() -> None:
    table = profile.by_op(record_of()).round(9)
    assert rows(table.iloc[:5], "op", "time_s", "accumulated_share", "own_share", "step_share") == [
        ("Conv2D", 0.006, 1.0, 0.6, 0.48),
        ("MatMul", 0.002, 0.4, 0.2, 0.16),
        ("MaxPool", 0.001, 0.2, 0.1, 0.08),
        ("BiasAdd", 0.0005, 0.1, 0.05, 0.04),
        ("FIFOQueueV2", 0.0005, 0.05, 0.05, 0.04),
    ]
    assert rows(table.iloc[:5], "requested_bytes", "bytes_accumulated_share", "bytes_share") == [
        (3000, 1.0, 0.3),
        (0, 0.0, 0.0),
        (4000, 0.7, 0.4),
        (0, 0.0, 0.0),
        (3000, 0.3, 0.3),
    ]
    assert list(table["kernels"][:2]) == [["Conv2D"], ["_FusedMatMul"]]
    assert table["occurrences"][0] == 2


def test_op_table_ends_in_unattributed_time_and_adds_up_to_the_step() -> None:
    table = profile.by_op(record_of()).round(9)
    assert rows(table.tail(1), "op", "time_s", "requested_bytes", "step_share") == [("unattributed", 0.0025, 0, 0.2)]
    assert table.tail(1)[["accumulated_share", "own_share", "bytes_share"]].isna().all(axis=None)
    assert table["time_s"].sum() == pytest.approx(0.0125)
    assert table["step_share"].sum() == pytest.approx(1)


def test_op_table_equals_the_published_arithmetic() -> None:
    """Times and bytes of Figure 4.16 give its percentages back."""
    from cnnprof_lib.thesis import published_table

    printed = published_table("fig4.16")
    nodes = [
        Node(op, "conv1", time_s, size)
        for op, time_s, size in rows(printed, "op", "time_s", "requested_bytes")  # type: ignore[arg-type]
    ]
    table = profile.by_op(make_record(nodes=nodes)).iloc[:-1]
    assert list(table["op"]) == list(printed["op"])
    for column in ("accumulated_share", "own_share", "bytes_accumulated_share", "bytes_share"):
        # Relu's 3.59 is printed for 3.50, MaxPool's 57.00 for 57.08 (see Table 4.8); the sums were of microseconds.
        assert list(table[column]) == pytest.approx(list(printed[column]), abs=0.0012), column


def test_layer_table_has_work_rate_and_the_rest_of_the_step() -> None:
    record = record_of()
    table = profile.by_layer(record, make_ops(record, NODES)).round(9)
    timed = table[table["time_s"] > 0]
    assert rows(timed, "layer", "type", "time_s", "time_share") == [
        ("conv1", "conv", 0.0045, 0.36),
        ("pool1", "max_pool", 0.001, 0.08),
        ("conv2", "conv", 0.002, 0.16),
        ("local3", "dense", 0.002, 0.16),
        ("(no layer)", "", 0.0005, 0.04),
        ("unattributed", "", 0.0025, 0.2),
    ]
    assert list(table["layer"][:9]) == [layer.name for layer in record.variant.layers]
    conv1 = table.iloc[0]
    assert conv1["macs"] == 24 * 24 * 64 * 5 * 5 * 3
    assert conv1["gmacs_per_s"] == pytest.approx(conv1["macs"] * 128 / 0.0045 / 1e9)
    assert conv1["output_bytes"] == 128 * 24 * 24 * 64 * 4
    assert conv1["output_shape"] == (24, 24, 64)


def test_architecture_and_shapes_come_from_the_variant() -> None:
    baseline, stride2 = load_variant("baseline", PARAMS), load_variant("stride2", PARAMS)
    table = profile.architecture(baseline.network)
    assert rows(table.iloc[[0, 6]], "layer", "type", "output_shape", "parameters", "macs") == [
        ("conv1", "conv", (24, 24, 64), 4864, 2_764_800),
        ("local3", "dense", (384,), 885_120, 884_736),
    ]
    shapes = profile.shapes([v.network for v in (baseline, stride2, load_variant("smoke", PARAMS))])
    assert rows(shapes.iloc[:2], "layer", "baseline", "stride2") == [
        ("conv1", (24, 24, 64), (12, 12, 64)),
        ("pool1", (12, 12, 64), (6, 6, 64)),
    ]
    assert shapes.loc[shapes["layer"] == "conv2", "smoke"].isna().all()


# Estimates


def test_a_steady_run_has_an_interval_of_no_width() -> None:
    assert estimates.median_of_blocks([[0.01, 0.03, 0.02]] * 6) == (0.02, 0.02, 0.02)


def test_the_interval_holds_the_value_and_is_the_same_every_time() -> None:
    blocks = [[0.010 + 0.001 * i] * 3 for i in range(11)]
    estimate = estimates.median_of_blocks(blocks)
    assert estimate.value == 0.015
    assert 0.010 < estimate.low < 0.015 < estimate.high < 0.020
    assert estimates.median_of_blocks(blocks) == estimate


@pytest.mark.parametrize(("count", "low", "high"), [(6, 1, 6), (7, 1, 7), (9, 2, 8), (20, 6, 15), (40, 14, 27)])
def test_the_interval_of_a_median_lies_between_two_of_the_values(count: int, low: int, high: int) -> None:
    """The places in tables of the sign test, as in Conover's."""
    assert estimates.median_of_blocks([[value] for value in range(1, count + 1)])[1:] == (low, high)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_too_few_blocks_have_no_interval(count: int) -> None:
    value, low, high = estimates.median_of_blocks([[0.01]] * count)
    assert value == 0.01
    assert math.isnan(low) and math.isnan(high)
    assert math.isnan(estimates.ratio_of_sums([1.0] * count, [2.0] * count).low)


@pytest.mark.parametrize("count", [6, 20])
def test_an_interval_holds_the_true_median_as_often_as_it_says(count: int) -> None:
    """Of 1,000 samples of skewed noise some 50 may miss it; a percentile bootstrap of 6 misses it in some 70."""
    samples = np.random.default_rng(1).lognormal(size=(1000, count))
    found = [estimates.median_of_blocks(sample[:, None].tolist()) for sample in samples]
    assert sum(not low <= 1 <= high for _, low, high in found) <= 50


def test_independent_doubts_add_up_by_their_squares() -> None:
    e = math.e
    wider = estimates.Estimate(1.0, e**-0.03, e**0.03).widened(e**0.04)
    assert wider == pytest.approx((1.0, e**-0.05, e**0.05))
    assert estimates.Estimate(2.0, 2.0, 2.0).widened(1.1) == pytest.approx((2.0, 2 / 1.1, 2.2))


def test_ratios_over_blocks_are_widened_by_the_resolution_and_those_over_processes_are_not() -> None:
    steady = make_record("stride2", plain_s=((0.01,),) * 12, baseline_s=((0.01,),) * 12)
    assert ratio_to_baseline(steady, None) == (1, 1, 1)
    assert ratio_to_baseline(steady, make_resolution(1.02)) == pytest.approx((1, 1 / 1.02, 1.02))
    for blocks, interval in (((4,) * 3, (1 / 1.02, 1.02)), ((2,) * 6, (1, 1))):
        latency = steady.latency.model_copy(update={"processes": blocks})
        ratio = ratio_to_baseline(steady.model_copy(update={"latency": latency}), make_resolution(1.02))
        assert ratio[1:] == pytest.approx(interval), blocks


def test_drift_cancels_in_the_ratio_of_paired_blocks() -> None:
    drift = [1.0, 1.5, 2.0, 3.0, 3.5, 4.0]
    ratio = estimates.ratio_of_blocks([[0.5 * d] * 2 for d in drift], [[1.0 * d] * 2 for d in drift])
    assert ratio == (0.5, 0.5, 0.5)


def test_a_proportion_has_its_wilson_interval() -> None:
    assert estimates.proportion(8600, 10_000) == pytest.approx((0.86, 0.853061, 0.866663), abs=1e-6)


def test_spread_is_the_interquartile_range_over_the_median() -> None:
    assert estimates.spread([[1.0, 2.0], [3.0, 4.0, 5.0]]) == pytest.approx(2 / 3)


# Runs


def test_overview_estimates_a_run_and_leaves_a_failure_empty() -> None:
    plain_s = ((0.010, 0.010),) * 6
    record = record_of(plain_s=plain_s, baseline_s=((0.040, 0.040),) * 6, accuracy=make_accuracy(8600))
    run, failure = variants.overview([record, make_failure()]).to_dict("records")
    assert (run["latency_s"], run["latency_s_low"], run["latency_s_high"]) == (0.01, 0.01, 0.01)
    assert (run["ratio"], run["ratio_low"], run["ratio_high"]) == (0.25, 0.25, 0.25)
    assert (run["top1"], run["accuracy_measured"]) == (0.86, True)
    assert run["profiled_over_plain"] == pytest.approx(1.25)
    assert run["unattributed_share"] == pytest.approx(0.2)
    assert run["spread"] == 0
    estimated = ("latency_s", "ratio", "top1", "profiled_over_plain", "unattributed_share", "spread")
    assert [failure[column] == failure[column] for column in estimated] == [False] * 6


@pytest.mark.parametrize(("smallest", "indistinct"), [(1.05, False), (1.15, True)])
def test_overview_says_which_ratio_is_within_the_noise(smallest: float, indistinct: bool) -> None:
    steps = {"plain_s": ((0.010,),) * 6, "baseline_s": ((0.011,),) * 6}
    records = [make_record("baseline", **steps), make_record("stride2", **steps), make_failure("stride3")]
    found = make_resolution(smallest)
    table = variants.overview(records, lambda record: found)
    assert table["indistinct"].tolist() == [False, indistinct, False]  # the baseline is no other network
    assert table["smallest_ratio"].tolist() == pytest.approx([smallest, smallest, float("nan")], nan_ok=True)
    assert not variants.overview(records)["indistinct"].any()


def test_show_warns_of_a_ratio_within_the_noise() -> None:
    record = make_record("stride2", plain_s=((0.010,),) * 6, baseline_s=((0.011,),) * 6)
    found = make_resolution(1.15)
    assert run_for_scripts(record, make_ops(record), found)["warnings"] == [
        "The ratio to the baseline, 0.909, is not distinguishable here: "
        "two copies of the baseline differ by a ratio of up to 1.150"
    ]
    assert run_for_scripts(record, make_ops(record))["warnings"] == []


def test_of_several_processes_the_processes_are_resampled() -> None:
    plain_s = tuple((step_s,) for step_s in (0.010, 0.010, 0.011, 0.011, 0.012, 0.012))
    one = make_record(plain_s=plain_s, baseline_s=plain_s)
    timed = one.latency.model_copy(update={"processes": (1,) * 6})
    pooled = one.model_copy(update={"latency": timed})
    (row,) = variants.overview([pooled]).to_dict("records")
    assert (row["latency_s"], row["latency_s_low"], row["latency_s_high"]) == (0.011, 0.010, 0.012)
    assert row["process_spread"] == pytest.approx(0.002 / 0.011)
    (row,) = variants.overview([one]).to_dict("records")
    assert row["process_spread"] != row["process_spread"]  # missing


def test_show_prints_the_promised_keys() -> None:
    nodes = (
        Node("Conv2D", "conv1", 0.006, 1000, kernel="_FusedConv2D"),
        Node("MatMul", "logits", 0.002, 10),
        Node("_Arg", "", 0.001),
    )
    record = make_record(
        "smoke",
        "stock",
        nodes=nodes,
        unattributed_s=0.001,
        fused_into={"pool1": "conv1"},
        plain_s=((0.008, 0.008),) * 6,
        baseline_s=((0.016, 0.016),) * 6,
        reference_s=((0.032, 0.032),) * 6,
        agreement=AgreementRecord(images=10, max_abs=0.5, argmax_share=0.9),
        accuracy=make_accuracy(5, 10, measured=False),
    )
    shown = json.loads(json.dumps(run_for_scripts(record, make_ops(record, nodes))))
    assert shown.pop("accuracy").pop("ci95") == pytest.approx([0.236593, 0.763407], abs=1e-6)
    assert (shown.pop("unattributed_s"), shown.pop("unattributed_share")) == pytest.approx((0.001, 0.1))
    assert shown.pop("profiled_over_plain") == pytest.approx(1.25)
    for row in (*shown["ops"], *shown["layers"]):
        row["time_s"], row["time_share"] = round(row["time_s"], 9), round(row["time_share"], 9)
    assert shown == {
        "variant": "smoke",
        "runtime": "stock",
        "run_id": record.run_id,
        "parameters": record.network.parameters,
        "macs_per_image": record.network.macs_per_image,
        "uncounted_layers": [],
        "blocks": [],
        "baseline": "baseline",
        "batch_size": 128,
        "threads": None,
        "latency_s": {"median": 0.008, "ci95": [0.008, 0.008], "steps": 12},
        "ratio_to_baseline": {"median": 0.5, "ci95": [0.5, 0.5]},
        "ratio_to_reference": {"median": 0.25, "ci95": [0.25, 0.25]},
        "reference": "baseline",
        "precision": "float32",
        "model_bytes": None,
        "calibration": None,
        "output_agreement": {"images": 10, "max_abs": 0.5, "argmax_share": 0.9},
        "ops": [
            {
                "op": "Conv2D",
                "kernels": ["_FusedConv2D"],
                "time_s": 0.006,
                "time_share": 0.6,
                "requested_bytes": 1000,
                "occurrences": 1.0,
            },
            {
                "op": "MatMul",
                "kernels": ["MatMul"],
                "time_s": 0.002,
                "time_share": 0.2,
                "requested_bytes": 10,
                "occurrences": 1.0,
            },
            {
                "op": "_Arg",
                "kernels": ["_Arg"],
                "time_s": 0.001,
                "time_share": 0.1,
                "requested_bytes": 0,
                "occurrences": 1.0,
            },
        ],
        "layers": [
            {
                "layer": "conv1",
                "type": "conv",
                "time_s": 0.006,
                "time_share": 0.6,
                "fused_into": None,
                "kernel": "_FusedConv2D",
                "fell_back": None,
                "macs": 12 * 12 * 8 * 27,
                "gmacs_per_s": pytest.approx(12 * 12 * 8 * 27 * 128 / 0.006 / 1e9),
                "output_bytes": 128 * 12 * 12 * 8 * 4,
            },
            {
                "layer": "pool1",
                "type": "max_pool",
                "time_s": 0,
                "time_share": 0,
                "fused_into": "conv1",
                "kernel": None,
                "fell_back": None,
                "macs": 0,
                "gmacs_per_s": None,
                "output_bytes": 128 * 6 * 6 * 8 * 4,
            },
            {
                "layer": "logits",
                "type": "dense",
                "time_s": 0.002,
                "time_share": 0.2,
                "fused_into": None,
                "kernel": "MatMul",
                "fell_back": None,
                "macs": 6 * 6 * 8 * 10,
                "gmacs_per_s": pytest.approx(6 * 6 * 8 * 10 * 128 / 0.002 / 1e9),
                "output_bytes": 128 * 10 * 4,
            },
            {
                "layer": "(no layer)",
                "type": None,
                "time_s": 0.001,
                "time_share": 0.1,
                "fused_into": None,
                "kernel": None,
                "fell_back": None,
                "macs": None,
                "gmacs_per_s": None,
                "output_bytes": None,
            },
        ],
        "memory": {"requested_bytes": 1010, "live_peak_bytes": 24_000_000, "rss_bytes": 900_000_000},
        "warnings": ["10.00% of the images get another class than in the reference runtime"],
    }


def test_show_has_null_where_there_is_no_accuracy() -> None:
    record = record_of()
    assert run_for_scripts(record, make_ops(record, NODES))["accuracy"] is None


# Comparisons


def test_stride_table_holds_what_differs_in_stride_alone_beside_the_published() -> None:
    layers = [layer.model_dump() for layer in load_variant("baseline", PARAMS).layers]
    layers[0]["stride"] = layers[3]["stride"] = [2, 1]
    oblong = {**load_variant("baseline", PARAMS).model_dump(), "name": "oblong", "layers": layers}
    records = [
        make_record("baseline"),
        make_record("stride2"),
        make_record(VariantSpec.model_validate(oblong)),
        make_record("filters32"),
        make_record("stride2-filters32"),
        make_record("smoke"),
        make_failure("stride3"),
        make_record("baseline", "stock"),
    ]
    table = strides.stride_table(records)
    assert rows(table, "source", "variant", "stride") == [
        ("unfused", "baseline", 1),
        ("stock", "baseline", 1),
        ("thesis", "baseline", 1),
        ("unfused", "stride2", 2),
        ("thesis", "stride2", 2),
    ]
    published = table[table["source"] == "thesis"].round(6)
    assert rows(published, "latency_s", "conv2d_share") == [(0.055996, 0.7202), (0.010141, 0.6467)]


def test_without_a_baseline_there_is_no_stride_table() -> None:
    assert strides.stride_table([make_record("stride2")]).empty
