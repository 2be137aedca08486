"""Records as tidy frames."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnprof_lib.analysis import frames
from cnnprof_lib.app.study import Study
from cnnprof_lib.base.errors import StoreError
from cnnprof_lib.records.store import Store
from tests.builders import RUN_ID, Node, make_accuracy, make_failure, make_ops, make_record, write_run

NODES = (
    Node("QueueDequeueManyV2", "", 0.001, 100),
    Node("Conv2D", "conv1", 0.004, 1000),
    Node("Relu", "conv1", 0.001),
    Node("MatMul", "logits", 0.002, 10, kernel="_FusedMatMul"),
)


def test_the_newest_runs_come_baseline_first_then_by_falling_macs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for variant in ("stride5", "stride2", "baseline"):
        for runtime in ("stock", "unfused"):
            write_run(store, make_record(variant, runtime))
    write_run(store, make_record("stride2", "unfused", run_id="20261124T000001Z-0000"))
    store.write_failure(make_failure("stride5", "unfused", run_id="20261124T000002Z-0000"))

    loaded = Study(store).records

    assert [(frames.variant_name(r), r.runtime, r.run_id[14]) for r in loaded] == [
        ("baseline", "unfused", "0"),
        ("baseline", "stock", "0"),
        ("stride2", "unfused", "1"),
        ("stride2", "stock", "0"),
        ("stride5", "unfused", "2"),
        ("stride5", "stock", "0"),
    ]
    assert len(frames.completed(loaded)) == 5
    assert len(store.runs()) == 8


def test_nothing_measured_is_one_line(tmp_path: Path) -> None:
    message = f"{tmp_path / 'runs'}: nothing measured yet. Measure first: cnnprof run"
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        _ = Study(Store(tmp_path)).records


def test_a_run_and_a_failure_are_rows_of_one_frame() -> None:
    run, failure = frames.runs(
        [make_record(nodes=NODES, accuracy=make_accuracy(8600)), make_failure("stride2", error="out of memory")]
    ).to_dict("records")
    assert run == {
        "variant": "baseline",
        "runtime": "unfused",
        "run_id": RUN_ID,
        "title": "The network of the TensorFlow tutorial",
        "created": "2026-11-24T00:00:00+00:00",
        "status": "ok",
        "error": "",
        "preset": "quick",
        "batch_size": 128,
        "parameters": 1_068_298,
        "macs_per_image": 18_470_784,
        "requested_bytes": 1110,
        "live_peak_bytes": 24_000_000,
        "rss_bytes": 900_000_000,
        "correct": 8600,
        "images": 10_000,
        "dataset": "CIFAR-10",
        "accuracy_measured": True,
    }
    known = {key: value for key, value in failure.items() if value == value and value is not None}
    assert known == {
        "variant": "stride2",
        "runtime": "unfused",
        "run_id": RUN_ID,
        "title": "",
        "created": "2026-11-24T00:00:00+00:00",
        "status": "failed",
        "error": "out of memory",
    }


def test_every_timed_step_is_a_row() -> None:
    record = make_record(
        nodes=NODES,
        unattributed_s=0.002,
        plain_s=((0.008, 0.009), (0.007, 0.006)),
        baseline_s=((0.1, 0.1), (0.1, 0.1)),
    )
    steps = frames.steps([record, make_failure()])
    assert steps["kind"].value_counts().to_dict() == {"plain": 4, "profiled": 4, "baseline": 4}
    plain = steps[steps["kind"] == "plain"]
    assert list(zip(plain["block"], plain["step"], plain["seconds"], strict=True)) == [
        (0, 0, 0.008),
        (0, 1, 0.009),
        (1, 0, 0.007),
        (1, 1, 0.006),
    ]
    assert list(steps.loc[steps["kind"] == "profiled", "seconds"]) == pytest.approx([0.010] * 4)


def test_ops_and_unattributed_time_add_up_to_the_step() -> None:
    record = make_record(nodes=NODES, unattributed_s=0.002)
    ops = frames.ops([record])
    assert list(zip(ops["op"], ops["kernel"], ops["time_s"], strict=True)) == [
        ("QueueDequeueManyV2", "QueueDequeueManyV2", 0.001),
        ("Conv2D", "Conv2D", 0.004),
        ("Relu", "Relu", 0.001),
        ("MatMul", "_FusedMatMul", 0.002),
        ("unattributed", "", 0.002),
    ]
    assert ops["time_s"].sum() == pytest.approx(record.latency.profiled_mean_s)


def test_a_profile_has_the_layers_in_order_and_adds_up_to_the_step() -> None:
    nodes = (Node("Odd", "not_in_the_variant", 0.003, 7), Node("MatMul", "local3", 0.002, 10), *NODES[:3])
    record = make_record(nodes=nodes, unattributed_s=0.002)
    profile = frames.profile(record, make_ops(record, nodes))
    columns = ["layer", "op", "time_s", "requested_bytes", "occurrences"]
    assert [tuple(row) for row in profile[columns].round(9).itertuples(index=False)] == [
        ("conv1", "Conv2D", 0.004, 1000, 1),
        ("conv1", "Relu", 0.001, 0, 1),
        ("local3", "MatMul", 0.002, 10, 1),
        ("not_in_the_variant", "Odd", 0.003, 7, 1),
        ("(no layer)", "QueueDequeueManyV2", 0.001, 100, 1),
        ("unattributed", "unattributed", 0.002, 0, 1),
    ]
    assert profile["time_s"].sum() == pytest.approx(record.latency.profiled_mean_s)


def test_profiles_and_executions_of_all_runs_stack(tmp_path: Path) -> None:
    store = Store(tmp_path)
    records = [make_record(), make_failure(), make_record("stride2", "stock")]
    for record in frames.completed(records):
        write_run(store, record)
    profiles, executions = frames.profiles(records, store), frames.executions(records, store)
    assert list(profiles["variant"].unique()) == ["baseline", "stride2"]
    assert executions.groupby("variant")["step"].nunique().to_dict() == {"baseline": 12, "stride2": 12}


def test_frames_of_failures_alone_have_their_columns(tmp_path: Path) -> None:
    records = [make_failure()]
    assert "seconds" in frames.steps(records)
    assert "time_s" in frames.ops(records)
    assert "time_s" in frames.profiles(records, Store(tmp_path))
    assert frames.executions(records, Store(tmp_path)).empty
