"""Records on disk: whole or not there, and refused when damaged."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cnnprof_lib.base.errors import StoreError
from cnnprof_lib.base.files import partial_name, write_atomically
from cnnprof_lib.records.run import LatencyRecord, RunRecord
from cnnprof_lib.records.run_store import TracedFiles
from cnnprof_lib.records.store import Store
from tests.builders import (
    MACHINE_KEY,
    RUN_ID,
    make_check,
    make_failure,
    make_machine,
    make_ops,
    make_record,
    make_roofline,
    make_training,
    make_unattributed,
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store(Path("outputs"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def traced(record: RunRecord) -> TracedFiles:
    return TracedFiles(make_ops(record), "the profiler's text", b"trace")


def write(store: Store, **changes: object) -> Path:
    record = make_record(**changes)  # type: ignore[arg-type]
    return store.write_run(record, traced(record))


def test_a_run_comes_back_as_it_was(store: Store) -> None:
    record = make_record("stride2", "stock")
    folder = store.write_run(record, traced(record))
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


def test_a_write_that_fails_leaves_nothing(store: Store, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record()
    ops = make_ops(record)
    monkeypatch.setattr(type(ops), "to_parquet", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(StoreError) as caught:
        store.write_run(record, TracedFiles(ops, "", b""))
    assert str(caught.value) == (
        f"outputs/runs/baseline/unfused/{RUN_ID}: cannot be written. Received: disk full. What was there before is "
        "intact: make it writable, or name another folder by --outputs, and start the same command again."
    )
    assert list(Path("outputs/runs/baseline/unfused").iterdir()) == []
    assert list(temporary.iterdir()) == []
    assert store.latest() == []


def test_a_killed_write_is_not_listed_and_is_swept_by_the_next(store: Store) -> None:
    folder = Path("outputs/runs/baseline/unfused")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    partial = folder / f".partial-{dead.pid}@{platform.node()}-20260101T000000Z-0000"
    partial.mkdir(parents=True)
    (partial / "record.json").write_text("{")
    own = folder / partial_name("20260101T000000Z-0001.ipynb")
    elsewhere = folder / f".partial-{dead.pid}@another-{platform.node()}-20260101T000000Z-0002"
    for unfinished in (own, elsewhere):
        unfinished.write_text("{}")
    assert store.latest() == []
    write(store)
    assert not partial.exists()
    assert own.exists()  # its process is alive
    assert elsewhere.exists()  # and that of another host may be


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
    assert str(caught.value) == f"{folder}/record.json: {DAMAGE[content]} Remove that folder, or run again: cnnprof run"


def test_another_schema_version_is_named(store: Store) -> None:
    folder = write(store)
    content = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**content, "schema_version": 99}))
    with pytest.raises(StoreError) as caught:
        store.read_run(folder)
    assert str(caught.value) == (
        f"{folder}/record.json: `schema_version`: input should be 2. Received: 99. "
        "Remove that folder, or run again: cnnprof run"
    )


def test_a_record_of_schema_1_gets_the_network_of_its_variant(store: Store) -> None:
    folder = write(store, variant="stride2")
    (record,) = store.newest_runs("stride2", "unfused")
    content = json.loads((folder / "record.json").read_text())
    network, base = content.pop("network"), content.pop("baseline")
    assert (network["layers"][0]["macs"], base) == (691_200, "baseline")
    old = {**content, "schema_version": 1, "parameters": 281_866, "macs_per_image": 1_786_752}
    (folder / "record.json").write_text(json.dumps(old, indent=1))
    assert store.read_run(folder) == record
    (folder / "record.json").write_text(json.dumps(old, indent=1)[:-100])
    with pytest.raises(StoreError) as caught:
        store.read_run(folder)
    assert str(caught.value).startswith(f"{folder}/record.json: `record`: invalid json")


def test_a_half_deleted_run_is_one_line(store: Store) -> None:
    folder = write(store)
    (record,) = store.newest_runs("baseline", "unfused")
    (folder / "ops.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError) as caught:
        store.read_ops(record)
    assert str(caught.value) == f"{folder}/ops.parquet: cannot be read. Remove that folder, or run again: cnnprof run"
    (folder / "record.json").unlink()
    with pytest.raises(StoreError) as caught:
        store.read_run(folder)
    assert str(caught.value) == f"{folder}/record.json: is missing. Remove that folder, or run again: cnnprof run"


def test_write_atomically_keeps_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(StoreError, match="disk full"):
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
    message = "plain, profiled, baseline and reference need the same number of blocks, none empty"
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
        assert {str(kind) for kind in outcomes.dtypes} == {"int32"}  # older files hold uint8


def test_outcomes_hold_a_thousand_classes(store: Store) -> None:
    classes = np.arange(1_000, dtype=np.int32)
    store.write_training(make_training("smoke"), b"weights", classes[::-1], classes)
    outcomes = store.read_outcomes("smoke")
    assert outcomes["predicted"].tolist() == list(range(999, -1, -1))
    assert outcomes["label"].tolist() == list(range(1_000))


def test_outcomes_stored_as_bytes_are_still_read(store: Store) -> None:
    store.write_training(make_training("smoke"), b"weights", np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32))
    path = store.reference_dir("smoke") / "outcomes.npz"
    np.savez_compressed(path, predicted=np.array([9, 0, 5], np.uint8), label=np.array([9, 1, 5], np.uint8))
    outcomes = store.read_outcomes("smoke")
    assert outcomes.to_dict("list") == {"predicted": [9, 0, 5], "label": [9, 1, 5]}
    assert {str(kind) for kind in outcomes.dtypes} == {"int32"}


def test_outcomes_that_cannot_be_read_are_one_line(store: Store) -> None:
    def refused() -> str:
        with pytest.raises(StoreError) as caught:
            store.read_outcomes("smoke")
        return str(caught.value)

    restore = (
        "Restore it, for example from Git, or move outputs/reference/smoke aside and train again: cnnprof train smoke"
    )
    assert refused() == f"outputs/reference/smoke/outcomes.npz: is missing. {restore}"
    store.write_training(make_training("smoke"), b"weights", np.zeros(3, np.uint8), np.arange(3, dtype=np.int32))
    assert store.read_outcomes("smoke")["label"].tolist() == [0, 1, 2]
    path = Path("outputs/reference/smoke/outcomes.npz")
    path.write_bytes(path.read_bytes()[:50])
    assert refused() == f"outputs/reference/smoke/outcomes.npz: cannot be read. {restore}"


def test_what_was_measured_is_kept_elsewhere_where_its_place_cannot_be_written(store: Store, temporary: Path) -> None:
    store.outputs.mkdir()
    for name in ("runs", "check"):
        (store.outputs / name).write_text("a file in its place")
    record, check, roof = make_record(), make_check(), make_roofline(machine=make_machine())
    writes = {
        f"runs/baseline/unfused/{RUN_ID}": lambda: store.write_run(record, traced(record)),
        f"check/{MACHINE_KEY}/stock.json": lambda: store.write_check(check),
        f"check/{MACHINE_KEY}/roofline.json": lambda: store.write_roofline(roof),
    }
    for name, write_there in writes.items():
        with pytest.raises(StoreError) as caught:
            write_there()
        rescue = Path(str(caught.value).rpartition(" ")[2])
        assert str(caught.value) == (
            f"outputs/{name}: cannot be written. Received: Not a directory. "
            f"What was measured is kept: copy {rescue}/ to outputs/, or read it with --outputs {rescue}"
        )
        assert rescue.parent == temporary
        kept = Store(rescue)
        found = (kept.latest(), kept.read_check("stock", make_machine()), kept.read_roofline(make_machine()))
        expected = {"runs": [record], "stock.json": check, "roofline.json": roof}
        assert [each for each in found if each] == [expected["runs" if "runs" in name else Path(name).name]]


def test_what_older_versions_kept_of_one_machine_is_read_for_that_one(store: Store) -> None:
    """They had no folder for each machine. A roofline told no more of its own than processor and cores."""
    store.machine_dir.mkdir(parents=True)
    (store.machine_dir / "stock.json").write_text(make_check().model_dump_json())
    (store.machine_dir / "roofline.json").write_text(make_roofline().model_dump_json(exclude={"machine"}))
    here, there = make_machine("stock"), make_machine("stock", cpu="Another CPU")
    assert (store.read_check("stock", here), store.read_roofline(here)) == (make_check(), make_roofline())
    for machine in (there, make_machine("stock", logical_cores=4)):
        assert (store.read_check("stock", machine), store.read_roofline(machine)) == (None, None)
    store.write_check(make_check(machine=there))
    store.write_roofline(make_roofline(cpu="Another CPU", machine=there))
    assert (store.read_check("stock", here), store.read_roofline(here)) == (make_check(), make_roofline())
    assert store.read_check("stock", there) == make_check(machine=there)
    store.write_roofline(newer := make_roofline(busy_percent=0.5, machine=here))
    assert store.read_roofline(here) == newer
    assert store.unreadable() == {}


def test_the_newest_of_each_machine_is_listed(store: Store) -> None:
    """Failures, of which it is not known where they were, stand for the machine before them."""
    other = make_machine(cpu="Another CPU")
    runs = [("1", other), ("2", make_machine()), ("3", other), ("4", make_machine(tensorflow="2.22.0"))]
    for stamp, machine in runs:
        write(store, run_id=stamp, machine=machine)
    assert [run.run_id for run in store.latest()] == ["3", "4"]
    store.write_failure(make_failure("baseline", run_id="5"))
    assert [run.run_id for run in store.latest()] == ["3", "5"]
    write(store, run_id="6", machine=make_machine())
    assert [run.run_id for run in store.latest()] == ["3", "6"]


def test_lists_pass_over_what_cannot_be_read_and_tell_of_it(store: Store) -> None:
    whole = [write(store), write(store, runtime="stock")]
    runs = store.outputs / "runs"
    damaged = write(store, run_id="20270101T000000Z-0000")
    (damaged / "record.json").write_text("{")
    half = write(store, run_id="20270101T000000Z-0001")
    (half / "ops.parquet").unlink()
    foreign = damaged.parent / "20270101T000000Z-0002"
    shutil.copytree(whole[0], foreign)
    (runs / "baseline/stock/empty").mkdir()
    (runs / "baseline/stock/notes.txt").write_text("mine")
    too_deep = runs / "presets/quick/unfused"
    (too_deep / RUN_ID).mkdir(parents=True)
    (too_deep / RUN_ID / "failure.json").write_text(make_failure("presets/quick").model_dump_json())
    store.write_check(make_check())
    for name in ("check/unfused.json", "check/roofline.json", "check/xprof/baseline-stock.json"):
        path = store.outputs / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("[]")
    store.write_training(make_training("smoke"), b"w", np.zeros(3, np.uint8), np.arange(3, dtype=np.int32))
    orphan = store.weights_path("smoke", "fast-seed7")
    orphan.parent.mkdir()
    orphan.write_bytes(b"weights")

    assert [run.run_id for run in store.latest()] == [RUN_ID, RUN_ID]
    assert [run.run_id for run in store.newest_runs("baseline", "unfused")] == [RUN_ID]
    here = make_machine()
    assert (store.read_check("stock", here), store.read_check("unfused", here)) == (make_check(), None)
    assert (store.read_roofline(here), store.read_comparisons()) == (None, [])
    assert store.trainings() == [make_training("smoke")]
    again = "Remove that folder, or run again: cnnprof run"
    no_object = "`record`: input should be an object. Received: see the file."
    assert {path.relative_to(store.outputs).as_posix(): line for path, line in store.unreadable().items()} == {
        f"runs/baseline/unfused/{damaged.name}": f"{damaged}/record.json: `record`: invalid json: eof while parsing "
        f"an object at line 1 column 1. Received: see the file. {again}",
        f"runs/baseline/unfused/{half.name}": f"{half}/ops.parquet: is missing. {again}",
        f"runs/baseline/unfused/{foreign.name}": f"{foreign}: holds a run that belongs elsewhere. "
        f"Move it to {whole[0]}",
        "runs/baseline/stock/empty": f"{runs}/baseline/stock/empty/record.json: is missing. {again}",
        "runs/baseline/stock/notes.txt": f"{runs}/baseline/stock/notes.txt/record.json: cannot be read. "
        f"Received: Not a directory. {again}",
        "runs/presets/quick/unfused": f"{too_deep}/record.json: is missing. {again}",
        "check/unfused.json": f"outputs/check/unfused.json: {no_object} Check again: cnnprof check",
        "check/roofline.json": f"outputs/check/roofline.json: {no_object} Measure again: cnnprof roofline",
        "check/xprof/baseline-stock.json": f"outputs/check/xprof/baseline-stock.json: {no_object} "
        "Compare again: cnnprof compare-xprof",
        "reference/smoke/fast-seed7": "outputs/reference/smoke/fast-seed7/training.json: is missing. Restore it, for "
        "example from Git, or move outputs/reference/smoke/fast-seed7 aside and train again: cnnprof train smoke",
    }


@pytest.mark.parametrize("left", ["model.weights.h5", "outcomes.npz"])
def test_half_a_training_is_no_training_that_never_was(store: Store, left: str) -> None:
    store.write_training(make_training("smoke"), b"w", np.zeros(3, np.uint8), np.arange(3, dtype=np.int32))
    for path in store.reference_dir("smoke").iterdir():
        if path.name != left:
            path.unlink()
    with pytest.raises(StoreError) as caught:
        store.read_training("smoke")
    assert str(caught.value) == (
        "outputs/reference/smoke/training.json: is missing. Restore it, for example from Git, or move "
        "outputs/reference/smoke aside and train again: cnnprof train smoke"
    )
    assert store.read_training("baseline") is None


def test_text_of_a_file_is_one_line_in_which_what_moves_the_cursor_is_escaped() -> None:
    record = make_record(warnings=("a\x1b[31m b\tc",), preset="x\ny")
    assert (record.warnings, record.preset) == (("a\\x1b[31m b c",), "x y")
    assert str(StoreError("\x1b]0;title\x07 \u202eright\nto left")) == "\\x1b]0;title\\x07 \\u202eright to left"


def test_a_name_is_no_pattern(store: Store) -> None:
    write(store)
    for name in ("b*", "*", "", "baseline/unfused/.."):
        with pytest.raises(StoreError, match="holds no run of"):
            store.newest_runs(name, "unfused")
