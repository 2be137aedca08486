"""Time of a training step: what is taken from records, what from the thesis, and what is drawn of it."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from cnnprof_lib.analysis.training_time import factors, step_times, training_time
from cnnprof_lib.training_records import HistoryRow, TrainingRecord
from tests.builders import make_thesis_training, make_training


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def timed(variant: str, step_s: float, *stretches_s: float, recipe: str = "fast") -> TrainingRecord:
    rows = tuple(
        HistoryRow(step=i, loss=1.0, accuracy=0.5, learning_rate=0.1, images_per_s=1.0, step_s=seconds)
        for i, seconds in enumerate(stretches_s or (step_s,), start=1)
    )
    return make_thesis_training(variant, recipe=recipe, step_s=step_s, history=rows)


def test_step_times_have_the_quartiles_of_the_stretches_and_then_the_thesis() -> None:
    frame = step_times([timed("stride5", 0.02), timed("baseline", 0.3, 0.1, 0.2, 0.3, 0.4, 0.5)])
    assert list(zip(frame["variant"], frame["source"], strict=True)) == [
        ("baseline", "recipe fast"),
        ("stride5", "recipe fast"),
        ("baseline", "thesis"),
        ("stride5", "thesis"),
    ]
    assert frame["step_s"].tolist() == pytest.approx([0.3, 0.02, 0.288, 0.018])
    assert frame["step_s_low"].tolist() == pytest.approx([0.2, 0.02, 0.27, 0.015])
    assert frame["step_s_high"].tolist() == pytest.approx([0.4, 0.02, 0.306, 0.021])
    assert not frame["pauses"].any()


def test_older_records_give_the_median_stretch_with_its_pauses() -> None:
    frame = step_times([make_training("stride2", step_s=(0.1, 0.2, 0.6))])
    (row,) = frame.to_dict("records")
    assert (row["variant"], row["pauses"], row["step_s"]) == ("stride2", True, pytest.approx(0.2))


def test_each_recipe_has_a_series_hollow_where_pauses_are_in_it(ax: Axes) -> None:
    older = make_training("baseline", step_s=(0.2, 0.2), recipe="fast")
    data = step_times([older, timed("stride5", 0.02), timed("stride5", 0.01, recipe="thesis")])
    assert training_time(data, ax=ax) is ax
    drawn = {c.get_label(): c[0] for c in ax.containers}
    assert {name: line.get_xdata().tolist() for name, line in drawn.items()} == {
        "recipe fast": pytest.approx([20]),
        "recipe fast, with pauses": pytest.approx([200]),
        "recipe thesis": pytest.approx([10]),
        "thesis (published)": pytest.approx([288, 18]),
    }
    hollow = [name for name, line in drawn.items() if line.get_markerfacecolor() == "white"]
    assert hollow == ["recipe fast, with pauses"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["baseline", "stride5"]
    assert ax.get_xlabel() == "time per training step of a batch [ms]"


def test_factors_compare_within_a_recipe_and_without_pauses() -> None:
    data = step_times(
        [
            timed("baseline", 0.3),
            timed("stride5", 0.02),
            timed("stride2", 0.06),
            timed("stride5", 0.01, recipe="thesis"),
            make_training("stride3", step_s=(0.001, 0.001), recipe="fast"),
        ]
    )
    assert factors(data) == (
        "- recipe fast: a step of `stride5` takes 1/15.0 of the baseline's.\n"
        "- thesis: a step of `stride5` takes 1/16.0 of the baseline's."
    )
