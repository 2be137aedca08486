"""The chapter on sweeps: grids found in the records, effects to the digit, machines kept apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cnnprof_lib.analysis.sweeps import numbers, shown
from cnnprof_lib.app.study import Study
from cnnprof_lib.app.sweep_sections import sweep_parts
from cnnprof_lib.params.reading import changed, load_variant
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.records.store import Store
from tests.builders import PARAMS, make_accuracy, make_machine, make_record, write_run

BASE_S = 0.010


def run_of(stride: int, filters: int, number: int = 0, **changes: object) -> RunRecord:
    """Four times as fast for each stride, twice for half the filters; the machine slows down by 1% with each run."""
    change = {layer: {"stride": stride, "filters": filters} for layer in ("conv1", "conv2")}
    name = f"baseline-stride{stride}-filters{filters}"
    spec = changed(load_variant("baseline", PARAMS), name, name, change, Path("x.yaml"))
    drift = 1.01**number
    step_s = drift * BASE_S * 4.0 ** (1 - stride) * filters / 64
    blocks = ((step_s, step_s),) * 6
    defaults = {"purpose": "sweep", "run_id": f"20261124T00{number:04d}Z-0000", "series": f"s{number}"}
    record = make_record(spec, "stock", plain_s=blocks, baseline_s=((BASE_S * drift,) * 2,) * 6, **(defaults | changes))
    return record


def grid_of(*runs: RunRecord) -> numbers.Grid:
    (grid,) = numbers.grids(numbers.sweep_rows(runs))
    return grid


@pytest.fixture
def complete() -> list[RunRecord]:
    return [run_of(*place, number) for number, place in enumerate(itertools.product((1, 2, 3), (32, 64)))]


def test_a_grid_is_found_in_what_the_networks_change(complete: list[RunRecord]) -> None:
    grid = grid_of(*complete)
    assert (grid.base, grid.factors) == ("baseline", ("stride", "filters"))
    assert numbers.axes_of(grid) == ("stride", "filters")
    table = numbers.heat(grid.data, "stride", "filters")
    assert (list(table.columns), list(table.index)) == ([1, 2, 3], [32, 64])
    assert shown.grid_text(grid) == "6 networks change `stride` and `filters` of `baseline`: 6 runs on an unknown host."


def test_a_drift_of_the_machine_is_no_effect_of_a_factor(complete: list[RunRecord]) -> None:
    table = numbers.heat(grid_of(*complete).data, "stride", "filters")
    assert (table.loc[64, 1] / table.loc[64, 2], table.loc[64, 1] / table.loc[32, 1]) == pytest.approx((4, 2))
    beside_s = [run.latency.baseline_s[0][0] for run in complete]
    assert table.loc[64, 1] == pytest.approx(pd.Series(beside_s).median())


def test_what_explains_the_latency_is_told_to_the_digit(complete: list[RunRecord]) -> None:
    """ln 4 (-1, 0, 1) has the variance 2/3 ln(4)^2; ln 2 (-1/2, 1/2) has 1/4 ln(2)^2: 32 to 3."""
    found = numbers.explained(grid_of(*complete)).set_index("factor")
    assert list(found.index) == ["stride", "filters", numbers.REST]
    assert found["share"].tolist() == pytest.approx([32 / 35, 3 / 35, 0])
    assert found["slowest_over_fastest"].tolist()[:2] == pytest.approx([16, 2])
    assert shown.explained_text(numbers.explained(grid_of(*complete))) == (
        "Of the factors, `stride` explains most of the latency: 91% of the variance of its logarithm. All else being "
        "equal, its slowest level takes 16.00 times as long as its fastest."
    )


def test_of_two_runs_no_factor_can_be_told(complete: list[RunRecord]) -> None:
    found = numbers.explained(grid_of(*complete[:2]))
    assert found.empty
    assert shown.explained_text(found) == "The grid has too few runs to say which factor explains the latency."


def test_the_newest_run_of_a_network_counts() -> None:
    rows = numbers.sweep_rows([run_of(1, 64, 1), run_of(1, 64, 2)])
    assert rows["latency_s"].tolist() == pytest.approx([BASE_S * 1.01**2])


def test_a_batch_size_is_a_condition_and_a_factor(complete: list[RunRecord]) -> None:
    more = [run.model_copy(update={"batch_size": 1}) for run in complete]
    runs = [run for pair in zip(complete, more, strict=True) for run in pair]
    grid = grid_of(*runs)
    assert [held for held, _ in numbers.by_conditions(grid)] == [{"batch_size": 128}, {"batch_size": 1}]
    assert "batch_size" in set(numbers.explained(grid)["factor"])


def test_kinds_of_machine_stand_side_by_side_by_ratios_alone(complete: list[RunRecord]) -> None:
    other = make_machine("stock", cpu="Other", host="b")
    elsewhere = [run.model_copy(update={"machine": other}) for run in complete]
    grid = grid_of(*(run for pair in zip(complete, elsewhere, strict=True) for run in pair))
    assert len(grid.data) == 12
    here = "Made-up CPU, 2 cores"
    assert shown.grid_text(grid).endswith(
        "12 runs on 2 hosts (an unknown host and b). **They are 2 kinds of machine**: Made\\-up CPU, "
        "2 cores and Other, 2 cores. Latencies compare within one."
    )
    side = numbers.by_machine(grid)
    assert list(side.columns) == ["variant", "runtime", "batch_size", "threads", *sorted([here, "Other, 2 cores"])]
    assert side[here].tolist() == side["Other, 2 cores"].tolist()
    assert set(numbers.explained(grid)["machine"]) == {here, "Other, 2 cores"}
    assert numbers.by_machine(grid_of(*complete)).empty


def test_networks_with_weights_have_a_frontier(complete: list[RunRecord]) -> None:
    correct = {1: 9000, 2: 8000, 3: 8500}
    trained = [
        run.model_copy(update={"accuracy": make_accuracy(correct[int(run.name[15])])})
        for run in complete
        if run.name.endswith("64")
    ]
    grid = grid_of(*complete[::2], *trained)
    found = numbers.frontier_of(grid.data)
    assert dict(zip(found["variant"], found["dominated"], strict=True)) == {
        "baseline-stride1-filters64": False,
        "baseline-stride2-filters64": True,
        "baseline-stride3-filters64": False,
    }
    assert shown.frontier_missing_text(grid) == (
        "3 of 6 networks have initial weights, so no accuracy is known: `cnnprof train` takes files of `params/`."
    )


def test_layers_that_change_unlike_are_factors_of_their_own() -> None:
    variant = load_variant("filters32", PARAMS)
    assert numbers.levels_of(variant) == {"filters": 32}
    unlike = variant.model_copy(
        update={"change": {"conv1": {"filters": 32}, "conv2": {"filters": 16, "kernel": [3, 5]}}}
    )
    assert numbers.levels_of(unlike) == {"conv1.filters": 32, "conv2.filters": 16, "kernel": (3, 5)}


def test_the_chapter_is_there_only_with_a_sweep(tmp_path: Path, complete: list[RunRecord]) -> None:
    def parts() -> Iterator[object]:
        return sweep_parts(Study(Store(tmp_path)))

    assert list(parts()) == []
    for run in complete:
        write_run(Store(tmp_path), run)
    heading, text, heat, *rest = parts()
    assert (heading, str(text)[:10]) == ("## Sweeps", "6 networks")
    axis = heat.axes[0]  # type: ignore[attr-defined]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2", "3"]
    assert [text.get_text() for text in axis.texts][:3] == ["5.13", "1.28", "0.32"]
    assert len(rest) == 4
    plt.close("all")


def test_a_sweep_alone_is_a_study(tmp_path: Path, complete: list[RunRecord]) -> None:
    for run in complete:
        write_run(Store(tmp_path), run)
    study = Study(Store(tmp_path))
    assert len(study.overview()) == 6
    assert study.run("baseline-stride3-filters32").record.name == "baseline-stride3-filters32"
