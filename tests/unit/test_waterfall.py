"""The waterfall figure by what is drawn: bars, intervals, labels and colours, not pixels."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from cnnprof_lib.analysis import colours
from cnnprof_lib.analysis.differences import numbers as diff
from cnnprof_lib.analysis.differences.shown import CAUSE_LOOKS, waterfall_figure

CHANGES = (
    ("wide", diff.LATENCY, 14, 13, 15),
    ("conv1", diff.MACS, -4, -5, -3.5),
    ("conv1", diff.RATE, 1, 0.5, 1.5),
    ("pool1", diff.SIDE_OPS, -0.5, -0.75, 0),
    ("unattributed", diff.UNATTRIBUTED, 0.25, 0, 0.5),
    ("tracing", diff.TRACING, 0.0004, -1, 2),
    ("narrow", diff.LATENCY, 10.7504, 10, 11),
    ("difference", diff.DIFFERENCE, -3.2496, -4, -3),
)


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def table(changes: tuple[tuple[str, str, float, float, float], ...] = CHANGES) -> pd.DataFrame:
    """A waterfall from wide to narrow, of milliseconds."""
    columns = ["layer", "cause", "change_s", "change_s_low", "change_s_high"]
    data = pd.DataFrame(changes, columns=columns).assign(
        before="wide", after="narrow", smallest_ratio=np.nan, presence="both"
    )
    data[columns[2:]] /= 1e3
    return data.assign(before_runtime="stock", after_runtime="stock")


def bars(ax: Axes) -> list[tuple[float, float, float]]:
    """Height, start and signed length of each bar, from the top."""
    drawn = [(bar.get_y() + bar.get_height() / 2, bar.get_x(), bar.get_width()) for bar in ax.patches]
    return sorted(tuple(round(float(value), 6) for value in bar) for bar in drawn)  # type: ignore[misc]


def test_bars_lead_from_one_latency_to_the_other(ax: Axes) -> None:
    data = table()
    assert waterfall_figure(data, ax=ax) is ax
    assert diff.check_balance(data) is data
    assert bars(ax) == [
        (0, 0, 14),
        (1.5, 14, -4),
        (2.5, 10, 1),
        (4, 11, -0.5),
        (5.5, 10.5, 0.25),
        (7, 10.75, 0.0004),
        (8.5, 0, 10.7504),
    ]
    assert [length for _, _, length in bars(ax)] == pytest.approx(list(data["change_s"][:-1] * 1e3))
    assert ax.yaxis_inverted()


def test_each_layer_is_named_once_in_the_middle_of_its_bars(ax: Axes) -> None:
    waterfall_figure(table(), ax=ax)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert list(zip(names, ax.get_yticks(), strict=True)) == [
        ("wide", 0),
        ("conv1", 2),
        ("pool1", 4),
        ("unattributed", 5.5),
        ("tracing", 7),
        ("narrow", 8.5),
    ]


def test_intervals_stand_at_the_end_of_their_bars(ax: Axes) -> None:
    waterfall_figure(table(), ax=ax)
    (segments,) = [c.get_segments() for c in ax.containers[-1][2]]
    ends = [tuple(segment[:, 0].round(6)) for segment in segments]
    assert ends == [(13, 15), (9, 10.5), (10.5, 11.5), (10.25, 11), (10.5, 11), (9.75, 12.75), (10, 11)]


def test_bars_are_joined_and_labelled_with_their_change(ax: Axes) -> None:
    waterfall_figure(table(), ax=ax)
    joints = ax.collections[-1].get_segments()  # type: ignore[attr-defined]
    assert np.array(joints)[:, 0, 0] == pytest.approx([14, 10, 11, 10.5, 10.75, 10.7504])
    assert [text.get_text() for text in ax.texts] == [
        *("14.00ms", "-4.00ms", "+1.00ms", "-500us", "+250us", "0us", "10.75ms")
    ]
    assert ax.get_xlabel() == "time per step [ms]"


def test_colours_tell_the_causes_apart(ax: Axes) -> None:
    waterfall_figure(table(), ax=ax)
    by_height = sorted(ax.patches, key=lambda bar: bar.get_y())
    drawn = [to_hex(bar.get_facecolor()) for bar in by_height]
    runtime = colours.source_style("stock")["color"]
    causes = [CAUSE_LOOKS[cause]["facecolor"] for cause in (*diff.OF_NETWORKS, diff.UNATTRIBUTED, diff.TRACING)]
    assert drawn == [runtime, *causes, runtime]
    assert len(set(drawn)) == 6
    assert set(causes) <= set(colours.OP_COLOURS.values())


def test_the_legend_names_the_causes_that_are_there(ax: Axes) -> None:
    waterfall_figure(table((CHANGES[0], *CHANGES[3:])), ax=ax)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "side operations",
        "unattributed",
        "what tracing adds, taken out",
    ]


@pytest.mark.parametrize(
    ("difference", "title"),
    [
        ((-3.25, -4, -3), "Where narrow saves 3.25ms against wide, stock"),
        ((3.25, 3, 4), "Where narrow takes 3.25ms longer than wide, stock"),
        ((0.25, -1, 1), "No difference between wide and narrow can be told, stock"),
    ],
)
def test_the_title_says_what_is_learnt(ax: Axes, difference: tuple[float, float, float], title: str) -> None:
    waterfall_figure(table((*CHANGES[:-1], ("difference", diff.DIFFERENCE, *difference))), ax=ax)
    assert ax.get_title() == title


def test_nothing_is_cut_off_below_zero(ax: Axes) -> None:
    waterfall_figure(table(), ax=ax)
    assert ax.get_xlim()[0] == 0
    ax.clear()
    waterfall_figure(table((*CHANGES[:5], ("tracing", diff.TRACING, 0, -12, 2), *CHANGES[6:])), ax=ax)
    assert ax.get_xlim()[0] < -1.25


def test_an_interval_of_no_width_may_miss_its_value_by_a_rounding(ax: Axes) -> None:
    data = table()
    data["change_s_low"] = data["change_s_high"] = data["change_s"] + 1e-18
    waterfall_figure(data, ax=ax)
    (segments,) = [c.get_segments() for c in ax.containers[-1][2]]
    assert [float(np.ptp(segment[:, 0])) for segment in segments] == pytest.approx([0] * 7, abs=1e-12)
