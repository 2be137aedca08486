"""Calibrations: which steps count, and that what is interrupted goes on without measuring anything twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cnnprof_lib.base.errors import MeasureError, StoreError
from cnnprof_lib.measure import waits
from cnnprof_lib.measure.calibration import calibrate as module
from cnnprof_lib.measure.calibration.calibrate import measure_probes
from cnnprof_lib.measure.calibration.design import Designed
from cnnprof_lib.measure.clock import TimedStep
from cnnprof_lib.measure.waits import ThreadWaits, WatchedStep
from cnnprof_lib.params.reading import load_preset, load_variant
from cnnprof_lib.params.search import load_search, networks_in
from cnnprof_lib.records.calibration import ProbeRecord
from cnnprof_lib.records.project import Project, find_project
from tests.builders import PARAMS, make_machine


def watched(*waited_s: float) -> WatchedStep:
    """A step kept so many times, in each of which threads waited so long."""
    readings = iter([reading for seconds in waited_s for reading in (10.0, 10.0 + seconds)])
    step = WatchedStep(TimedStep(lambda: None), lambda: next(readings))
    for _ in waited_s:
        step.timed.prepare()
        step.timed.keep(None)
    return step


def test_steps_that_waited_for_a_processor_do_not_count() -> None:
    found = watched(0.0, 2.0, 0.0, 0.0, 0.001, 1.0, 0.0, 0.0).undisturbed([1.0, 3.0, 1.1, 1.2, 1.0, 2.0, 1.3, 1.4])
    assert found == ((1.1 + 1.2) / 2, 0.0, (0, 2, 3, 4, 6, 7))


def test_where_all_waited_those_count_that_waited_least() -> None:
    found = watched(*[0.5, 0.1, 0.2, 0.4, 0.3, 0.9, 0.8]).undisturbed([1.0] * 7)
    assert (found.steps, found.waited_share) == ((0, 1, 2, 3, 4), pytest.approx(0.3))


def test_threads_that_waited_for_each_other_were_not_disturbed() -> None:
    found = watched(*[0.5, 0.1, 0.2, 0.4, 0.3, 0.9, 0.8]).undisturbed([1.0] * 6 + [8.0], others_share=0.002)
    assert found == (1.0, 0.002, tuple(range(7)))


def test_waits_are_read_off_the_system_and_are_0_where_it_tells_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for thread, waited_ns in (("7", 2_000_000_000), ("8", 500_000_000)):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(f"123456 {waited_ns} 17\n")
    monkeypatch.setattr(waits, "_TASKS", tmp_path)
    found = ThreadWaits()
    assert found.read_s() == 2.5
    found.close()
    monkeypatch.setattr(waits, "_TASKS", tmp_path / "none")
    assert ThreadWaits().read_s() == 0.0


class FakeBench:
    """Measures a network in a second of a clock that the test reads; refuses and interrupts where it is told to."""

    measured: list[Designed]
    refuses: Callable[[int], bool]
    stops_at: int

    def __init__(self, runtime: object, project: Project) -> None:
        self.project, self.preset = project, load_preset("calibrate", project.params)
        self.baseline, self.reference = load_variant("baseline", project.params), "the reference"

    def measure(self, wanted: Designed) -> ProbeRecord:
        if len(self.measured) == self.stops_at:
            raise KeyboardInterrupt
        self.measured.append(wanted)
        if self.refuses(len(self.measured)):
            raise MeasureError("No kernel.")
        return ProbeRecord(
            family=wanted.family,
            network=wanted.variant.network,
            batch_size=wanted.batch_size,
            step_s=1.0,
            reference_s=1.0,
            waited_share=0.0,
        )

    def close(self) -> None: ...


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    FakeBench.measured, FakeBench.refuses, FakeBench.stops_at = [], staticmethod(lambda count: False), -1
    monkeypatch.chdir(PARAMS.parent)
    monkeypatch.setattr(module, "Bench", FakeBench)
    monkeypatch.setattr(module.machine, "describe", lambda onednn: make_machine())
    monkeypatch.setattr(module.time, "monotonic", lambda: float(len(FakeBench.measured)))
    return find_project(outputs=tmp_path)


def names() -> list[tuple[str, int]]:
    return [(network.variant.name, network.batch_size) for network in FakeBench.measured]


def test_a_calibration_ends_when_its_time_is_spent(project: Project) -> None:
    record = measure_probes("unfused", 0.25, project)
    assert (len(record.probes), record.spent_s) == (15, 15.0)
    assert project.store.read_probes("unfused") == record


def test_an_interrupted_calibration_goes_on_and_measures_nothing_twice(project: Project) -> None:
    FakeBench.stops_at = 13
    with pytest.raises(KeyboardInterrupt):
        measure_probes("unfused", 0.25, project)
    stored = project.store.read_probes("unfused")
    assert stored is not None
    assert (len(stored.probes), stored.spent_s) == (13, 13.0)
    FakeBench.stops_at = -1
    record = measure_probes("unfused", 0.5, project)
    assert (len(record.probes), record.spent_s) == (30, 30.0)
    assert len(set(names())) == len(names()) == 30
    told: list[float] = []
    assert measure_probes("unfused", 0.5, project, on_probe=lambda spent_s, probe: told.append(spent_s)) == record
    assert told == []


def test_a_calibration_can_begin_anew(project: Project) -> None:
    measure_probes("unfused", 0.2, project)
    record = measure_probes("unfused", 0.1, project, again=True, batch_sizes=(3,))
    assert {probe.batch_size for probe in record.probes} == {3}
    assert len(record.probes) == 6


def test_a_network_that_the_runtime_refuses_is_passed_over(project: Project) -> None:
    FakeBench.refuses = staticmethod(lambda count: count % 2 == 0)
    record = measure_probes("unfused", 0.2, project)
    assert (len(record.probes), record.drawn) == (6, 12)
    assert len(set(names())) == 12


def test_a_runtime_that_refuses_everything_is_told_of(project: Project) -> None:
    FakeBench.refuses = staticmethod(lambda count: True)
    with pytest.raises(MeasureError, match=r"^No kernel\.$"):
        measure_probes("unfused", 0.2, project)
    assert len(FakeBench.measured) == 6


def test_a_calibration_of_another_machine_does_not_go_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    measure_probes("unfused", 0.1, project)
    other = make_machine(cpu="Another CPU")
    monkeypatch.setattr(module.machine, "describe", lambda onednn: other)
    with pytest.raises(StoreError) as stopped:
        measure_probes("unfused", 0.2, project)
    assert str(stopped.value) == (
        "The calibration of runtime unfused was made with another machine and cannot go on here. Received: "
        f"{other}, not {make_machine()}. Begin anew: cnnprof calibrate --runtime unfused --again"
    )


def test_a_calibration_goes_on_with_networks_of_a_search(project: Project) -> None:
    measure_probes("unfused", 0.2, project, batch_sizes=(3,))
    search = load_search("smoke", project.params)
    space = [network.variant for network in networks_in(search, project.params)]
    record = measure_probes("unfused", 0.4, project, batch_sizes=(5,), space=space)
    assert len({probe.network.name for probe in record.probes[12:]}) > 1
    assert {probe.network.name for probe in record.probes[12:]} <= {variant.name for variant in space}
    assert {(probe.family, probe.batch_size) for probe in record.probes[12:]} == {("space", 5)}


def test_a_calibration_for_a_search_begins_with_the_baseline(project: Project) -> None:
    space = [load_variant("smoke", project.params)]
    record = measure_probes("unfused", 0.05, project, batch_sizes=(5,), space=space)
    assert [probe.network.name for probe in record.probes] == ["baseline", "smoke", "smoke"]
