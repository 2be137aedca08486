"""Two runs bar beside bar: what is drawn, in which order, and which differences are written."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from cnnprof_lib.analysis import colours, frames
from cnnprof_lib.analysis.profile.numbers import MOST_BARS
from cnnprof_lib.analysis.profile.shown import profile_figure
from cnnprof_lib.analysis.profile.shown_pair import side_by_side_figure
from tests.builders import Node, make_ops, make_record
from tests.networks import make_mobilenet, make_run

BEFORE = (
    Node("Conv2D", "conv1", 0.006, 2_000_000),
    Node("Relu", "conv1", 0.0008),
    Node("LRN", "norm1", 0.0012, 1_000_000),
    Node("Const", "", 0.00001),
    Node("NoOp", "", 0.00002),
)
AFTER = (Node("Conv2D", "conv1", 0.002, 500_000), Node("MaxPool", "pool1", 0.001, 500_000))


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def profile(
    variant: str, nodes: tuple[Node, ...], runtime: str = "unfused", run_id: str = "20261124T000000Z-0000"
) -> pd.DataFrame:
    record = make_record(variant, runtime, nodes=nodes, unattributed_s=0.001, run_id=run_id)
    return frames.profile(record, make_ops(record, nodes), by_node=True)


def rows_of(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def differences_of(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_position()[0] == 1.02]


def widths(ax: Axes) -> list[list[float]]:
    return [[round(bar.get_width(), 6) for bar in bars] for bars in ax.containers]


def test_the_longest_come_first_small_ones_are_one_and_differences_stand_beside(ax: Axes) -> None:
    assert side_by_side_figure(profile("baseline", BEFORE), profile("stride2", AFTER), ax=ax) is ax
    assert rows_of(ax) == ["Conv2D", "LRN", "unattributed", "MaxPool", "Relu", "2 others"]
    assert widths(ax) == [[6, 1.2, 1, 0, 0.8, 0.03], [2, 0, 1, 1, 0, 0]]
    assert differences_of(ax) == ["difference", "-4.00ms", "-1.20ms", "0us", "+1.00ms", "-800us", "-30us"]
    assert ax.get_title() == "From baseline to stride2: -5.03ms per step, unfused"
    assert ax.get_xlabel() == "time per step [ms]"
    assert ax.yaxis_inverted()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["baseline", "stride2"]
    for bars in ax.containers:
        assert [to_hex(bar.get_facecolor()) for bar in bars][:2] == [colours.OP_COLOURS[op] for op in ("Conv2D", "LRN")]


def test_layers_keep_their_order_and_what_is_no_layer_comes_last(ax: Axes) -> None:
    side_by_side_figure(profile("baseline", BEFORE), profile("stride2", AFTER), "requested_bytes", "layer", ax=ax)
    assert rows_of(ax) == ["conv1", "pool1", "norm1", "(no layer)", "unattributed"]
    assert widths(ax) == [[2, 0, 1, 0, 0], [0.5, 0.5, 0, 0, 0]]
    assert differences_of(ax)[1:] == ["-1.50MB", "+500.00KB", "-1.00MB", "0B", "0B"]
    assert ax.get_title() == "From baseline to stride2: -2.00MB per step, unfused"


def test_shares_are_those_of_each_runs_own_step(ax: Axes) -> None:
    before, after = profile("baseline", AFTER), profile("baseline", AFTER[:1], "stock")
    side_by_side_figure(before, after, share=True, ax=ax)
    assert rows_of(ax) == ["Conv2D", "MaxPool", "unattributed"]
    assert widths(ax) == [[50, 25, 25], [66.666667, 0, 33.333333]]
    assert differences_of(ax)[1:] == ["+16.7 points", "-25.0 points", "+8.3 points"]
    assert ax.get_title() == "From unfused to stock: what a step's time goes to"
    assert ax.get_xlabel() == "share of a step's time [%]"


def test_two_runs_of_one_variant_are_told_apart_by_their_ids(ax: Axes) -> None:
    first, second = (profile("baseline", AFTER, run_id=f"20261124T00000{n}Z-0000") for n in (0, 1))
    side_by_side_figure(first, second, ax=ax)
    assert ax.get_title() == (
        "From baseline · 20261124T000000Z-0000 to baseline · 20261124T000001Z-0000: 0us per step, unfused"
    )


def test_many_layers_are_drawn_as_the_largest_and_the_others(ax: Axes) -> None:
    before, after = (
        frames.profile(*make_run(make_mobilenet("mobilenetv2/", blocks)), by_node=True) for blocks in (16, 12)
    )
    side_by_side_figure(before, after, by="layer", ax=ax)
    drawn = rows_of(ax)
    assert len(drawn) == MOST_BARS
    assert drawn[0] == "…enetv2/block_9_expand"
    assert drawn[-1] == f"{131 - MOST_BARS + 1} others"
    assert [sum(lengths) for lengths in widths(ax)] == pytest.approx(
        [data["time_s"].sum() * 1e3 for data in (before, after)]
    )
    ax.clear()
    profile_figure(before, by="layer", ax=ax)
    assert len(rows_of(ax)) == MOST_BARS
    assert sum(widths(ax)[0]) == pytest.approx(before["time_s"].sum() * 1e3)
