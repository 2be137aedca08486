"""What runs do not share, and the reasons to read one with care."""

from __future__ import annotations

import pytest

from cnnprof_lib.analysis import conditions
from cnnprof_lib.analysis.cautions import cautions
from cnnprof_lib.records.conditions import LoadRecord
from cnnprof_lib.records.run import RunRecord
from tests.builders import make_failure, make_load, make_machine, make_record


def test_runs_that_were_not_made_alike_are_named_by_their_difference() -> None:
    records = [make_record("baseline"), make_record("stride2", "stock"), make_failure()]
    assert conditions.differences(records) == []  # oneDNN is on in one runtime only, as it is meant
    machine = make_machine(cpu="Another CPU", tensorflow="2.22.0", onednn=True)
    other = make_record("stride5", machine=machine, batch_size=64, threads=1)
    assert conditions.differences([*records, other]) == [
        "batch size: 128 / 64",
        "threads: 1 / the runtime's choice",
        "CPU: Another CPU / Made-up CPU",
        "TensorFlow: 2.21.0 / 2.22.0",
        "oneDNN kernels: off / on",
    ]


def test_runs_of_two_runtimes_are_unlike() -> None:
    before, after = make_record(machine=make_machine()), make_record("stride2", "stock", machine=make_machine())
    assert conditions.unlike(before, after) == ["runtime (unfused / stock)"]
    assert conditions.unlike(before, before) == []


def steady(**changes: object) -> RunRecord:
    return make_record(plain_s=((0.010, 0.010), (0.010, 0.010)), **changes)  # type: ignore[arg-type]


def test_stored_warnings_come_first() -> None:
    assert cautions(steady(warnings=("busy machine",))) == ["busy machine"]


@pytest.mark.parametrize(("share", "warned"), [(0.0, False), (0.049, False), (0.051, True)])
def test_kernels_of_no_known_layer_are_warned_of(share: float, warned: bool) -> None:
    kernels_s = sum(op.time_s for op in steady().ops)
    warning = (
        "5% of the kernels' time belongs to the network, but to no known layer; "
        "the times of the layers do not contain it"
    )
    assert cautions(steady(unowned_s=share * kernels_s)) == ([warning] if warned else [])


def test_a_short_step_is_warned_of() -> None:
    assert cautions(make_record(plain_s=((0.0007, 0.0008), (0.0009, 0.0008)))) == [
        "A step takes 800us, less than 1.00ms: much of it is the session call, not the network",
    ]


def test_unsteady_steps_are_warned_of() -> None:
    assert cautions(make_record(plain_s=((0.010, 0.012), (0.014, 0.016)))) == [
        "The unprofiled steps spread by 23% (interquartile range over median), more than 10%: "
        "the machine was not quiet",
    ]


def test_processes_that_differ_are_warned_of() -> None:
    record = make_record(plain_s=((0.100,), (0.105,), (0.104,), (0.112,)))
    timed = record.latency.model_copy(update={"processes": (1, 1, 2)})
    assert cautions(record.model_copy(update={"latency": timed})) == []
    apart = make_record(plain_s=((0.100,), (0.101,), (0.104,), (0.114,), (0.1,), (0.1,), (0.1,), (0.1,)))
    timed = apart.latency.model_copy(update={"processes": (2, 1, 1, 4)})
    assert cautions(apart.model_copy(update={"latency": timed})) == [
        "The processes differ by 14% (longest minus shortest median step, over their median), more than 10%",
    ]


@pytest.mark.parametrize(
    ("load", "warning"),
    [
        (make_load(others_percent=15.0, cpu_mhz=(2000.0, 2100.0)), None),
        (make_load(others_percent=0.0, cpu_mhz=()), None),
        (
            make_load(others_percent=15.6, cpu_mhz=()),
            "Other programs used 16% of the processors while the steps were timed",
        ),
        (
            make_load(others_percent=0.0, cpu_mhz=(3200.0, 1800.0, 3200.0)),
            "The processor's frequency changed between 1,800 and 3,200 MHz while the steps were timed",
        ),
    ],
)
def test_a_busy_machine_and_a_changed_frequency_are_warned_of(load: LoadRecord, warning: str | None) -> None:
    assert cautions(steady(load=load)) == ([warning] if warning else [])


def faults(**changes: object) -> list[str]:
    blocks = ((50, 50), (50, 4700))
    load = make_load(plain_faults=blocks, profiled_faults=((50,) * 2,) * 2, **changes)
    return cautions(make_record(plain_s=((0.040, 0.040), (0.041, 0.044)), load=load))


def test_steps_whose_memory_came_anew_are_told_apart() -> None:
    assert faults() == [
        "In 25% of the unprofiled steps and 0% of the profiled steps the allocator had returned memory to the system, "
        "so the step paid for new pages (over 1,000 page faults); such an unprofiled step takes 44.00ms (median), "
        "the others 40.00ms",
    ]


def test_memory_that_comes_anew_in_profiled_steps_alone_is_warned_of() -> None:
    load = make_load(plain_faults=((50, 50),) * 2, profiled_faults=((4700, 50),) * 2)
    assert cautions(steady(load=load)) == [
        "In 0% of the unprofiled steps and 50% of the profiled steps the allocator had returned memory to the system, "
        "so the step paid for new pages (over 1,000 page faults)",
    ]


def test_steps_that_find_their_memory_are_not_warned_of() -> None:
    assert cautions(steady(load=make_load(plain_faults=((50, 90),) * 2, profiled_faults=((50, 90),) * 2))) == []
