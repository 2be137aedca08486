"""What is made of stored trainings: frames, curves, paired comparisons."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from cnnprof_lib.analysis.estimates import Estimate
from cnnprof_lib.analysis.training import numbers as training
from cnnprof_lib.analysis.training import shown as training_shown
from tests.builders import make_machine, make_thesis_training


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_results_have_a_row_per_training() -> None:
    older = make_thesis_training("stride5", recipe="short", settings=None, step_s=None)
    frame = training.trainings([make_thesis_training("baseline", correct=8600, seconds=25.0, step_s=0.1), older])
    first, second = frame.to_dict("records")
    assert (first["variant"], first["recipe"], first["seed"], first["steps"]) == ("baseline", "thesis", 1, 200)
    assert (first["seconds"], first["step_s"], first["training_s"]) == (25.0, 0.1, 20.0)
    assert (first["top1"], first["held_out_top1"]) == (0.86, 0.85)
    assert first["top1_low"] < 0.86 < first["top1_high"]
    assert np.isnan(second["step_s"])
    assert np.isnan(second["training_s"])


def test_curves_are_one_per_training_a_colour_per_variant_and_dashes_per_recipe(ax: Axes) -> None:
    records = [
        make_thesis_training("baseline", recipe="thesis"),
        make_thesis_training("baseline", recipe="fast"),
        make_thesis_training("stride5", recipe="fast"),
        make_thesis_training("stride5", recipe="fast", seed=2),
    ]
    training_shown.training_curves_figure(training.training_history(records), ax=ax)
    lines = [line for line in ax.get_lines() if len(line.get_xdata())]
    assert [line.get_xdata().tolist() for line in lines] == [[100, 200]] * 4
    assert [line.get_ydata().tolist() for line in lines] == [[60.0, 80.0]] * 4
    assert len({line.get_color() for line in lines}) == 2
    assert len({line.get_color() for line in lines[:2]}) == 1
    assert len({str(line._dash_pattern) for line in lines}) == 2  # what the line is drawn with has no other name
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "variant", "baseline", "stride5", "recipe", "thesis", "fast"
    ]  # fmt: skip
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("training step", "top-1 on the images held out [%]")
    assert ax.get_xscale() == "log"


def test_curves_leave_out_what_older_records_do_not_hold(ax: Axes) -> None:
    record = make_thesis_training("baseline")
    older = record.model_copy(
        update={"history": tuple(row.model_copy(update={"held_out_accuracy": None}) for row in record.history)}
    )
    both = training.training_history([older, make_thesis_training("stride5")])
    training_shown.training_curves_figure(both, ax=ax)
    assert [line.get_ydata().tolist() for line in ax.get_lines() if len(line.get_xdata())] == [[60.0, 80.0]]
    ax.clear()
    training_shown.training_curves_figure(training.training_history([older]), ax=ax)
    assert ax.get_ylabel() == "top-1 on the training batches [%]"
    ax.clear()
    training_shown.training_curves_figure(both, quantity="loss", ax=ax)
    assert [line.get_ydata().tolist() for line in ax.get_lines() if len(line.get_xdata())] == [[1.5, 1.0]] * 2
    assert ax.get_ylabel() == "loss on the training batches"


PUBLISHED = {"baseline": Estimate(0.288, 0.27, 0.306), "stride5": Estimate(0.018, 0.015, 0.021)}


def test_step_times_stand_beside_the_published_ones(ax: Axes) -> None:
    records = [
        make_thesis_training("baseline", step_s=0.2),
        make_thesis_training("stride5", step_s=0.01),
        make_thesis_training("stride5", step_s=0.03, seed=2),
        make_thesis_training("stride3", recipe="fast", step_s=0.04),
        make_thesis_training("stride2", recipe="short", step_s=None),
    ]
    assert (
        training_shown.step_times_figure(
            training.training_step_times(training.trainings(records), PUBLISHED, "baseline"), ax=ax
        )
        is ax
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == ["baseline", "stride3", "stride5"]
    assert {c.get_label(): c[0].get_xydata()[:, 0].round(6).tolist() for c in ax.containers} == {
        "recipe thesis": [200, 10],
        "recipe fast": [40],
        "thesis (published)": [288, 18],
    }
    rounding = ax.containers[-1][2][0].get_segments()
    assert [segment[:, 0].round(6).tolist() for segment in rounding] == [[270, 306], [15, 21]]
    assert [text.get_text() for text in ax.texts] == [
        "200.00ms",
        "10.00ms, 0.050 of the baseline's",
        "40.00ms",
        "288.00ms",
        "18.00ms, 0.062 of the baseline's",
    ]
    assert ax.get_xlabel() == "time per training step [ms]"


def test_comparable_are_trainings_on_a_machine_that_trained_the_baseline_too() -> None:
    records = [
        make_thesis_training("baseline", step_s=0.2),
        make_thesis_training("stride5", step_s=0.01),
        make_thesis_training("stride2", step_s=None),
        make_thesis_training("baseline", step_s=0.1, machine=make_machine(logical_cores=1)),
        make_thesis_training("stride5", recipe="fast", step_s=0.02),
    ]
    results = training.trainings(records)
    assert list(training.comparable_trainings(results, "baseline").index) == [0, 1]
    assert list(training.comparable_trainings(results[2:], "baseline").index) == [3, 4]
    assert training.comparable_trainings(results[2:3], "baseline").empty


def test_step_times_of_several_machines_are_drawn_apart(ax: Axes) -> None:
    records = [
        make_thesis_training("baseline", step_s=0.2, machine=make_machine(cpu="First")),
        make_thesis_training("stride5", step_s=0.01, machine=make_machine(cpu="First")),
        make_thesis_training("stride5", step_s=0.02, machine=make_machine(cpu="First", logical_cores=1)),
        make_thesis_training("stride3", step_s=0.04, machine=make_machine(cpu="First", onednn=True)),
    ]
    training_shown.step_times_figure(training.training_step_times(training.trainings(records), {}, "baseline"), ax=ax)
    assert {c.get_label(): c[0].get_xydata()[:, 0].round(6).tolist() for c in ax.containers} == {
        "recipe thesis, First, 2 cores, oneDNN off": [200, 10],
        "recipe thesis, First, 1 core, oneDNN off": [20],
        "recipe thesis, First, 2 cores": [40],
    }
    assert sorted(text.get_text() for text in ax.texts) == [
        "10.00ms, 0.050 of the baseline's",
        "20.00ms",
        "200.00ms",
        "40.00ms",
    ]
