"""All stored runs at hand: which there are, in which order, and what is said of one that is not there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cnnprof_lib.analysis import frames
from cnnprof_lib.analysis.frames import RunKey
from cnnprof_lib.analysis.profile.numbers import by_layer
from cnnprof_lib.analysis.stored import StoredRuns
from cnnprof_lib.base.errors import StoreError
from cnnprof_lib.records.store import Store
from tests.builders import make_failure, make_ops, make_record, write_run

OLD, NEW = "20261124T000000Z-0000", "20261125T000000Z-0000"


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
    runs = StoredRuns(store)
    assert runs.variants == ["baseline", "stride2"]
    assert runs.runtimes("baseline") == ["unfused", "stock"]
    assert runs.runtimes("stride2") == ["stock"]
    assert runs.run_ids("baseline", "unfused") == [NEW, f"{NEW}-01", f"{NEW}-00", f"{OLD}-00"]
    assert runs.run("baseline", "unfused", NEW).pooled == (f"{NEW}-00", f"{NEW}-01")
    assert runs.newest("baseline") == RunKey("baseline", "unfused", NEW)
    assert runs.newest("baseline", "stock") == RunKey("baseline", "stock", f"{NEW}-02")


def test_frames_are_those_of_one_run_and_may_be_changed(store: Store) -> None:
    runs = StoredRuns(store)
    key = runs.newest("stride2")
    record = runs.run(*key)
    profile = runs.profile(*key)
    pd.testing.assert_frame_equal(profile, frames.profile(record, make_ops(record), by_node=True))
    assert profile["node"].is_unique
    assert profile["time_s"].sum() == pytest.approx(record.latency.profiled_mean_s)
    profile["time_s"] = 0.0
    assert runs.profile(*key)["time_s"].sum() > 0
    pd.testing.assert_frame_equal(runs.layers(*key), by_layer(record, make_ops(record)))
    pd.testing.assert_frame_equal(runs.steps(*key), frames.steps([record]))
    assert runs.spec(*key) == record.variant
    assert runs.resolution("stock") is None


def test_a_frame_is_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, read = StoredRuns(store), []
    usual = store.read_ops
    monkeypatch.setattr(store, "read_ops", lambda record: (read.append(record.run_id), usual(record))[1])
    for _ in range(2):
        runs.profile(*runs.newest("stride2"))
        runs.waterfall(runs.newest("baseline", "stock"), runs.newest("stride2"))
    assert read == [f"{NEW}-03", f"{NEW}-02", f"{NEW}-03"]


def test_the_newest_of_several_variants(store: Store) -> None:
    runs = StoredRuns(store)
    both = runs.newest_profiles("stock", ["baseline", "stride2"])
    assert list(both["variant"].unique()) == ["baseline", "stride2"]
    assert set(runs.newest_profiles("unfused", ["baseline", "stride2"])["run_id"]) == {NEW}
    with pytest.raises(StoreError) as caught:
        runs.newest_profiles("unfused", ["stride2"])
    assert str(caught.value) == (
        f"{store.outputs / 'runs'}: none of the variants was run in unfused. Received: stride2. "
        "Take some of: baseline, stride2"
    )


def test_a_run_that_is_not_there_is_named_with_those_that_are(store: Store) -> None:
    runs, folder = StoredRuns(store), store.outputs / "runs"
    with pytest.raises(StoreError) as caught:
        runs.profile("stride2", "stock", "yesterday")
    assert str(caught.value) == (f"{folder}: holds no run yesterday of stride2 in runtime stock. Take one of: {NEW}-03")
    with pytest.raises(StoreError) as caught:
        runs.newest("stride9")
    assert str(caught.value) == f"{folder}: holds no run of stride9 in any runtime. Take one of: baseline, stride2"


def test_failures_alone_are_no_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    store.write_failure(make_failure("stride3", error="out of memory"))
    with pytest.raises(StoreError) as caught:
        StoredRuns(store)
    assert str(caught.value) == (
        f"{store.outputs / 'runs'}: none of 1 runs succeeded, the last for: out of memory. Measure again: cnnprof run"
    )
