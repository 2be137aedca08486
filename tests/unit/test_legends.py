"""No legend covers anything that is drawn: boxes of every figure that has one, at the size that the report gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from cnnprof_lib.analysis import frames
from cnnprof_lib.analysis.accuracy import shown as accuracy_shown
from cnnprof_lib.analysis.accuracy.frontier import PublishedRow, dominated, frontier
from cnnprof_lib.analysis.differences import numbers as diff
from cnnprof_lib.analysis.differences.shown import waterfall_figure
from cnnprof_lib.analysis.estimates import FEWEST, Estimate
from cnnprof_lib.analysis.frames import frame_of
from cnnprof_lib.analysis.machine import numbers as limits
from cnnprof_lib.analysis.machine import shown as machine
from cnnprof_lib.analysis.memory import numbers as memory
from cnnprof_lib.analysis.memory import shown as memory_shown
from cnnprof_lib.analysis.profile import shown as profile_shown
from cnnprof_lib.analysis.profile.shown_pair import side_by_side_figure
from cnnprof_lib.analysis.runtimes.numbers import by_runtime
from cnnprof_lib.analysis.training import numbers as training
from cnnprof_lib.analysis.training import shown as training_shown
from cnnprof_lib.analysis.trust import numbers as trust
from cnnprof_lib.analysis.trust import shown as trust_shown
from cnnprof_lib.analysis.variants import numbers as variants
from cnnprof_lib.analysis.variants import shown as variants_shown
from cnnprof_lib.page import style
from cnnprof_lib.params.runtimes import runtime_names
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.records.store import Store
from cnnprof_lib.thesis import strides
from tests.builders import RUNTIMES, make_accuracy, make_ops, make_record, make_roofline, make_thesis_training

VARIANTS = ("baseline", "filters32", "stride2", "stride3", "stride5", "pool-large", "stride2-filters32")


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with matplotlib.rc_context():
        style.use_style()
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def runs() -> list[RunRecord]:
    """Every variant in both runtimes, the faster the less accurate."""
    return [
        make_record(variant, runtime, accuracy=make_accuracy(8600 - 300 * place), reference_s=((0.01, 0.01),) * FEWEST)
        for runtime in RUNTIMES
        for place, variant in enumerate(VARIANTS)
    ]


def run_of(runs: Sequence[RunRecord], variant: str) -> tuple[RunRecord, pd.DataFrame]:
    run = next(run for run in runs if (run.variant.name, run.runtime) == (variant, "stock"))
    return run, make_ops(run)


def both(draw: Callable[..., Axes], data: pd.DataFrame) -> None:
    _, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5))
    draw(data, ax=left)
    draw(data, ax=right)


def wide(draw: Callable[..., Axes], *data: object, height: float = 4.0, **options: object) -> None:
    draw(*data, ax=plt.subplots(figsize=(9, height))[1], **options)


def draw_sweep(runs: Sequence[RunRecord]) -> None:
    data = variants.overview(runs)
    both(accuracy_shown.accuracy_figure, data.assign(dominated=dominated(data)))


def draw_answer(runs: Sequence[RunRecord]) -> None:
    """In as many runtimes as there are, each a little slower than the one before."""
    table = by_runtime([run for run in runs if run.runtime == "stock"], Store(Path("nowhere")))
    ratios = ["ratio", "ratio_low", "ratio_high"]
    every = [
        table.assign(runtime=name, **{each: table[each] * 1.2**place for each in ratios})
        for place, name in enumerate(runtime_names())
    ]
    rows = frontier(pd.concat(every, ignore_index=True), {}, "baseline")
    published = frame_of(PublishedRow, [PublishedRow("them", "stride2", 0.79, 0.2), PublishedRow("us", "level", 0.85)])
    accuracy_shown.answer_figure(rows, published, ax=plt.subplots(figsize=(12, 5.5))[1])


def draw_waterfall(runs: Sequence[RunRecord], after: str) -> None:
    data = diff.waterfall(*run_of(runs, "baseline"), *run_of(runs, after))
    wide(waterfall_figure, data, height=0.25 * len(data) + 1)


def draw_roofline(runs: Sequence[RunRecord], busy_percent: float) -> None:
    roof = make_roofline(busy_percent=busy_percent)
    wide(machine.roofline_figure, limits.under_roofline(*run_of(runs, "baseline"), roof), roof)


def draw_side_by_side(runs: Sequence[RunRecord]) -> None:
    wide(side_by_side_figure, *(frames.profile(*run_of(runs, variant)) for variant in ("baseline", "pool-large")))


def draw_step_times(_: Sequence[RunRecord]) -> None:
    trained = [make_thesis_training(variant, recipe=recipe) for variant in VARIANTS for recipe in ("thesis", "fast")]
    published = {variant: Estimate(0.1, 0.09, 0.11) for variant in VARIANTS}
    wide(
        training_shown.step_times_figure,
        training.training_step_times(training.trainings(trained), published, "baseline"),
    )


DRAWN: dict[str, Callable[[Sequence[RunRecord]], None]] = {
    "accuracy of a sweep": draw_sweep,
    "answer": draw_answer,
    "ratio": lambda runs: both(variants_shown.ratio_figure, variants.overview(runs)),
    "latency against stride": lambda runs: both(strides.latency_against_stride, strides.stride_table(runs)),
    "share against stride": lambda runs: both(strides.conv2d_share_against_stride, strides.stride_table(runs)),
    "op times": lambda runs: wide(profile_shown.op_times_figure, frames.ops(runs[:7])),
    "op bars": lambda runs: wide(profile_shown.op_bars_figure, frames.ops([runs[5], runs[12]])),
    "plot": lambda runs: wide(profile_shown.profile_figure, frames.ops(runs)),
    "overhead": lambda runs: wide(trust_shown.overhead_figure, trust.overhead(runs)),
    "memory": lambda runs: wide(memory_shown.memory_figure, memory.memory(runs[:7])),
    "waterfall of pool-large": lambda runs: draw_waterfall(runs, "pool-large"),
    "waterfall of stride2": lambda runs: draw_waterfall(runs, "stride2"),
    "roofline": lambda runs: draw_roofline(runs, 1.0),
    "roofline in doubt": lambda runs: draw_roofline(runs, 40.0),
    "side by side": draw_side_by_side,
    "training curves": lambda _: wide(
        training_shown.training_curves_figure, training.training_history([make_thesis_training()])
    ),
    "step times": draw_step_times,
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_legend_covers_nothing(name: str, runs: list[RunRecord]) -> None:
    DRAWN[name](runs)
    figure = plt.gcf()
    figure.canvas.draw()
    legends = [legend for ax in figure.axes if (legend := ax.get_legend())]
    assert legends
    for legend in legends:
        assert legend.get_texts()
        assert [what for what, box in boxes(figure) if Bbox.intersection(box, legend.get_window_extent())] == []


def boxes(figure: Figure) -> Iterator[tuple[str, Bbox]]:
    """The room of every plot and of all that is written in and around it, with what it is."""
    for ax in figure.axes:
        yield "plot", ax.get_window_extent()
        axes = (ax.xaxis, ax.yaxis)
        written = [ax.title, *ax.texts, *(axis.label for axis in axes), *(t for a in axes for t in a.get_ticklabels())]
        yield from ((text.get_text(), text.get_window_extent()) for text in written if text.get_text())
