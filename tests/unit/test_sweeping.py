"""What a sweep makes of what comes back: stored once, tried again, or told; workers are made up here."""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnnprof_lib.app import cli, sweeping
from cnnprof_lib.app.sweep_engine import Where, connected
from cnnprof_lib.app.sweep_job import Made, unpack_below
from cnnprof_lib.app.sweep_plan import Plan, files_for, plan
from cnnprof_lib.base import locks
from cnnprof_lib.base.errors import CnnprofError, MeasureError, StoreError
from cnnprof_lib.params.reading import load_preset
from cnnprof_lib.params.sweep import load_sweep
from cnnprof_lib.records.project import Project
from cnnprof_lib.records.run import FailureRecord, RunRecord
from tests.builders import make_record, make_training

ROOT = Path(__file__).parents[2]
ADDRESS = "tcp://127.0.0.1:1"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(ROOT, tmp_path / "outputs")


def planned(project: Project, preset: str = "smoke") -> Plan:
    chosen = load_preset(preset, project.params)
    return plan(load_sweep("smoke", project.params), chosen, project, source="generated")


def made(request: dict[str, Any], **changes: Any) -> Made:
    """What a worker sends that made the run asked for."""
    name, runtime = request["variant"], request["runtime"]
    record = make_record("baseline", runtime, run_id=request["run_id"], series=request["series"])
    network = record.network.model_copy(update={"name": name})
    record = record.model_copy(
        update={"network": network, "variant": None, "preset": "smoke", "batch_size": 32, "baseline": "smoke"} | changes
    )
    return Made(record.model_dump_json().encode(), {"ops.parquet": b"PAR1", "evil.sh": b""}, "", "far", "abc", 9.0)


class Future:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.status = "finished"
        try:
            self._result = work()
        except CancelledByScheduler:
            self.status = "cancelled"
        except KeyError as error:
            self.status, self._error = "error", error

    def result(self, timeout: float) -> Any:
        return tuple(self._result)

    def exception(self) -> BaseException:
        return self._error

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        call(self)


class CancelledByScheduler(Exception):
    pass


class Client:
    """Does at once what it is asked for, as ``answer`` says."""

    status, dashboard_link, cluster = "running", "http://127.0.0.1:8787/status", None

    def __init__(self, answer: Callable[[dict[str, Any], int], Any]) -> None:
        self._answer, self.asked, self.workers = answer, [], [{ADDRESS}]

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        now = self.workers.pop(0) if len(self.workers) > 1 else self.workers[0]
        return {"workers": {name: {"resources": {"timing": 1}} for name in now}}

    def submit(self, function: Any, request: dict[str, Any], files: Any, limit_s: int, **options: Any) -> Future:
        assert function is sweeping.make_run and options["resources"] == {"timing": 1}
        self.asked.append((request["run_id"], limit_s))
        return Future(lambda: self._answer(request, len(self.asked)))

    def cancel(self, futures: Any, force: bool) -> None:
        pass


def swept(
    project: Project, monkeypatch: pytest.MonkeyPatch, answer: Callable[[dict[str, Any], int], Any], **changes: Any
) -> SimpleNamespace:
    client = Client(answer)
    vars(client).update(changes)

    @contextlib.contextmanager
    def connected(where: Where) -> Iterator[Client]:
        yield client

    monkeypatch.setattr(sweeping, "connected", connected)
    monkeypatch.setattr(sweeping, "_BEAT_S", 0.01)
    said: list[str] = []
    ended: list[RunRecord | FailureRecord] = []
    failed = sweeping.make_missing(
        planned(project), project, Where(), on_end=lambda run, result: ended.append(result), say=said.append
    )
    return SimpleNamespace(failed=failed, said=said[1:], ended=ended, asked=client.asked)


def test_what_is_missing_is_made_and_stored_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    done = swept(project, monkeypatch, lambda request, _: made(request))
    assert (done.failed, done.said, len(done.asked)) == (0, [], 4)
    stored = list(project.store.sweep_runs())
    assert [run.name for run in stored] == [f"smoke-stride{s}-filters{f}" for s in (1, 2) for f in (4, 8)]
    assert {(run.purpose, run.commit, run.machine.host) for run in stored} == {("sweep", "abc", "far")}
    assert {path.name for path in project.store.run_dir(stored[0]).iterdir()} == {"record.json", "ops.parquet"}
    assert planned(project).describe() == "smoke: 4 runs, all stored."
    assert swept(project, monkeypatch, lambda *_: pytest.fail("made again")).asked == []


def test_it_goes_on_where_it_was_stopped(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: dict[str, Any], number: int) -> Made:
        if number == 3:
            raise SystemExit(137)
        return made(request)

    with pytest.raises(SystemExit):
        swept(project, monkeypatch, answer)
    assert "1 stored, 3 to make" in planned(project).describe()  # two were under way, one had come back
    swept(project, monkeypatch, lambda request, _: made(request))
    assert len(list(project.store.sweep_runs())) == len(project.store.run_dirs("sweeps")) == 4


def test_a_run_that_fails_twice_is_a_failure_with_its_notebook(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = planned(project).missing[0].identity

    def answer(request: dict[str, Any], _: int) -> Made:
        if request["variant"] == bad.network:
            return Made(b"", {"notebook.ipynb": b"{}"}, "out of memory", "far", None, 3.0)
        return made(request)

    done = swept(project, monkeypatch, answer)
    assert (done.failed, len(done.asked)) == (1, 5)
    assert done.said == [f"{bad}: failed: out of memory It is tried once more."]
    (failure,) = [run for run in project.store.runs("sweeps") if isinstance(run, FailureRecord)]
    assert (failure.variant, failure.error) == (bad.network, "out of memory")
    assert (project.store.run_dir(failure) / "notebook.ipynb").read_text() == "{}"
    assert "3 stored, 1 to make" in planned(project).describe()


def test_one_failure_and_then_a_run_is_a_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: dict[str, Any], number: int) -> Any:
        if number == 1:
            raise KeyError("KilledWorker")
        return made(request)

    done = swept(project, monkeypatch, answer)
    assert (done.failed, len(done.asked), len(done.ended)) == (0, 5, 4)


def test_what_the_scheduler_lost_is_no_try(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: dict[str, Any], number: int) -> Any:
        if number <= 3:
            raise CancelledByScheduler
        return made(request)

    done = swept(project, monkeypatch, answer)
    assert (done.failed, len(done.asked), len(done.ended)) == (0, 7, 4)
    assert done.said[0].endswith("batch of 32: the scheduler lost it; it is made again.")


@pytest.mark.parametrize(
    ("answer", "error"),
    {
        "another": (
            lambda request, _: made({**request, "variant": "other"}),
            "What far sent is another run's: other stock {}.",
        ),
        "none": (
            lambda request, _: Made(b"{}", {}, "", "far", None, 1.0),
            "What far sent is no record: field required.",
        ),
    }.values(),
)
def test_what_is_no_record_of_the_run_is_a_failure(
    project: Project, monkeypatch: pytest.MonkeyPatch, answer: Any, error: str
) -> None:
    done = swept(project, monkeypatch, answer)
    assert done.failed == 4
    assert [result.error for result in done.ended] == [error.format(result.run_id) for result in done.ended]


def test_a_worker_that_is_lost_and_one_to_wait_for_are_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    done = swept(project, monkeypatch, lambda request, _: made(request), workers=[{ADDRESS}, set(), set(), {"tcp://b"}])
    assert done.said == [
        f"{ADDRESS}: the worker is lost; its run is made again by another one.",
        "No worker is there. Waiting for one.",
    ]
    assert len(done.ended) == 4


def test_a_scheduler_that_is_gone_for_good_ends_it_in_a_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeasureError) as caught:
        swept(project, monkeypatch, made, status="closed")
    assert str(caught.value) == (
        "Dask: the scheduler is gone. What is complete is stored. Start the same command again when it is back."
    )


def test_a_disk_that_is_full_ends_it_with_nothing_half(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: dict[str, Any], number: int) -> Made:
        if number == 2:
            monkeypatch.setattr(Path, "write_bytes", no_room)
        return made(request)

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match=r"^\S+/stock/\S+: cannot be written\. Received: No space left on device\. "):
        swept(project, monkeypatch, answer)
    folders = project.store.run_dirs("sweeps")
    assert len(folders) < 4 and project.store.unreadable() == {}


def test_two_commands_do_not_make_the_same(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    home = project.outputs / "sweeps"
    home.mkdir(parents=True)
    with (home / "lock").open("w") as file:
        file.write("4711")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(CnnprofError) as caught:
            swept(project, monkeypatch, made)
    assert str(caught.value) == (
        f"{home}/lock: held by process 4711, which makes a sweep here. Wait for it, or stop it."
    )


# Plans


def test_the_order_is_drawn_so_that_no_factor_grows_with_time(project: Project) -> None:
    chosen = load_preset("smoke", project.params)
    names = [
        r.identity.network for r in plan(load_sweep("strides", project.params), chosen, project, source="").missing
    ]
    assert len(names) == 20 and sorted(names) != names


def test_stored_runs_tell_how_long_the_missing_ones_take(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned(project).describe() == (
        "smoke: 4 runs: 0 stored, 4 to make; no stored run tells how long that takes."
    )
    for number, seconds in enumerate((50.0, 70.0, 600.0)):
        folder = project.outputs / f"runs/baseline/stock/{number}"
        folder.mkdir(parents=True)
        told = {"parameters": {"preset": "smoke"}, "duration": seconds, "exception": None}
        (folder / "notebook.ipynb").write_text(json.dumps({"metadata": {"papermill": told}}))
    assert planned(project).describe() == "smoke: 4 runs: 0 stored, 4 to make, about 5 min on one host."
    done = swept(project, monkeypatch, lambda request, _: made(request))
    assert {limit_s for _, limit_s in done.asked} == {1400}  # 20 times 70 s


def test_a_stored_run_of_a_network_that_has_changed_does_not_count(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_record("baseline").variant
    swept(project, monkeypatch, lambda request, _: made(request, variant=other))
    assert "0 stored, 4 to make" in planned(project).describe()


def test_a_run_comes_with_what_it_reads_and_nothing_else(project: Project) -> None:
    run = next(run for run in planned(project).missing if run.identity.network == "smoke-stride2-filters8")
    assert sorted(files_for(run, project)) == [
        "params/presets/smoke.yaml", "params/smoke-stride2-filters8.yaml", "params/smoke.yaml",
    ]  # fmt: skip
    labels = np.zeros(3, np.int32)
    project.store.write_training(make_training("smoke"), b"weights", labels, labels)
    files = files_for(run, project)  # its layers are those of smoke, which is trained
    assert files["outputs/reference/smoke-stride2-filters8/model.weights.h5"] == b"weights"
    assert "outputs/reference/smoke/training.json" in files


# Workers


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "", "c:\\x"])
def test_files_of_a_run_stay_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError) as caught:
        unpack_below({name: b""}, tmp_path)
    assert str(caught.value) == f"{tmp_path}: a file sent with a run must have a path below it. Received: {name!r}."


def _hold(path: Path, ready: Any, go: Any) -> None:
    locks.TIMING_LOCK = path
    with locks.alone_on_host():
        ready.set()
        go.wait(30)


def test_one_process_of_a_host_times_at_a_time(own_timing_lock: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(own_timing_lock, ready, go))
    other.start()
    assert ready.wait(60)
    waited: list[bool] = []
    with locks.alone_on_host(lambda: (waited.append(other.is_alive()), go.set())[0]):
        assert waited == [True]
    other.join()
    with locks.alone_on_host(lambda: pytest.fail("waited for nobody")):
        pass


def test_without_dask_it_says_in_a_line_what_to_install(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(CnnprofError) as caught, connected(Where()):
        pass
    assert str(caught.value) == "A sweep needs Dask. Install it: pip install 'cnnprof[sweep]'"


# The command


def asked(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cnnprof", "sweep", *words])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_it_costs_a_sweep_before_anything_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert asked(monkeypatch, "strides", "--dry-run", "--outputs", str(project.outputs)) == 0
    assert (
        capsys.readouterr().out == "strides: 20 runs: 0 stored, 20 to make; no stored run tells how long that takes.\n"
    )
    assert not project.outputs.exists()
    assert asked(monkeypatch, "hills", "--dry-run") == 1
    assert (
        capsys.readouterr().err == "params/sweeps/hills.yaml: no such file. Known in params/sweeps: smoke, strides.\n"
    )
    assert asked(monkeypatch, "strides", "--scheduler", "tcp://a:1", "--cluster", "slurm.yaml") == 2


def test_runs_that_failed_are_told_and_end_it_with_1(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sweeping, "connected", lambda where: contextlib.nullcontext(client))
    bad = Made(b"", {}, "no luck", "far", None, 1.0)
    client = Client(lambda request, _: bad if "filters8" in request["variant"] else made(request))
    outputs = str(project.outputs)
    assert asked(monkeypatch, "smoke", "--preset", "smoke", "--generated", "--outputs", outputs) == 1
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == (
        f"2 of 4 runs failed; the notebooks are in {outputs}/sweeps. The same command tries them again."
    )
    assert told.out.count(" failed: no luck") == 2
