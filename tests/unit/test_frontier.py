"""Which network to take in which runtime: what no other beats, what 95% allows for a loss, and how it is shown."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cnnprof_lib.analysis.accuracy import frontier, shown
from cnnprof_lib.analysis.accuracy.frontier import PublishedRow
from cnnprof_lib.analysis.estimates import proportion
from cnnprof_lib.analysis.frames import frame_of
from cnnprof_lib.analysis.runtimes.numbers import RuntimeRow, by_runtime
from cnnprof_lib.app.answer_sections import answer_parts
from cnnprof_lib.app.study import Study
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.records.run_store import TracedFiles
from cnnprof_lib.records.store import Store
from cnnprof_lib.records.trained_store import packed_outcomes
from tests.builders import make_accuracy, make_ops, make_record, write_run

IMAGES = 10_000
Cell = tuple[str, str, float, int, int]
"""Network, runtime, ratio; images that only the baseline and only the network gets right."""


def outcome(only_base: int = 0, only_network: int = 0, images: int = IMAGES) -> pd.DataFrame:
    """Of images that the baseline gets right in the first 80%."""
    right = int(0.8 * images)
    predicted = np.where(np.arange(images) < right, 0, 9)
    predicted[:only_base] = 9
    predicted[right : right + only_network] = 0
    return pd.DataFrame({"predicted": predicted, "label": 0})


def row_of(name: str, runtime: str, ratio: float, found: pd.DataFrame, **changes: object) -> RuntimeRow:
    top1 = proportion(int((found["predicted"] == found["label"]).sum()), len(found))
    ends = {"top1": top1.value, "top1_low": top1.low, "top1_high": top1.high, "reference": "baseline"}
    return RuntimeRow(
        name, runtime, "", "float32", 0.01 * ratio, ratio, 0.9 * ratio, 1.1 * ratio, **{**ends, **changes}
    )


def rows_of(*cells: Cell, images: int = IMAGES) -> pd.DataFrame:
    """The baseline in stock and others."""
    both = (("baseline", "stock", 1.02, 0, 0), *cells)
    scored = {(name, runtime): outcome(*counts, images) for name, runtime, _, *counts in both}
    table = frame_of(RuntimeRow, [row_of(*cell[:3], scored[cell[:2]]) for cell in both])
    return frontier.frontier(table, scored, "baseline")


def test_all_are_set_against_the_baseline_in_the_reference_runtime() -> None:
    rows = rows_of(("baseline", "fast", 0.5, 10, 0), ("stride2", "fast", 0.05, 700, 300))
    assert list(rows["is_base"]) == [True, False, False]
    assert list(rows["ratio"]) == [1.0, 0.5, 0.05]  # its own ratio is noise
    assert rows["ratio_low"].isna().tolist() == [True, False, False]
    assert list(rows["loss"]) == pytest.approx([0.0, 0.001, 0.04])
    assert (rows["loss_low"][2], rows["loss_high"][2]) == pytest.approx((0.0338, 0.0462), abs=1e-4)
    assert list(rows["images"]) == [IMAGES] * 3


def test_a_row_is_dominated_by_one_of_any_runtime() -> None:
    rows = rows_of(
        ("stride2", "stock", 0.2, 500, 0), ("stride3", "fast", 0.1, 400, 0), ("stride5", "fast", 0.05, 900, 0)
    )
    assert list(rows["dominated"]) == [False, True, False, False]


def test_rows_that_do_not_compare_are_left_out() -> None:
    found = outcome()
    table = frame_of(
        RuntimeRow,
        [
            row_of("baseline", "stock", 1.0, found),
            row_of("mine", "stock", 0.1, found, reference="mine"),
            row_of("stride2", "stock", 0.2, found, top1=np.nan),
            row_of("stride3", "stock", 0.2, found),
        ],
    )
    others = {("baseline", "stock"): found, ("stride3", "stock"): found.assign(label=3)}
    rows = frontier.frontier(table, others, "baseline")
    assert list(rows["variant"]) == ["baseline", "stride3"]
    assert rows["loss"].isna().tolist() == [False, True]  # it was scored on other images
    assert frontier.choices(rows).empty
    assert frontier.answer(frontier.choices(rows)) is None
    assert frontier.frontier(table, {}, "baseline")["loss"].isna().all()
    assert frontier.frontier(table, others, None).empty


def test_equal_latencies_and_accuracies_do_not_dominate_each_other() -> None:
    data = pd.DataFrame({"runtime": "stock", "machine": "", "latency_s": [1.0, 2, 1, 1], "top1": [0.8, 0.8, 0.8, 0.7]})
    assert list(frontier.dominated(data)) == [False, True, False, True]
    assert list(frontier.dominated(data.assign(runtime=["a", "b", "c", "d"]))) == [False] * 4


SEVERAL: tuple[Cell, ...] = (
    ("baseline", "fast", 0.5, 5, 5),
    ("filters32", "fast", 0.2, 220, 100),
    ("stride2", "fast", 0.05, 900, 100),
    ("stride2", "stock", 0.15, 900, 100),
)


def test_the_fastest_network_and_runtime_within_each_limit() -> None:
    choices = frontier.choices(rows_of(*SEVERAL), (0, 0.5, 1, 2, 10))
    assert list(zip(choices["variant"], choices["runtime"], strict=True)) == [
        ("baseline", "stock"),
        ("baseline", "fast"),
        ("baseline", "fast"),
        ("filters32", "fast"),
        ("stride2", "fast"),
    ]
    assert list(choices["undecided"]) == ["baseline in fast", "", "filters32 in fast", "", ""]


def test_a_slower_one_is_never_chosen() -> None:
    choices = frontier.choices(rows_of(("stride2", "fast", 1.2, 0, 500)), (0, 2))
    assert list(choices["variant"]) == ["baseline", "baseline"]
    assert list(choices["undecided"]) == ["", ""]


def test_more_images_settle_what_fewer_leave_open() -> None:
    few = frontier.choices(rows_of(("filters32", "fast", 0.45, 22, 14), images=1000), (1.0,))
    many = frontier.choices(rows_of(("filters32", "fast", 0.45, 2200, 1400), images=100_000), (1.0,))
    assert (few["variant"][0], few["undecided"][0]) == ("baseline", "filters32 in fast")
    assert (many["variant"][0], many["undecided"][0]) == ("filters32", "")


def cells(choices: pd.DataFrame) -> list[list[str]]:
    """Caption and rows of the table of choices."""
    html = shown.choice_table(choices).to_html()
    rows = re.findall(r"<tr>(.*?)</tr>", html, flags=re.DOTALL)
    return [re.findall(r"<caption>(.*?)</caption>", html)] + [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL) for row in rows
    ]


def test_a_choice_as_a_table() -> None:
    assert cells(frontier.choices(rows_of(*SEVERAL), (0.5, 1, 2))) == [
        ["The fastest network and runtime for the loss of accuracy that you accept, against the baseline in stock on "
         "the same 10,000 test images. The whole interval of the loss is within what you accept"],
        ["", "latency / baseline in stock", "points lost", ""],
        [
            "loss you accept [points]", "network", "runtime", "median", "95% interval", "times faster", "measured",
            "95% interval", "fastest that the images do not decide",
        ],
        ["0.5", "baseline", "fast", "0.500", "0.450 – 0.550", "2.0", "0.0", "-0.1 – 0.1", ""],
        ["1", "baseline", "fast", "0.500", "0.450 – 0.550", "2.0", "0.0", "-0.1 – 0.1", "filters32 in fast"],
        ["2", "filters32", "fast", "0.200", "0.180 – 0.220", "5.0", "1.2", "0.8 – 1.6", ""],
    ]  # fmt: skip
    assert len(cells(frontier.choices(rows_of(*SEVERAL), (2,)))[-1]) == 8  # no column where nothing is open


def test_the_answer_in_words() -> None:
    def sentence(*others: Cell) -> str:
        chosen = frontier.answer(frontier.choices(rows_of(*others)))
        assert chosen
        return shown.answer_text(chosen, "baseline")

    assert sentence(*SEVERAL) == (
        "**`baseline` in `fast` is 2.0 times as fast as `baseline` in `stock`**: it takes 0.500 of the latency (95% "
        "interval 0.450 to 0.550) and loses 0.0 points of accuracy (95% interval -0.1 to 0.1). Nothing faster is known "
        "to lose at most 1 point."
    )
    assert " and gains 2.0 points of accuracy (95% interval 1.6 to 2.4). Nothing" in sentence(
        ("filters32", "fast", 0.2, 100, 300)
    )
    assert sentence(("stride2", "fast", 0.05, 900, 100)) == (
        "Nothing that is faster than `baseline` in `stock` is known to lose at most 1 point of accuracy."
    )


def test_the_figure_names_each_network_once_and_draws_what_others_printed() -> None:
    published = frame_of(PublishedRow, [PublishedRow("them", "stride2", 0.7, 0.1), PublishedRow("us", "level", 0.85)])
    ax = Figure(figsize=(12, 5)).subplots()
    assert shown.answer_figure(rows_of(*SEVERAL), published, ax=ax) is ax
    names = ["level: 85%", "stride2, printed", "baseline", "filters32", "stride2"]
    assert sorted(text.get_text() for text in ax.texts) == sorted(names)
    by_name = {text.get_text(): text.xy for text in ax.texts}
    assert by_name["baseline"] == (0.5, pytest.approx(80.0))  # its fastest runtime
    assert by_name["stride2"] == (0.05, pytest.approx(72.0))
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["efficient frontier"].get_xydata().tolist() == [[0.05, 72], [0.2, pytest.approx(78.8)], [0.5, 80]]
    assert lines["them"].get_markerfacecolor() == "white"
    assert ax.get_legend_handles_labels()[1] == ["efficient frontier", "stock", "fast", "them"]
    told = [line.get_gid() for line in ax.lines if line.get_gid()]
    assert "hover:stride2 in fast: ratio 0.050, top-1 72.00%" in told
    assert len(told) == 5


def test_the_ticks_are_the_fractions_that_one_says() -> None:
    ax = shown.answer_figure(rows_of(*SEVERAL), ax=Figure(figsize=(12, 5)).subplots())
    texts = [ax.xaxis.get_major_formatter()(value) for value in (0.05, 0.5, 1, 2)]
    assert texts == ["1/20", "1/2", "1", "2"]


def test_the_figure_takes_the_current_axes() -> None:
    assert shown.answer_figure(rows_of(*SEVERAL)) is plt.gca()
    plt.close()


# The section


def keep(store: Store, run: RunRecord, found: pd.DataFrame) -> None:
    outcomes = packed_outcomes(found["predicted"].to_numpy(np.int32), found["label"].to_numpy(np.int32))
    store.write_run(run, TracedFiles(make_ops(run), "", b""), outcomes)


def run_of(name: str, runtime: str, ratio: float, correct: int = 8000) -> RunRecord:
    blocks = ((0.01 * ratio,),) * 6
    return make_record(
        name, runtime, plain_s=blocks, reference_s=((0.01,),) * 6, accuracy=make_accuracy(correct, IMAGES)
    )


def test_the_section_of_a_whole_study(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, run_of("baseline", "stock", 1.0), outcome())
    keep(store, run_of("filters32", "stock", 0.4, 7990), outcome(40, 30))
    text, figure, table, forgotten, folded = answer_parts(Study(store), None)
    plt.close(figure)
    assert str(text).startswith("**`filters32` in `stock` is 2.5 times as fast as `baseline` in `stock`**")
    assert table.caption.startswith("The fastest network and runtime")
    assert str(forgotten).startswith(
        "`filters32` in `stock` and `baseline` in `stock` disagree on 70 of 10,000 test im"
    )
    assert "By class: baseline in stock before, filters32 in stock after" in folded.data


def test_runs_of_before_there_was_a_reference_cost_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("baseline", "stride2"):
        write_run(store, make_record(name, "stock", accuracy=make_accuracy()))
    assert by_runtime(Study(store).runs, store).empty
    assert list(answer_parts(Study(store), None)) == [shown.NO_FRONTIER]


def test_runs_without_the_answers_to_each_image_have_a_figure_and_a_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("baseline", "stride2"):
        write_run(store, run_of(name, "stock", 0.5))
    text, figure = answer_parts(Study(store), None)
    plt.close(figure)
    assert text == shown.NO_CHOICE
