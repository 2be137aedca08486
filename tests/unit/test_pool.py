"""Several processes of one variant as one record."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnprof_lib.analysis import frames, pool
from cnnprof_lib.app.study import Study
from cnnprof_lib.base.errors import StoreError
from cnnprof_lib.records.run_store import TracedFiles
from cnnprof_lib.records.store import Store
from tests.builders import make_failure, make_load, make_machine, make_ops, make_record

SERIES = "20261124T000000Z-0000"


def processes() -> list[frames.RunRecord]:
    """Two processes of one series, the second with a longer step."""
    return [
        make_record(
            unattributed_s=rest_s,
            unowned_s=rest_s / 10,
            run_id=f"{SERIES}-0{number}",
            series=SERIES,
            warnings=("busy",),
        )
        for number, rest_s in enumerate((1e-3, 3e-3))
    ]


def test_one_process_is_itself() -> None:
    record = make_record()
    assert pool.pooled([record]) is record


def test_the_pool_has_the_blocks_of_all_and_means_that_balance() -> None:
    first, second = processes()
    both = pool.pooled([first, second])
    assert both.latency.plain_s == first.latency.plain_s + second.latency.plain_s
    assert (both.unattributed_s, both.unowned_s) == pytest.approx((2e-3, 2e-4))
    by_kernel = {op.kernel: op for op in both.ops}
    for theirs in first.ops:
        ours = by_kernel[theirs.kernel]
        assert ours.model_dump(exclude={"fuses"}) == pytest.approx(theirs.model_dump(exclude={"fuses"}))
    assert (both.run_id, both.pooled, both.warnings) == (SERIES, (first.run_id, second.run_id), ("busy",))
    type(both).model_validate(both.model_dump())  # the books of the pool balance too


def test_the_pool_keeps_its_processes_apart_and_the_worst_load() -> None:
    first, second = processes()
    busy = second.model_copy(update={"load": make_load(others_percent=20.0, cpu_mhz=(2000.0,), plain_faults=((1, 2),))})
    both = pool.pooled([first, busy])
    assert both.latency.processes == (6, 6)
    assert (both.load.others_percent, both.load.cpu_mhz) == (20.0, (2500.0, 2500.0, 2000.0))
    assert both.load.plain_faults == ((1, 2),)
    assert both.unattributed.model_dump() == pytest.approx({"before_s": 5e-4, "between_s": 1e-3, "after_s": 5e-4})


def test_runs_of_two_machines_are_not_pooled() -> None:
    first, second = processes()
    moved = second.model_copy(update={"machine": make_machine(cpu="Another CPU")})
    with pytest.raises(StoreError) as caught:
        pool.pooled([first, moved])
    assert str(caught.value) == (
        f"baseline in runtime unfused: the runs {SERIES}-00 (Made-up CPU) and {SERIES}-01 (Another CPU) are of two "
        "machines and make no one measurement. Keep the runs of each machine in a folder of its own, by --outputs."
    )


def test_a_kernel_of_the_pool_has_what_any_process_fused_into_it() -> None:
    first, second = processes()
    ops = [op.model_copy(update={"fuses": ("BiasAdd",)}) for op in second.ops]
    both = pool.pooled([first, second.model_copy(update={"ops": tuple(ops)})])
    assert {op.fuses for op in both.ops} == {("BiasAdd",)}


def test_the_pool_is_what_a_report_loads(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for record in processes():
        store.write_run(record, TracedFiles(make_ops(record), "text", b""))
    store.write_failure(make_failure("baseline", run_id=f"{SERIES}-02").model_copy(update={"series": SERIES}))
    (loaded,) = Study(store).records
    assert isinstance(loaded, frames.RunRecord)
    assert loaded.pooled == (f"{SERIES}-00", f"{SERIES}-01")
    executed = store.read_ops(loaded)
    assert sorted(executed["step"].unique()) == list(range(24))
    times = frames.profile(loaded, executed)["time_s"]
    assert times.sum() == pytest.approx(loaded.latency.profiled_mean_s)
