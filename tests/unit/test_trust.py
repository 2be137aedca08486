"""Overhead, unattributed time, memory and scaling: what the report says of its own profiles."""

from __future__ import annotations

import pandas as pd
import pytest

from cnnprof_lib.analysis.machine import shown as machine
from cnnprof_lib.analysis.machine.numbers import scaling
from cnnprof_lib.analysis.memory import numbers as memory
from cnnprof_lib.analysis.memory import shown as memory_shown
from cnnprof_lib.analysis.resolution import not_checked
from cnnprof_lib.analysis.trust import numbers as trust
from cnnprof_lib.analysis.trust import shown as trust_shown
from cnnprof_lib.analysis.variants import numbers as variants
from cnnprof_lib.records.machine import ComparisonRecord, OpShares
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.thesis import shown
from tests.builders import Node, make_failure, make_machine, make_record, make_resolution, make_roofline

NODES = (Node("FIFOQueueV2", "", 1e-3, 30_319_744), Node("Conv2D", "conv1", 7e-3, 10_000_000))
CHECKED = make_resolution(1.25, excluding=3)


def run(variant: str = "baseline", runtime: str = "unfused", **changes: object) -> RunRecord:
    """A profiled step of 10 ms, of which 2 ms are no kernel's, against 8 ms unprofiled."""
    timed = {"plain_s": ((8e-3,),) * 6, "baseline_s": ((8e-3,),) * 6}
    return make_record(variant, runtime, nodes=NODES, unattributed_s=2e-3, **{**timed, **changes})  # type: ignore[arg-type]


def opinion(**changes: object) -> ComparisonRecord:
    fields = {
        "created": "2026-11-24T00:00:00+00:00",
        "variant": "baseline",
        "runtime": "unfused",
        "machine": make_machine(),
        "preset": "quick",
        "steps": 100,
        "ops": (OpShares(op="Conv2D", our_share=0.75, xprof_share=0.77),),
        "left_out": (),
        "left_out_share": 0.0,
        "own_difference_pp": 0.1,
    }
    return ComparisonRecord(**{**fields, **changes})


def test_the_books_of_a_run() -> None:
    (row,) = trust.books([run()], lambda _: CHECKED, [opinion()]).to_dict("records")
    assert row == pytest.approx(
        {
            "variant": "baseline",
            "runtime": "unfused",
            "machine": "Made-up CPU, 2 cores",
            "profiled_over_plain": 1.25,
            "profiled_over_plain_low": 1.25,
            "profiled_over_plain_high": 1.25,
            "unattributed_share": 0.2,
            "aa_low": 0.8,
            "aa_high": 1.25,
            "xprof_pp": 2.0,
            "requested_bytes": 40_319_744,
            "live_peak_bytes": 24_000_000,
            "live_peak_share": 2.4,
        }
    )


def test_unchecked_the_baseline_has_the_interval_of_its_own_run_and_others_none() -> None:
    table = trust.books([run(), run("stride2")], not_checked, [])
    assert table["aa_low"].tolist()[:1] == [1.0]
    assert table["aa_low"].isna().tolist() == [False, True]
    assert table["xprof_pp"].isna().all()


def test_a_second_opinion_counts_for_its_own_run_and_machine() -> None:
    elsewhere = opinion(machine=make_machine(cpu="Another CPU"))
    other_runtime = opinion(runtime="stock", machine=make_machine("stock"))
    table = trust.books([run(), run("stride2")], not_checked, [elsewhere, other_runtime])
    assert table["xprof_pp"].isna().all()


def test_the_books_are_shown_without_what_was_never_measured() -> None:
    shown = trust_shown.books_table(trust.books([run()], not_checked, [opinion()])).to_html()
    assert "1.250 – 1.250" in shown
    assert "XProf" in shown
    assert "XProf" not in trust_shown.books_table(trust.books([run()], not_checked, [])).to_html()


def test_unattributed_time_is_told_apart() -> None:
    (row,) = trust.unattributed_times([run()]).to_dict("records")
    assert row == pytest.approx(
        {
            "variant": "baseline",
            "runtime": "unfused",
            "profiled_mean_s": 0.01,
            "unattributed_s": 2e-3,
            "before_s": 5e-4,
            "between_s": 1e-3,
            "after_s": 5e-4,
        }
    )


def test_overhead_says_what_reading_each_step_at_once_would_cost() -> None:
    table = trust.overhead([run(add_step_s=8e-3), run("stride2", add_step_s=0.032)])
    first, second = table.to_dict("records")
    assert (first["traced_s"], first["added_s"]) == pytest.approx((0.01, 0.002))
    assert (first["with_add_step_over_plain"], second["with_add_step_over_plain"]) == pytest.approx((2.25, 5.25))
    assert trust_shown.overhead_text(table) == (
        "A profiled step is traced while the clock runs. The trace is read after the clock has stopped. A loop that "
        "hands each step to `tf.compat.v1.profiler` pays for the reading, too: `add_step` takes 8.00ms to 32.00ms. "
        "This depends on the number of nodes, not on their work. So a shorter step has a larger factor: 2.2 to 5.2 "
        "here ([Figure](#F_overhead)). On `stride2` (unfused) a traced step takes 1.25 times as long as an unprofiled "
        "one, with `add_step` 5.2 times."
    )
    assert shown.slowdown() == "The thesis says about 5 times."
    assert trust_shown.overhead_text(table.head(0)) == ""


def test_memory_adds_up_and_is_explained() -> None:
    table = memory.memory([run()])
    (row,) = table.to_dict("records")
    assert row["requested_bytes"] == row["persistent_bytes"] + row["step_bytes"] == 40_319_744
    assert row["rss_bytes"] == row["rss_start_bytes"] + row["model_bytes"] + row["stepping_bytes"]
    assert memory_shown.memory_text(table) == (
        "- `baseline`, `unfused`: a step requests 40.32MB. Of these, 30.32MB stay from step to step: the weights "
        "(4.27MB) and the input queue, where there is one. The step's own outputs and temporaries add up to 10.00MB. "
        "At most 24.00MB (240% of these) are alive at once, while `conv1` runs. The reason: an output is freed after "
        "its last reader, and its memory is used again. The process holds 500.00MB before there is a model: TensorFlow "
        "itself and the images. The model and its session add 200.00MB. The steps add 200.00MB at their peak."
    )


def test_what_the_machine_can_tell_apart_is_said_per_runtime() -> None:
    runs = [run(), run(runtime="stock"), run("stride2")]
    rows = trust.checked(runs, lambda record: CHECKED if record.runtime == "unfused" else None)
    assert trust_shown.checked_text(rows).splitlines() == [
        "- `unfused`: the baseline was timed against itself 0 times, each time in two new sessions. 95% of the ratios "
        "lie between 1/1.250 and 1.250. A ratio closer to 1 is not distinguishable here. In one layer, the "
        "multiply-adds differ by a ratio of up to 1.250, the other operations of up to 1.250. The 95% intervals over "
        "blocks are 0.010 wide (median); the true ratio, 1, lies outside 3 of 0. These intervals know the noise "
        "between blocks, but not the noise between sessions. So they are widened by a ratio of 1.250; then 95% of them "
        "hold 1.",
        "- `stock`: the baseline was not timed against itself on this machine. So no ratio is marked *not "
        "distinguishable here*. `cnnprof check --runtime stock` times it; `make render` then uses the result.",
    ]


def ranked(plain_ms: float, profiled_ms: float, variant: str) -> RunRecord:
    record = make_record(variant, plain_s=((plain_ms / 1e3,),) * 6, baseline_s=((0.04,),) * 6)
    timed = record.latency.model_copy(update={"profiled_s": ((profiled_ms / 1e3,),) * 6})
    return record.model_copy(update={"latency": timed})


def test_a_changed_order_is_said() -> None:
    records = [
        ranked(10, 14, "baseline"),
        ranked(11, 13, "stride2"),
        ranked(20, 21, "stride3"),
        make_failure("stride5"),
    ]
    changes = trust.rank_changes(variants.overview(records))
    assert changes.to_dict("records") == [{"runtime": "unfused", "faster": "baseline", "slower": "stride2"}]
    assert trust_shown.ranks_text(changes) == (
        "**Profiling changes the order of variants**: in `unfused` `baseline` is faster than `stride2` without "
        "profiling, but slower with it. The unprofiled order counts."
    )
    assert trust_shown.ranks_text(changes.head(0)) == (
        "The variants come in the same order with and without profiling."
    )


def scaled(step_ms: float, batch_size: int, threads: int | None, run_id: str = "a") -> RunRecord:
    timed = {"plain_s": ((step_ms / 1e3,),) * 6, "baseline_s": ((step_ms / 1e3,),) * 6}
    return make_record(batch_size=batch_size, threads=threads, run_id=run_id, purpose="scaling", **timed)  # type: ignore[arg-type]


ROOF = make_roofline()


def test_scaling_compares_with_one_thread_and_with_the_peak_of_as_many() -> None:
    runs = [
        scaled(99, 128, 2, "old"),
        scaled(60, 128, 1),
        scaled(40, 128, 2, "new"),
        scaled(1, 1, 2),
        scaled(30, 128, 3),
    ]
    table = scaling(runs, lambda _: ROOF)
    assert table[["batch_size", "threads"]].to_numpy().tolist() == [[1, 2], [128, 1], [128, 2], [128, 3]]
    assert table["latency_s"].tolist() == [0.001, 0.06, 0.04, 0.03]
    assert table["images_per_s"].tolist() == pytest.approx([1000, 128 / 0.06, 3200, 128 / 0.03])
    assert table["speedup"].tolist() == pytest.approx([float("nan"), 1.0, 1.5, 2.0], nan_ok=True)
    macs = 18_470_784 * 128
    shares = [18_470_784 / 1e-3 / 100e9, macs / 0.06 / 50e9, macs / 0.04 / 100e9, float("nan")]
    assert table["share_of_peak"].tolist() == pytest.approx(shares, nan_ok=True)
    assert "speedup" not in machine.scaling_table(table).to_html()
    assert ["over 1 thread" in machine.scaling_table(t).to_html() for t in (table, table.head(1))] == [True, False]


def test_the_share_of_the_peak_counts_the_products_that_are_computed() -> None:
    timed = {"plain_s": ((0.04,),) * 2, "baseline_s": ((0.04,),) * 2}
    stock = make_record(runtime="stock", threads=2, purpose="scaling", **timed)
    row = scaling([stock], lambda _: ROOF).iloc[0]
    assert row["macs_per_s"] == pytest.approx(18_470_784 * 128 / 0.04)
    assert row["share_of_peak"] == pytest.approx(15_399_552 * 128 / 0.04 / 100e9)


def test_scaling_without_runs_or_roofline() -> None:
    assert scaling([], lambda _: ROOF).empty
    assert pd.isna(scaling([scaled(60, 128, 1)], lambda _: None)["share_of_peak"]).all()


def test_machines_scale_apart() -> None:
    """Each against its own run with one thread and its own peak."""
    there = make_machine(cpu="Another CPU")
    runs = [
        scaled(60, 128, 1),
        scaled(40, 128, 2),
        *(each.model_copy(update={"machine": there}) for each in (scaled(20, 128, 1), scaled(5, 128, 2))),
    ]
    table = scaling(runs, lambda machine: ROOF if machine == there else None)
    assert table["machine"].tolist() == ["Another CPU, 2 cores"] * 2 + ["Made-up CPU, 2 cores"] * 2
    assert table["speedup"].tolist() == pytest.approx([1, 4, 1, 1.5])
    assert table["share_of_peak"].isna().tolist() == [False, False, True, True]
    assert [
        "<th" in html and "machine" in html
        for html in (machine.scaling_table(rows).to_html() for rows in (table, table.head(2)))
    ] == [True, False]


def test_each_machine_has_rows_of_its_own() -> None:
    there = make_machine(cpu="Another CPU")
    runs = [run(), run(machine=there), run("stride2", warnings=("busy",), machine=there)]
    table = trust.books(runs, lambda record: CHECKED if record.machine == there else None, [opinion(machine=there)])
    assert table["xprof_pp"].isna().tolist() == [True, False, True]
    assert table["aa_high"].tolist() == pytest.approx([1.0, 1.25, 1.25])
    assert "Another CPU, 2 cores" in trust_shown.books_table(table).to_html()
    assert "Made-up CPU" not in trust_shown.books_table(table.head(1)).to_html()
    rows = trust.checked(runs, lambda record: CHECKED if record.machine == there else None)
    here, other = trust_shown.checked_text(rows).splitlines()
    assert here.startswith(
        "- `unfused` on Made\\-up CPU, 2 cores, TensorFlow 2.21.0: the baseline was not timed against itself on this "
        "machine. So no ratio is marked *not distinguishable here*."
    )
    assert other.startswith("- `unfused` on Another CPU, 2 cores, TensorFlow 2.21.0: the baseline was timed against")
    assert trust_shown.all_cautions_text(variants.overview(runs)) == (
        "- **Warning**, `stride2` (unfused, Another CPU, 2 cores): busy."
    )
