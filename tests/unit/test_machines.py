"""Runs of two machines in one folder of results: each judged by what is known of its own, and shown apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from cnnprof_lib.analysis.accuracy import frontier
from cnnprof_lib.analysis.runtimes import numbers as runtimes
from cnnprof_lib.analysis.runtimes.shown import matrix_table
from cnnprof_lib.app import report_text
from cnnprof_lib.app.cli_sweep import _unchecked
from cnnprof_lib.app.sections import Report
from cnnprof_lib.app.study import Study
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.records.store import Store
from tests.builders import (
    make_accuracy,
    make_check,
    make_machine,
    make_record,
    make_resolution,
    make_roofline,
    write_run,
)

HERE, THERE = "Made-up CPU, 2 cores", "Another CPU, 2 cores"
ELSEWHERE = make_machine("stock", cpu="Another CPU", host="far")
STEPS_S = {"baseline": (0.01, 0.02), "stride2": (0.005, 0.03)}


def run(variant: str, runtime: str, step_s: float, *, there: bool = False) -> RunRecord:
    """A run beside a baseline of 10 ms, of 20 ms elsewhere, where it was made earlier."""
    base_s = 0.02 if there else 0.01
    return make_record(
        variant,
        runtime,
        plain_s=((step_s,),) * 6,
        baseline_s=((base_s,),) * 6,
        reference_s=((base_s,),) * 6,
        machine=ELSEWHERE if there else make_machine("stock"),
        run_id="20261123T000000Z-0000" if there else "20261124T000000Z-0000",
        accuracy=make_accuracy(8600 if variant == "baseline" else 8000),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The baseline and stride2 on both machines. Elsewhere stride2 is the slower one."""
    store = Store(tmp_path / "outputs")
    for name, (here_s, there_s) in STEPS_S.items():
        write_run(store, run(name, "stock", here_s))
        write_run(store, run(name, "stock", there_s, there=True))
    return store


def parts(section: Callable[..., None], report: Report) -> list[Any]:
    """What a section shows, without showing it."""
    made: Iterator[Any] = section.__wrapped__(report)  # type: ignore[attr-defined]
    return list(made)


def test_each_machine_is_judged_by_its_own_check(store: Store) -> None:
    store.write_check(make_check(*[1.0] * 17, 1.5, 0.7, machine=ELSEWHERE))
    table = Study(store).overview().set_index(["variant", "machine"])
    assert table["smallest_ratio"].isna().to_dict() == {
        (name, machine): machine == HERE for name in STEPS_S for machine in (HERE, THERE)
    }
    low, high = table.loc[("stride2", THERE), ["ratio_low", "ratio_high"]]
    assert (low, high) == pytest.approx((1.0, 2.25))
    assert table.loc[("stride2", HERE), ["ratio_low", "ratio_high"]].tolist() == [0.5, 0.5]


def test_a_roofline_is_drawn_for_each_machine(store: Store) -> None:
    report = Report(Study(store))
    roofline = make_roofline(machine=make_machine())
    assert [part.split(":")[0] for part in parts(Report.roofline, report)] == [
        "Not measured on Made\\-up CPU, 2 cores",
        "Not measured on Another CPU, 2 cores",
    ]
    store.write_roofline(roofline)
    figure, _, missing = parts(Report.roofline, report)
    assert isinstance(figure, Figure)
    assert figure.get_gid() == (
        "caption:roofline-stock-Made-up-CPU-2-cores:Each layer of the baseline under the roofline of this machine, in "
        f"stock, {HERE}"
    )
    assert missing.startswith("Not measured on Another CPU, 2 cores: `cnnprof roofline` measures it once")
    store.write_roofline(roofline.model_copy(update={"machine": ELSEWHERE, "cpu": "Another CPU"}))
    assert sum(isinstance(part, Figure) for part in parts(Report.roofline, report)) == 2
    plt.close("all")


def test_tables_of_all_runs_name_the_machine_and_the_rest_is_of_the_last(store: Store) -> None:
    report = Report(Study(store))
    *_, table, figure = parts(Report.overview, report)
    html = table.to_html()
    assert (html.count(f"{HERE}</td>"), html.count(f"{THERE}</td>")) == (2, 2)
    (ax,) = figure.axes
    assert sorted(text.get_text() for text in ax.texts) == ["0.50", "1.00"]
    plt.close("all")
    records = Study(store).records
    assert "They ran on **2 kinds of machine**: Made\\-up CPU, 2 cores and Another CPU, 2 cores." in (
        report_text.introduction_text(records)
    )
    environment = report_text.environment_table(records)
    assert list(environment.data.columns) == ["", THERE, HERE]
    assert list(report_text.environment_table(records[:1]).data.columns) == ["", "stock"]


def test_latencies_beat_each_other_on_one_machine_only(store: Store) -> None:
    """Elsewhere stride2 is beaten by the baseline, here it is not, by no run elsewhere either."""
    overview = Study(store).overview()
    beaten = overview[frontier.dominated(overview)]
    assert list(zip(beaten["variant"], beaten["machine"], strict=True)) == [("stride2", THERE)]


def test_runtimes_compare_by_ratios_on_each_machine(tmp_path: Path) -> None:
    """XLA is the faster one here and the slower one elsewhere."""
    steps = {("stock", False): 0.01, ("xla", False): 0.005, ("stock", True): 0.02, ("xla", True): 0.03}
    runs = [run("baseline", name, step_s, there=there) for (name, there), step_s in steps.items()]
    table = runtimes.by_runtime(runs, Store(tmp_path))
    assert table["machine"].tolist() == [HERE, HERE, THERE, THERE]
    assert table["ratio"].tolist() == pytest.approx([1.0, 0.5, 1.0, 1.5])
    assert runtimes.is_slower(table).tolist() == [False, False, False, True]
    both, one = matrix_table(table), matrix_table(table[table["machine"] == HERE])
    assert list(both.data.columns) == ["network", "machine", "stock", "xla"]
    assert both.data["xla"].tolist() == pytest.approx([0.5, 1.5])
    assert list(one.data.columns) == ["network", "stock", "xla"]
    given = runtimes.by_runtime(
        runs, Store(tmp_path), lambda record: make_resolution(1.1) if record in runs[:2] else None
    )
    assert given["ratio_high"].tolist() == pytest.approx([1.1, 0.55, 1.0, 1.5])


def test_a_sweep_says_which_machine_was_not_checked() -> None:
    runs = [run("baseline", "stock", 0.01), *(run("baseline", name, 0.02, there=True) for name in ("stock", "xla"))]
    known = make_resolution(1.1)
    assert list(_unchecked(runs, lambda record: None if record.machine == ELSEWHERE else known, True)) == [
        f"{THERE}: not checked, so no ratio is called indistinct. Run there, and copy its outputs/check here: "
        "cnnprof check --runtime stock, cnnprof check --runtime xla"
    ]
    assert list(_unchecked(runs[:1], lambda _: None, False)) == [
        f"{HERE}: not checked, so no ratio is called indistinct. Run: cnnprof check --runtime stock"
    ]
    assert list(_unchecked(runs, lambda _: known, True)) == []
