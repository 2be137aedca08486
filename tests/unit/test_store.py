"""Records on disk: whole or not there, and refused when damaged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cnnprof_lib.errors import StoreError
from cnnprof_lib.files import write_atomically
from cnnprof_lib.records import LatencyRecord
from cnnprof_lib.store import Store
from tests.builders import make_failure, make_ops, make_record, make_training, make_unattributed


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store(Path("outputs"))


def write(store: Store, **changes: object) -> Path:
    record = make_record(**changes)  # type: ignore[arg-type]
    return store.write_run(record, make_ops(record), "the profiler's text", b"trace")


def test_a_run_comes_back_as_it_was(store: Store) -> None:
    record = make_record("stride2", "stock")
    folder = store.write_run(record, make_ops(record), "the profiler's text", b"trace")
    assert store.read_run(folder) == record
    assert store.newest_runs("stride2", "stock") == [record]
    assert store.read_ops(record).equals(make_ops(record))
    assert store.read_profiler_text(record) == "the profiler's text"


def test_latest_has_the_newest_of_each_variant_and_runtime(store: Store) -> None:
    write(store, run_id="20260101T000000Z-0000")
    write(store, run_id="20260102T000000Z-0000")
    write(store, runtime="stock", run_id="20260101T000000Z-0001")
    store.write_failure(make_failure("stride2", run_id="20260103T000000Z-0000"))
    assert [record.run_id for record in store.latest()] == [
        "20260102T000000Z-0000",
        "20260101T000000Z-0001",
        "20260103T000000Z-0000",
    ]


def test_a_failure_does_not_hide_the_last_complete_run_from_show(store: Store) -> None:
    write(store, run_id="20260101T000000Z-0000")
    store.write_failure(make_failure("baseline", run_id="20260102T000000Z-0000"))
    (run,) = store.newest_runs("baseline", "unfused")
    assert run.run_id == "20260101T000000Z-0000"


def test_no_run_is_one_line(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        store.newest_runs("baseline", "stock")
    assert str(caught.value) == (
        "outputs/runs/baseline/stock: holds no run of baseline in runtime stock. Measure one: cnnprof run baseline"
    )


def test_a_write_that_fails_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record()
    ops = make_ops(record)
    monkeypatch.setattr(type(ops), "to_parquet", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.write_run(record, ops, "", b"")
    assert list(Path("outputs/runs/baseline/unfused").iterdir()) == []
    assert store.latest() == []


def test_a_killed_write_is_not_listed_and_is_swept_by_the_next(store: Store) -> None:
    folder = Path("outputs/runs/baseline/unfused")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    partial = folder / f".partial-{dead.pid}-20260101T000000Z-0000"
    partial.mkdir(parents=True)
    (partial / "record.json").write_text("{")
    own = folder / f".partial-{os.getpid()}-20260101T000000Z-0001.ipynb"
    own.write_text("{}")
    assert store.latest() == []
    write(store)
    assert not partial.exists()
    assert own.exists()  # its process is alive


DAMAGE = {
    "": "`record`: invalid json: eof while parsing a value at line 1 column 0. Received: see the file.",
    "{}": "`run_id`: field required. Received: see the file.",
}


@pytest.mark.parametrize("content", DAMAGE)
def test_a_damaged_record_is_one_line(store: Store, content: str) -> None:
    folder = write(store)
    (folder / "record.json").write_text(content)
    with pytest.raises(StoreError) as caught:
        store.read_run(folder)
    assert str(caught.value) == f"{folder}/record.json: {DAMAGE[content]} Remove the run's folder and run again."


def test_another_schema_version_is_named(store: Store) -> None:
    folder = write(store)
    content = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**content, "schema_version": 99}))
    with pytest.raises(StoreError) as caught:
        store.read_run(folder)
    assert str(caught.value) == (
        f"{folder}/record.json: `schema_version`: input should be 1. Received: 99. "
        "Remove the run's folder and run again."
    )


def test_a_half_deleted_run_is_one_line(store: Store) -> None:
    folder = write(store)
    (record,) = store.newest_runs("baseline", "unfused")
    (folder / "ops.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError) as caught:
        store.read_ops(record)
    assert str(caught.value) == f"{folder}/ops.parquet: cannot be read. Remove the run's folder and run again."
    (folder / "record.json").unlink()
    with pytest.raises(StoreError) as caught:
        store.latest()
    assert str(caught.value) == f"{folder}/record.json: is missing. Remove the run's folder and run again."


def test_write_atomically_keeps_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_whose_books_do_not_balance_is_refused() -> None:
    record = make_record(unattributed_s=1e-3)
    wrong = record.model_dump() | {"unattributed": make_unattributed(2e-3).model_dump()}
    step_s = record.latency.profiled_mean_s
    message = (
        f"op times and unattributed time add up to {step_s + 1e-3:.6f} s, but a profiled step takes {step_s:.6f} s"
    )
    with pytest.raises(ValidationError, match=re.escape(message)):
        type(record).model_validate(wrong)


def test_latency_refuses_nonsense() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        LatencyRecord(plain_s=((0.0,),), profiled_s=((1.0,),), baseline_s=((1.0,),))
    message = "plain, profiled and baseline need the same number of blocks, none empty"
    with pytest.raises(ValidationError, match=message):
        LatencyRecord(plain_s=((1.0,),), profiled_s=((1.0,), (1.0,)), baseline_s=((1.0,),))


REFERENCE = Store(Path(__file__).parents[2] / "outputs")


@pytest.mark.parametrize("variant", sorted({training.variant.name for training in REFERENCE.trainings()}))
def test_outcomes_of_the_reference_are_those_its_record_counted(variant: str) -> None:
    for key in (None, *REFERENCE.trained_keys(variant)):
        training = REFERENCE.read_training(variant, key)
        outcomes = REFERENCE.read_outcomes(variant, key)
        assert training is not None
        assert (outcomes["predicted"] == outcomes["label"]).sum() == training.test.correct
        assert outcomes["label"].value_counts().to_dict() == dict.fromkeys(range(10), 1_000)
        assert {str(kind) for kind in outcomes.dtypes} == {"uint8"}


def test_outcomes_that_cannot_be_read_are_one_line(store: Store) -> None:
    def refused() -> str:
        with pytest.raises(StoreError) as caught:
            store.read_outcomes("smoke")
        return str(caught.value)

    line = "outputs/reference/smoke/outcomes.npz: cannot be read. Train again: cnnprof train smoke"
    assert refused() == line
    store.write_training(make_training("smoke"), b"weights", np.zeros(3, np.uint8), np.arange(3, dtype=np.int32))
    assert store.read_outcomes("smoke")["label"].tolist() == [0, 1, 2]
    path = Path("outputs/reference/smoke/outcomes.npz")
    path.write_bytes(path.read_bytes()[:50])
    assert refused() == line
