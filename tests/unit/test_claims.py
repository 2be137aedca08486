"""Verdicts on the thesis's claims: each rule's outcomes, and that they follow the records."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from cnnprof_lib.analysis.accuracy.frontier import FrontierRow
from cnnprof_lib.analysis.accuracy.numbers import losses
from cnnprof_lib.analysis.frames import Record, frame_of
from cnnprof_lib.params.network import Network
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.records.training import TrainingRecord
from cnnprof_lib.thesis import PUBLISHED, claims_table, published_table
from cnnprof_lib.thesis.claims import load_claims
from cnnprof_lib.thesis.evidence import Evidence, Verdict
from cnnprof_lib.thesis.rules import PARTS
from cnnprof_lib.thesis.training_rules import published_step_s
from cnnprof_lib.thesis.verdicts import judge
from tests.builders import (
    PARAMS,
    RUNTIMES,
    Node,
    make_accuracy,
    make_failure,
    make_machine,
    make_memory,
    make_ops,
    make_record,
    make_training,
)

CONTRADICTED, DEPENDS, REPRODUCED, NOT_TESTABLE = Verdict
STRIDES = ("baseline", "stride2", "stride3", "stride5")
WEIGHTS = {name: f"{i:064d}" for i, name in enumerate((*STRIDES, "filters32", "pool-large"))}


def judged(number: int, records: Sequence[Record], trainings: Sequence[TrainingRecord] = ()) -> dict[str, Any]:
    """One claim's row."""
    table = judge(Evidence(records, trainings))
    return table.set_index("number").loc[number].to_dict()


def verdict(number: int, records: Sequence[Record]) -> tuple[str, str]:
    row = judged(number, records)
    return row["verdict"], row["reason"]


def both(variant: str | VariantSpec, **changes: Any) -> list[RunRecord]:
    return [make_record(variant, runtime, **changes) for runtime in RUNTIMES]


def timed(variant: str, runtime: str, ratios: Sequence[float]) -> RunRecord:
    """A run whose blocks take these multiples of its baseline's."""
    return make_record(
        variant, runtime, plain_s=tuple((0.01 * ratio,) for ratio in (*ratios,) * 3), baseline_s=((0.01,),) * 6
    )


def ops_of(**seconds: float) -> list[Node]:
    return [Node(op, "conv1", time_s) for op, time_s in seconds.items()]


# The claims as data


def test_there_are_sixteen_claims_each_with_its_rule() -> None:
    claims = load_claims()
    assert [claim.number for claim in claims] == list(range(1, 17))
    assert len({claim.rule for claim in claims}) == 16
    assert sorted(PARTS) == [claim.number for claim in claims]


def test_what_claims_cite_of_the_tables_is_printed_there() -> None:
    published = {claim.number: claim.published for claim in load_claims()}
    tables = {name: published_table(printed.table).set_index("op") for name, printed in PUBLISHED.items()}
    shares = [round(100 * tables[name].loc["Conv2D", "own_share"], 2) for name in STRIDES]
    assert [published[5][f"stride {i}"].value for i in (1, 2, 3, 5)] == shares
    assert published[1]["Conv2D"].value == shares[0]
    assert published[2]["LRN"].value == round(100 * tables["baseline"].loc["LRN", "own_share"], 2)
    assert published[3]["FIFOQueueV2"].value == round(100 * tables["baseline"].loc["FIFOQueueV2", "bytes_share"], 2)
    assert published[6]["stride 5"].value * 1e3 == tables["stride5"].loc["Conv2D", "requested_bytes"]
    for name in STRIDES:
        sum_ms = published[4][f"sum of Table {PUBLISHED[name].table}"].value
        assert sum_ms == round(tables[name]["time_s"].sum() * 1e3, 2)
    accuracies = [published[7][f"stride {i}"].value for i in (1, 2, 3, 5)]
    assert accuracies == [pytest.approx(100 * PUBLISHED[name].top1) for name in STRIDES]
    for key in ("stride 1", "stride 5"):
        assert published[16][key].value == published[7][key].value
    for key in ("sum of Table 4.3", "sum of Table 4.6"):
        assert published[16][key].value == published[4][key].value
    assert published[9]["filters32"].value == pytest.approx(100 * PUBLISHED["filters32"].top1)
    assert published[11]["pool-large"].value == pytest.approx(100 * PUBLISHED["pool-large"].top1)


def test_numbers_are_written_with_their_units() -> None:
    claims = {claim.number: claim.published for claim in load_claims()}
    assert str(claims[1]["Conv2D"]) == "72.02% of op time"
    assert str(claims[13]["parameters"]) == "1,068,298"
    assert str(claims[7]["training"]) == "100,000 steps"
    assert claims[12]["slowdown"].range == (4.5, 5.5)


# Nothing to judge from


def test_without_records_nothing_is_testable() -> None:
    table = judge(Evidence([]))
    assert set(table["verdict"]) == {NOT_TESTABLE}
    assert "" not in set(table["reason"])


def test_a_missing_and_a_failed_run_are_named() -> None:
    assert verdict(10, both("baseline")) == (NOT_TESTABLE, "unfused and stock: no run of filters32")
    records = [*both("baseline"), make_failure("filters32"), make_failure("filters32", "stock")]
    assert verdict(10, records) == (NOT_TESTABLE, "unfused and stock: the run of filters32 failed")


def test_a_runtime_that_failed_leaves_the_verdict_to_the_other() -> None:
    records = [*both("baseline"), make_record("filters32"), make_failure("filters32", "stock")]
    assert verdict(10, records) == (
        CONTRADICTED,
        "unfused: Conv2D's share is lower; stock: the run of filters32 failed",
    )


# Time


def test_conv2d_first_in_both_runtimes_in_one_and_in_none() -> None:
    first, last = ops_of(Conv2D=0.006, LRN=0.002), ops_of(Conv2D=0.001, LRN=0.002)
    unfused, stock = (make_record(runtime=runtime, nodes=first) for runtime in RUNTIMES)
    assert verdict(1, [unfused, stock]) == (REPRODUCED, "unfused and stock: Conv2D has place 1 by time")
    stock = make_record(runtime="stock", nodes=last)
    assert verdict(1, [unfused, stock]) == (
        DEPENDS,
        "unfused: Conv2D has place 1 by time; stock: Conv2D has place 2 by time",
    )
    assert verdict(1, [make_record(nodes=last), stock])[0] == CONTRADICTED


def test_lrn_second_third_and_not_told_apart() -> None:
    record = make_record(nodes=ops_of(Conv2D=0.006, LRN=0.002, Relu=0.001))
    assert verdict(2, [record])[0] == REPRODUCED
    record = make_record(nodes=ops_of(Conv2D=0.006, LRN=0.002, Relu=0.003))
    assert verdict(2, [record]) == (CONTRADICTED, "unfused: LRN has place 3 by time")
    record = make_record(nodes=ops_of(Conv2D=0.006, LRN=0.002, Relu=0.002))
    assert verdict(2, [record]) == (NOT_TESTABLE, "unfused: LRN and Relu cannot be told apart")


def test_shares_get_an_interval_from_the_executions() -> None:
    record = make_record()
    executed = make_ops(record).assign(variant="baseline", runtime="unfused", run_id=record.run_id)
    slow = (executed["step"] % 4 < 2) & (executed["op"] == "Conv2D")  # every other block
    executed["self_ns"] = executed["self_ns"].where(~slow, executed["self_ns"] * 2)
    row = judge(Evidence([record], executed=executed)).set_index("number").loc[1]
    assert row["ours"].startswith("unfused: Conv2D 82.4% (75.8 to 86.2), LRN 8.7% (6.8 to 12.0)")
    assert row["verdict"] == REPRODUCED


def test_of_several_processes_these_are_what_is_resampled() -> None:
    record = make_record()
    latency = record.latency.model_copy(
        update={
            "plain_s": record.latency.plain_s * 6,
            "profiled_s": record.latency.profiled_s * 6,
            "baseline_s": record.latency.baseline_s * 6,
            "processes": (6,) * 6,
        }
    )
    pooled = record.model_copy(update={"latency": latency})
    executed = make_ops(pooled).assign(variant="baseline", runtime="unfused", run_id=record.run_id)
    steps = executed["step"] % 12 < 6  # the first three blocks of each process
    executed["self_ns"] = executed["self_ns"].where(~steps | (executed["op"] != "Conv2D"), executed["self_ns"] * 2)
    row = judge(Evidence([pooled], executed=executed)).set_index("number").loc[1]
    assert row["ours"].startswith("unfused: Conv2D 82.4% (82.4 to 82.4)")


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((1, 0.5, 0.3, 0.1), (REPRODUCED, "unfused: latency falls at every stride")),
        ((1, 0.5, 0.3, 0.4), (CONTRADICTED, "unfused: latency of stride5 is larger than that of stride3")),
        ((1, 0.5, 0.3, 0.3), (NOT_TESTABLE, "unfused: latency of stride3 and stride5 cannot be told apart")),
    ],
)
def test_latency_against_stride(ratios: Sequence[float], expected: tuple[str, str]) -> None:
    records = [timed(name, "unfused", [r, r * 1.02]) for name, r in zip(STRIDES, ratios, strict=True)]
    assert verdict(4, records) == expected


def test_conv2d_share_against_stride() -> None:
    records = [record for name in STRIDES for record in both(name)]
    assert verdict(5, records) == (REPRODUCED, "unfused and stock: Conv2D's share falls at every stride")
    records[-1] = make_record("stride5", "stock", nodes=ops_of(Conv2D=0.006, LRN=0.001))
    assert verdict(5, records)[0] == DEPENDS


def test_half_the_filters() -> None:
    base = [make_record(runtime=r, memory=make_memory(40_000_000)) for r in RUNTIMES]

    def halved(ratio: float, requested_bytes: int) -> list[RunRecord]:
        runs = [timed("filters32", runtime, (ratio, ratio)) for runtime in RUNTIMES]
        return [run.model_copy(update={"memory": make_memory(requested_bytes)}) for run in runs]

    assert verdict(9, [*base, *halved(0.5, 20_000_000)])[0] == REPRODUCED
    assert verdict(9, [*base, *halved(0.4, 20_000_000)])[0] == DEPENDS
    assert verdict(9, [*base, *halved(1.0, 20_000_000)])[0] == CONTRADICTED
    assert verdict(9, [*base, *halved(0.5, 30_000_000)]) == (
        CONTRADICTED,
        "time in unfused and time in stock: within the printed 0.45 to 0.55; memory in unfused and memory in stock: "
        "requested bytes are not halved; accuracy: no accuracy of baseline",
    )


def test_share_with_half_the_filters() -> None:
    records = [make_record(), make_record("filters32")]
    assert verdict(10, records) == (CONTRADICTED, "unfused: Conv2D's share is lower")
    records[1] = make_record("filters32", nodes=ops_of(Conv2D=0.009, LRN=0.001))
    assert verdict(10, records) == (REPRODUCED, "")


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((0.99, 0.99), REPRODUCED),
        ((0.90, 0.90), CONTRADICTED),
        ((0.94, 0.96), NOT_TESTABLE),
    ],
)
def test_larger_pooling(ratios: Sequence[float], expected: str) -> None:
    assert verdict(11, [make_record(), timed("pool-large", "stock", ratios)])[0] == expected


@pytest.mark.parametrize(
    ("add_steps", "expected"),
    [
        (4, (REPRODUCED, "unfused: within the printed 4.5 to 5.5 times")),
        (1, (CONTRADICTED, "unfused: less than the printed 4.5 to 5.5 times in every variant")),
        (9, (CONTRADICTED, "unfused: more than the printed 4.5 to 5.5 times")),
    ],
)
def test_cost_of_profiling(add_steps: float, expected: tuple[str, str]) -> None:
    record = make_record()
    plain_s = record.latency.plain_s[0][0]
    assert verdict(12, [record.model_copy(update={"add_step_s": add_steps * plain_s})]) == expected


def test_profiling_costs_a_short_step_more() -> None:
    row = judged(12, [make_record(add_step_s=0.008), make_record("stride5", add_step_s=0.008)])
    assert row["ours"] == "unfused: 1.20 in the baseline (traced only: 1.000 (1.000 to 1.000)), 4.88 in stride5"
    assert row["reason"] == "unfused: as much as the printed 4.5 to 5.5 times only in variants with shorter steps"
    assert row["verdict"] == DEPENDS


def test_combination_against_each_change_alone() -> None:
    def records(ratio: float) -> list[Record]:
        ratios = {"stride2": 0.15, "filters32": 0.4, "stride2-filters32": ratio}
        return [timed(name, "unfused", (value, value * 1.01)) for name, value in ratios.items()]

    assert verdict(14, records(0.1)) == (REPRODUCED, "unfused: faster than either change alone")
    assert verdict(14, records(0.2)) == (CONTRADICTED, "unfused: stride2 alone is faster")
    assert verdict(14, records(0.15)) == (NOT_TESTABLE, "unfused: it cannot be told apart from stride2")


# Memory and shapes


def test_queue_and_conv2d_by_memory() -> None:
    queue = Node("FIFOQueueV2", "", 1e-5, 3000)
    nodes = [*ops_of(LRN=0.001), Node("Conv2D", "conv1", 0.006, 2000)]
    unfused = make_record(nodes=[*nodes, queue])
    stock = make_record(runtime="stock", nodes=nodes)
    assert verdict(3, [unfused, stock]) == (
        REPRODUCED,
        "unfused: most bytes: FIFOQueueV2, then Conv2D; stock: this runtime has no input queue",
    )
    assert verdict(3, [stock])[0] == NOT_TESTABLE
    more = Node("LRN", "norm1", 0.001, 9000)
    assert verdict(3, [make_record(nodes=[*nodes, queue, more])]) == (
        CONTRADICTED,
        "unfused: most bytes: LRN, then FIFOQueueV2",
    )


def test_bytes_of_conv2d_against_stride() -> None:
    records = [make_record(), make_record("stride5")]
    assert judged(6, records)["ours"] == "unfused: 23.59MB, 851.97KB"
    assert verdict(6, records)[0] == REPRODUCED
    records[1] = make_record("stride5", nodes=[Node("Conv2D", "conv1", 0.001, 400_000)])
    assert verdict(6, records) == (CONTRADICTED, "unfused: the printed sizes are not those requested")


def network_of(**counts: int) -> Network:
    """The baseline with so many parameters and multiply-adds, all of them in its first layer."""
    whole = make_record().network
    first, *others = (layer.model_copy(update={"parameters": 0, "macs": 0}) for layer in whole.layers)
    first = first.model_copy(update={"parameters": whole.parameters, **counts})
    return whole.model_copy(update={"layers": (first, *others)})


def test_parameters_and_multiply_adds() -> None:
    assert verdict(13, [make_record()]) == (
        CONTRADICTED,
        "multiply-adds: convolutions and dense layers need another number; it is the sum with the parameters, "
        "19.54 million, that rounds to the printed one",
    )
    assert verdict(13, [make_record(network=network_of(macs=19_520_000))]) == (REPRODUCED, "")
    assert verdict(13, [make_record(network=network_of(macs=19_520_000, parameters=1))]) == (
        CONTRADICTED,
        "parameters: another number",
    )


def test_the_formula_for_strides() -> None:
    assert verdict(15, both("baseline")) == (NOT_TESTABLE, "no convolution with a stride above 1 ran")
    assert judged(15, both("stride3"))["ours"] == "P = 1 in stride3 conv1, 2 in stride3 conv2"
    assert verdict(15, both("stride3"))[0] == REPRODUCED
    assert verdict(15, [*both("stride3"), *both("stride5")]) == (
        CONTRADICTED,
        "no whole P for stride5 conv1, which ran",
    )


def test_the_formula_for_strides_takes_height_and_width_and_what_a_layer_reads() -> None:
    layers = [layer.model_dump() for layer in load_variant("baseline", PARAMS).layers]
    layers[0]["stride"] = [3, 2]
    oblong = VariantSpec.model_validate({**load_variant("baseline", PARAMS).model_dump(), "layers": layers})
    assert judged(15, both(oblong))["ours"] == "P = 1 in baseline conv1, 1.5 in baseline conv1"
    branches = make_record("resnet8", nodes=[Node("Conv2D", "conv", 0.01)])
    assert judged(15, [branches])["ours"] == (
        "P = 0.5 in resnet8 stack2_conv1, -0.5 in resnet8 stack2_shortcut, "
        "0.5 in resnet8 stack3_conv1, -0.5 in resnet8 stack3_shortcut"
    )


# Accuracy and training


def scored(correct: dict[str, int]) -> list[Record]:
    return [
        make_record(
            name,
            accuracy=make_accuracy(number),
            weights=make_record().weights.model_copy(update={"sha256": WEIGHTS[name]}),
        )
        for name, number in correct.items()
    ]


def trained(names: Sequence[str], steps: int) -> list[TrainingRecord]:
    return [make_training(name, steps=steps, weights_sha256=WEIGHTS[name]) for name in names]


def test_accuracy_is_judged_for_weights_trained_as_long_as_the_thesis_s() -> None:
    records = scored({"baseline": 8600, "stride2": 7960, "stride3": 7470, "stride5": 7000})
    row = judged(7, records, trained(STRIDES, 4000))
    assert (row["verdict"], row["reason"]) == (
        NOT_TESTABLE,
        "the weights of baseline were trained by recipe short for 4,000 of the thesis's 100,000 steps, on CIFAR-10",
    )
    assert row["ours"].endswith("lost: 6.4 points (5.4 to 7.4), 11.3 points (10.2 to 12.4), 16.0 points (14.9 to 17.1)")
    assert judged(7, records, trained(STRIDES, 100_000))["verdict"] == REPRODUCED
    assert judged(7, records)["reason"] == "the weights of baseline (recipe short) have no stored training"


def test_accuracy_is_judged_for_weights_of_a_recipe_that_is_as_good_as_the_thesis_s() -> None:
    records = scored({"baseline": 8600, "stride2": 7960, "stride3": 7470, "stride5": 7000})
    trainings = trained(STRIDES, 4000)
    everywhere = {(name, "short") for name in STRIDES}
    for good, expected in ((everywhere, REPRODUCED), (everywhere - {("baseline", "short")}, NOT_TESTABLE)):
        table = judge(Evidence(records, trainings, as_good=frozenset(good))).set_index("number")
        assert table.loc[7, "verdict"] == expected


def test_weights_of_the_thesis_s_recipe_are_judged_rather_than_those_profiled() -> None:
    records = scored({"baseline": 5000, "stride2": 5000, "stride3": 5000, "stride5": 5000})
    correct = {"baseline": 8600, "stride2": 7960, "stride3": 7470, "stride5": 6000}
    original = pd.DataFrame({name: [True] * number + [False] * (10_000 - number) for name, number in correct.items()})
    row = judge(Evidence(records, original=original)).set_index("number").loc[7]
    assert (row["verdict"], row["reason"]) == (CONTRADICTED, "more points lost than printed at stride 5")
    assert row["ours"] == (
        "by the thesis's recipe 86.0% (85.3 to 86.7), 79.6% (78.8 to 80.4), 74.7% (73.8 to 75.5), "
        "60.0% (59.0 to 61.0); lost: 6.4 points (5.9 to 6.9), 11.3 points (10.7 to 11.9), 26.0 points (25.1 to 26.9)"
    )
    row = judge(Evidence(records, original=original.drop(columns="stride3"))).set_index("number").loc[7]
    assert row["reason"] == "the weights of baseline (recipe short) have no stored training"


def test_more_points_lost_than_printed() -> None:
    records = scored({"baseline": 8600, "stride2": 7960, "stride3": 7470, "stride5": 6000})
    row = judged(7, records, trained(STRIDES, 100_000))
    assert (row["verdict"], row["reason"]) == (CONTRADICTED, "more points lost than printed at stride 5")


@pytest.mark.parametrize(
    ("number", "name", "correct", "outcome"),
    [
        (9, "filters32", 8300, "as printed, 2.3 points (1.3 to 3.3)"),
        (9, "filters32", 7900, "not as printed, 2.3 points (1.3 to 3.3)"),
        (11, "pool-large", 8580, "no loss can be told"),
        (11, "pool-large", 8400, "accuracy is lost"),
    ],
)
def test_accuracy_beside_time(number: int, name: str, correct: int, outcome: str) -> None:
    records = scored({"baseline": 8600, name: correct})
    row = judged(number, records, trained(["baseline", name], 100_000))
    assert row["reason"].endswith(f"accuracy: {outcome}")


def test_outcomes_of_the_same_images_narrow_a_loss() -> None:
    records = scored({"baseline": 8600, "pool-large": 8540})
    trainings = trained(["baseline", "pool-large"], 100_000)
    assert judged(11, records, trainings)["reason"].endswith("accuracy: no loss can be told")
    outcomes = pd.DataFrame({"baseline": [True] * 8600 + [False] * 1400})
    outcomes["pool-large"] = [False] * 60 + [True] * 8540 + [False] * 1400
    row = (
        judge(Evidence(records, trainings, lost=losses({"unfused": outcomes}, "baseline"))).set_index("number").loc[11]
    )
    assert row["reason"].endswith("accuracy: accuracy is lost")
    assert row["ours"].endswith("lost: 0.6 points (0.4 to 0.8)")


def everywhere(*cells: tuple[str, str, float, float]) -> pd.DataFrame:
    """Network, runtime, ratio and points lost, with narrow intervals; the baseline first."""
    rows = []
    for name, runtime, ratio, points in (("baseline", "stock", 1.0, 0.0), *cells):
        ratios = (ratio, 0.99 * ratio, 1.01 * ratio) if name != "baseline" else (1.0, math.nan, math.nan)
        top1 = (0.83 - points / 100,) * 3
        loss = (points / 100, (points - 1) / 100, (points + 1) / 100) if name != "baseline" else (0.0,) * 3
        rows.append(FrontierRow(name, runtime, "", name == "baseline", *ratios, *top1, *loss, images=10_000))
    return frame_of(FrontierRow, rows)


STRIDE5 = ("stride5", "stock", 0.034, 15.0)


@pytest.mark.parametrize(
    ("cells", "expected", "reason"),
    [
        ([STRIDE5], REPRODUCED, "not fewer points lost than the printed 16.0 points (14.9 to 17.1)"),
        (
            [STRIDE5, ("residual-3", "openvino-int8", 0.04, 0.8)],
            CONTRADICTED,
            "fewer points lost than the printed 16.0 points (14.9 to 17.1)",
        ),
        (
            [STRIDE5, ("residual-4", "openvino-int8", 0.06, 0.2)],
            DEPENDS,
            "fewer than the printed 16.0 points (14.9 to 17.1) at a little less speed",
        ),
        ([("stride2", "stock", 0.2, 6.0)], NOT_TESTABLE, "nothing is 20 times faster"),
        (
            [("stride5", "stock", 0.0499, 2.0)],
            DEPENDS,
            "fewer than the printed 16.0 points (14.9 to 17.1) at a little less speed",
        ),
        ([], NOT_TESTABLE, "nothing is 20 times faster"),
    ],
)
def test_the_price_of_speed(cells: list[tuple[str, str, float, float]], expected: str, reason: str) -> None:
    row = judge(Evidence([], everywhere=everywhere(*cells))).set_index("number").loc[16]
    assert (row["verdict"], row["reason"]) == (expected, reason)


def test_the_price_of_speed_names_what_loses_least_and_the_thesis_s_own() -> None:
    found = everywhere(STRIDE5, ("residual-3", "int8", 0.04, 0.8), ("residual-4", "int8", 0.06, 0.0))
    row = judge(Evidence([], everywhere=found)).set_index("number").loc[16]
    assert row["ours"] == (
        "at least 20 times faster: residual-3 in int8, ratio 0.040 (0.040 to 0.040), 0.8 points (-0.2 to 1.8)"
        "; at least 15 times faster and at most 1 point lost: residual-4 in int8, ratio 0.060 (0.059 to 0.061), "
        "0.0 points (-1.0 to 1.0); the thesis's own: stride5 in stock, ratio 0.034 (0.034 to 0.034), 15.0 points "
        "(14.0 to 16.0)"
    )
    assert judge(Evidence([])).set_index("number").loc[16, "reason"] == (
        "it is not known what any network loses against the baseline in the reference runtime"
    )


@pytest.mark.parametrize(
    ("step_s", "expected"),
    [
        (0.02, REPRODUCED),
        (0.1, DEPENDS),
        (0.4, CONTRADICTED),
    ],
)
def test_training_time(step_s: float, expected: str) -> None:
    trainings = [make_training(), make_training("stride5", step_s=(step_s,) * 6)]
    assert judged(8, both("baseline"), trainings)["verdict"] == expected


def test_training_time_in_hours_and_without_trainings() -> None:
    trainings = [make_training(), make_training("stride5", step_s=(0.02,) * 6)]
    assert judged(8, [], trainings)["ours"] == (
        "8.33 h and 0.56 h for 100,000 steps by recipe short, ratio 15.0 (15.0 to 15.0)"
    )
    assert judged(8, [], trainings[:1])["reason"] == "no training of stride5"
    trainings[1] = make_training("stride5", batch_size=64)
    assert judged(8, [], trainings)["reason"] == "trained with batches of 128 and 64 images"
    trainings[1] = make_training("stride5", recipe="fast")
    assert judged(8, [], trainings)["reason"] == "trained by recipe short and fast"
    trainings = [make_training(machine=make_machine()), make_training("stride5", machine=make_machine(cpu="Another"))]
    assert judged(8, [], trainings)["reason"] == (
        "trained on Another, 2 cores, oneDNN off and Made-up CPU, 2 cores, oneDNN off"
    )
    for step_s in ((0.02,), ()):
        trainings = [make_training(), make_training("stride5", step_s=step_s)]
        assert judged(8, [], trainings)["reason"] == "a training's history has fewer than 6 rows"


def test_training_time_is_told_of_every_machine_by_the_seed_that_was_least_disturbed() -> None:
    other = make_machine(cpu="Another", logical_cores=1)
    trainings = [
        make_training(machine=make_machine()),
        make_training(machine=make_machine(), seed=2, step_s=(0.9,) * 6),
        make_training(machine=other),
        make_training("stride5", machine=make_machine(), step_s=(0.04,) * 6),
        make_training("stride5", machine=make_machine(), seed=2, step_s=(0.02,) * 6),
        make_training("stride5", machine=other, step_s=(0.1,) * 6),
    ]
    row = judged(8, [], trainings)
    assert row["ours"] == (
        "Made-up CPU, 2 cores, oneDNN off: "
        "8.33 h and 0.56 h for 100,000 steps by recipe short, ratio 15.0 (15.0 to 15.0); "
        "Another, 1 core, oneDNN off: "
        "8.33 h and 2.78 h for 100,000 steps by recipe short, ratio 3.000 (3.000 to 3.000)"
    )
    assert row["verdict"] == DEPENDS
    del trainings[2]
    assert judged(8, [], trainings)["verdict"] == REPRODUCED


def test_training_time_leaves_pauses_out_where_the_steps_were_timed() -> None:
    trainings = [make_training(), make_training("stride5", step_s=(0.02,) * 6)]
    paused = [row.model_copy(update={"step_s": 0.02, "images_per_s": 1.0}) for row in trainings[1].history]
    trainings[1] = trainings[1].model_copy(update={"history": tuple(paused), "seconds": 1e6})
    row = judged(8, [], trainings)
    assert row["ours"].startswith("8.33 h and 0.56 h for 100,000 steps by recipe short, ratio 15.0")
    assert row["verdict"] == REPRODUCED


def test_the_published_time_of_a_training_step() -> None:
    assert published_step_s() == {
        "baseline": pytest.approx((0.288, 0.27, 0.306)),
        "stride5": pytest.approx((0.018, 0.015, 0.021)),
    }


def test_a_verdict_follows_the_records() -> None:
    stride5 = timed("stride5", "unfused", (0.04, 0.04))
    others = [timed(n, "unfused", (r, r)) for n, r in zip(STRIDES[:3], (1.0, 0.15, 0.07), strict=True)]
    before = judge(Evidence([*others, stride5]))
    after = judge(Evidence([*others, timed("stride5", "unfused", (0.2, 0.2))]))
    changed = pd.Series(before["verdict"] != after["verdict"])
    assert list(before.loc[changed, "number"]) == [4]
    assert (before["verdict"][3], after["verdict"][3]) == (REPRODUCED, CONTRADICTED)


# As a table and as text

HOSTILE = "<script>alert(1)</script>"


def test_the_table_shows_every_column_and_escapes_foreign_text() -> None:
    records = scored({"baseline": 8600, "stride2": 7960, "stride3": 7470, "stride5": 7000})
    table = judge(Evidence(records, [make_training(dataset=HOSTILE, weights_sha256=WEIGHTS["baseline"])]))
    assert HOSTILE in table["reason"][6]
    html = claims_table.styled_claims(table).to_html()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    headers = re.findall(r"<th [^>]*>(.*?)</th>", html)
    assert headers == ["", "claim", "in the thesis", "published", "here", "verdict", "why", "rule"]
    assert html.count("not testable here") == list(table["verdict"]).count(NOT_TESTABLE)


def test_the_text_names_claim_verdict_numbers_and_rule() -> None:
    text = claims_table.plain_text(judge(Evidence([make_record(), make_record("filters32")])))
    assert text.splitlines()[0] == "not testable here 9, contradicted 4, reproduced 3"
    start = text.index("10. Half the filters")
    assert text[start:].split("\n\n")[0] == (
        "10. Half the filters do not lower Conv2D's share of the time: CONTRADICTED\n"
        "    thesis  64 filters 72.02%; 32 filters 75.14% (Table 4.7, p. 37, beside Table 4.3)\n"
        "    here    unfused: 75.8%, with half the filters 63.6%\n"
        "    why     unfused: Conv2D's share is lower\n"
        "    rule    Fails in a runtime where Conv2D's share of the ops' time is smaller than the baseline's, 95% "
        "intervals\n            apart."
    )
    assert max(map(len, text.splitlines())) <= 120
