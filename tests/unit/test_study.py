"""All stored runs at hand: which there are, in which order, and what is said of one that is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cnnprof_lib.analysis import frames
from cnnprof_lib.analysis.frames import RunKey
from cnnprof_lib.analysis.profile.numbers import by_layer
from cnnprof_lib.app.study import Study
from cnnprof_lib.base.errors import MeasureError, StoreError
from cnnprof_lib.records.store import Store
from tests.builders import make_failure, make_machine, make_ops, make_record, make_training, write_run

OLD, NEW = "20261124T000000Z-0000", "20261125T000000Z-0000"
ELSEWHERE = make_machine("stock", cpu="Another CPU")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The baseline in two commands, the second of two processes in one runtime; stride2 in the other; a failure."""
    store = Store(tmp_path / "outputs")
    write_run(store, make_record("baseline", run_id=f"{OLD}-00", series=OLD))
    for number in (0, 1):
        write_run(store, make_record("baseline", run_id=f"{NEW}-0{number}", series=NEW))
    write_run(store, make_record("baseline", "stock", run_id=f"{NEW}-02", series=NEW))
    write_run(store, make_record("stride2", "stock", run_id=f"{NEW}-03", series=NEW))
    store.write_failure(make_failure("stride3", "stock", run_id=f"{NEW}-04"))
    return store


def test_processes_of_one_command_are_also_there_as_one_run(store: Store) -> None:
    study = Study(store)
    assert study.variants == ["baseline", "stride2"]
    assert study.runtimes("baseline") == ["unfused", "stock"]
    assert study.runtimes("stride2") == ["stock"]
    assert list(study.run_ids("baseline", "unfused")) == [NEW, f"{NEW}-01", f"{NEW}-00", f"{OLD}-00"]
    assert study.run("baseline", "unfused", NEW).record.pooled == (f"{NEW}-00", f"{NEW}-01")
    assert study.run("baseline", "unfused").key == RunKey("baseline", "unfused", NEW)
    assert study.run("baseline").key == RunKey("baseline", "stock", f"{NEW}-02")


def test_runs_under_other_conditions_alone_are_the_study(tmp_path: Path) -> None:
    """As of `cnnprof run model.keras --batch-size 8`: those of the newest conditions."""
    store = Store(tmp_path / "outputs")
    for number, (variant, batch_size) in enumerate((("a", 8), ("b", 8), ("a", 1), ("a", 8))):
        run = make_record("baseline", "stock", run_id=f"{NEW}-0{number}", series=f"{NEW}-{number}")
        network = run.network.model_copy(update={"name": variant})
        write_run(store, run.model_copy(update={"network": network, "batch_size": batch_size, "purpose": "scaling"}))
    study = Study(store)
    assert [(run.name, run.run_id[-2:]) for run in study.runs] == [("a", "03"), ("b", "01")]
    assert list(study.run_ids("a", "stock")) == [f"{NEW}-03", f"{NEW}-00"]


def test_trainings_are_those_of_networks_that_were_run(store: Store) -> None:
    """Else the claims of the thesis point to a figure that the report does not draw."""
    nothing = np.zeros(3, np.int32)
    for variant in ("stride2", "stride5"):
        store.write_training(make_training(variant), b"weights", nothing, nothing)
    assert [record.variant.name for record in Study(store).trainings] == ["stride2"]


def test_frames_are_those_of_one_run_and_may_be_changed(store: Store) -> None:
    study = Study(store)
    key = study.run("stride2").key
    record = study.run(*key).record
    profile = study.nodes(*key)
    pd.testing.assert_frame_equal(profile, frames.profile(record, make_ops(record), by_node=True))
    assert profile["node"].is_unique
    assert profile["time_s"].sum() == pytest.approx(record.latency.profiled_mean_s)
    profile["time_s"] = 0.0
    assert study.nodes(*key)["time_s"].sum() > 0
    pd.testing.assert_frame_equal(study.layers(*key), by_layer(record, make_ops(record)))
    pd.testing.assert_frame_equal(study.steps(*key), frames.steps([record]))
    assert study.network(*key) == record.network
    assert study.resolution_of(record) is None


def test_a_frame_is_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study, read = Study(store), []
    usual = store.read_ops
    monkeypatch.setattr(store, "read_ops", lambda record: (read.append(record.run_id), usual(record))[1])
    for _ in range(2):
        study.nodes("stride2")
        study.diff("baseline", "stride2")
    assert read == [f"{NEW}-03", f"{NEW}-02"]


def test_the_newest_of_several_variants(store: Store) -> None:
    study = Study(store)
    both = study.nodes_of("stock", ["baseline", "stride2"])
    assert list(both["variant"].unique()) == ["baseline", "stride2"]
    assert set(study.nodes_of("unfused", ["baseline", "stride2"])["run_id"]) == {NEW}
    with pytest.raises(StoreError) as caught:
        study.nodes_of("unfused", ["stride2"])
    assert str(caught.value) == (
        f"{store.outputs / 'runs'}: none of the variants was run in unfused. Received: stride2. "
        "Take some of: baseline, stride2"
    )


def test_a_run_that_is_not_there_is_named_with_those_that_are(store: Store) -> None:
    study, folder = Study(store), store.outputs / "runs"
    with pytest.raises(StoreError) as caught:
        study.nodes("stride2", "stock", "yesterday")
    assert str(caught.value) == (f"{folder}: holds no run yesterday of stride2 in stock. Take one of: {NEW}-03")
    with pytest.raises(StoreError) as caught:
        study.run("stride9")
    assert str(caught.value) == f"{folder}: holds no run of stride9 in any runtime. Take one of: baseline, stride2"


def test_failures_alone_are_no_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    store.write_failure(make_failure("stride3", error="out of memory"))
    with pytest.raises(StoreError) as caught:
        Study(store).all_runs()
    assert str(caught.value) == (
        f"{store.outputs / 'runs'}: none of 1 run succeeded, the last for: out of memory. Measure again: cnnprof run"
    )


def test_of_many_runs_the_newest_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening and listing grow with the networks, not with all that was ever measured."""
    store = Store(tmp_path / "outputs")
    for variant in ("baseline", "stride2"):
        for number in range(20):
            stamp = f"20261124T0000{number:02d}Z-0000"
            write_run(store, make_record(variant, "stock", run_id=f"{stamp}-00", series=stamp))
    study, read, usual = Study(store), [], store.read_run
    monkeypatch.setattr(store, "read_run", lambda folder: (read.append(folder), usual(folder))[1])
    assert len(study.overview()) == 2
    assert len(read) == 2  # the newest of each; of the others it is only seen where they were made
    assert store.unreadable() == {}
    assert len(read) == 4
    assert len(study.run_ids("stride2", "stock")) == 20
    assert len(read) == 4
    assert len(study.all_runs()) == 40


def two_machines(store: Store) -> None:
    """What is in the store was also run before, twice as slow, on another machine."""
    for record in frames.completed(store.latest()):
        steps = {name: tuple((0.2,) for _ in record.latency.plain_s) for name in ("plain_s", "baseline_s")}
        run_id = f"20261123T000000Z-{record.run_id[-2:]}"
        slow = make_record(record.name, record.runtime, machine=ELSEWHERE, run_id=run_id, **steps)  # type: ignore[arg-type]
        write_run(store, slow)


def test_machines_stand_beside_each_other_and_are_told_apart(store: Store) -> None:
    here, there = "Made-up CPU, 2 cores", "Another CPU, 2 cores"
    two_machines(store)
    study = Study(store)
    assert study.machines == [here, there]
    overview = study.overview()
    of_stride2 = overview[overview["variant"] == "stride2"].set_index("machine")
    assert list(of_stride2.index) == [there, here]
    assert of_stride2.loc[there, ["latency_s", "ratio"]].tolist() == [0.2, 1.0]
    apart = study.on(there)
    assert (apart.variants, apart.runtimes("baseline")) == (["baseline", "stride2"], ["unfused", "stock"])
    assert [run.machine.kind for run in apart.runs] == [there] * 3
    assert apart.run("stride2").key.run_id == "20261123T000000Z-03"
    assert study.detailed().machines == [here]
    assert study.run_ids("stride2", "stock") == {
        f"{NEW}-03": f"{NEW}-03 ({here})",
        "20261123T000000Z-03": f"20261123T000000Z-03 ({there})",
    }
    assert next(iter(study.run_ids("baseline", "unfused").values())) == f"{NEW} (2 processes, {here})"
    assert len(study.all_runs()) == 10


def test_latencies_of_two_machines_are_not_compared(store: Store) -> None:
    two_machines(store)
    run = make_record("stride3", "stock", machine=ELSEWHERE, run_id=f"{NEW}-09")
    write_run(store, run)
    study = Study(store)
    with pytest.raises(MeasureError) as caught:
        study.nodes_of("stock", ["baseline", "stride2", "stride3"])
    assert str(caught.value) == (
        "Latencies compare within one kind of machine. Received: baseline, stride2 on Made-up CPU, 2 cores; "
        "stride3 on Another CPU, 2 cores. Name runs of one."
    )
    with pytest.raises(MeasureError) as caught:
        study.diff("baseline", ("stride2", "stock", "20261123T000000Z-03"), "stock")
    assert "CPU (Made-up CPU / Another CPU)" in str(caught.value)
