"""Figures by what is drawn: lengths, positions, labels and colours, not pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from cnnprof_lib.analysis import colours, frames
from cnnprof_lib.analysis.accuracy import shown as accuracy_shown
from cnnprof_lib.analysis.accuracy.frontier import dominated
from cnnprof_lib.analysis.profile import shown as profile_shown
from cnnprof_lib.analysis.variants import numbers as variants
from cnnprof_lib.analysis.variants import shown as variants_shown
from cnnprof_lib.page import style
from cnnprof_lib.thesis import strides
from tests.builders import Node, make_accuracy, make_failure, make_ops, make_record

NODES = (
    Node("Conv2D", "conv1", 0.006, 2_000_000),
    Node("Relu", "conv1", 0.001),
    Node("Const", "", 0.0005),
    Node("Identity", "", 0.0005),
)
FUSED = (Node("Conv2D", "conv1", 0.003, 2_000_000, kernel="_FusedConv2D"),)
STEADY = ((0.010, 0.010),) * 6


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def labels_of(axis: matplotlib.axis.Axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def legend_of(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def widths(ax: Axes) -> dict[str, list[float]]:
    """Lengths of the bars of each series, rounded."""
    return {str(c.get_label()): [round(bar.get_width(), 6) for bar in c] for c in ax.containers}


def ops_of(*records: frames.Record) -> pd.DataFrame:
    return frames.ops(list(records))


def test_op_times_stacks_the_ops_of_each_variant_and_pools_the_rest(ax: Axes) -> None:
    other = (Node("Conv2D", "conv1", 0.001),)
    data = ops_of(
        make_record("baseline", nodes=NODES, unattributed_s=0.002),
        make_record("stride2", nodes=other, unattributed_s=0.003),
    )
    assert profile_shown.op_times_figure(data, ax=ax) is ax
    assert labels_of(ax.yaxis) == ["baseline", "stride2"]
    assert ax.yaxis_inverted()
    assert widths(ax) == {
        "Conv2D": [6, 1],
        "Relu": [1, 0],
        "other ops": [1, 0],
        "unattributed": [2, 3],
    }
    assert [round(bar.get_x(), 6) for bar in ax.containers[-1]] == [8, 1]
    assert [to_hex(c[0].get_facecolor()) for c in ax.containers] == [
        colours.OP_COLOURS[op] for op in ("Conv2D", "Relu", "other ops", "unattributed")
    ]
    assert [text.get_text() for text in ax.texts] == ["10.00ms", "4.00ms"]
    assert ax.get_title() == "Where the time of a step goes, unfused"
    assert ax.get_xlabel() == "time per profiled step [ms]"


def test_op_times_as_shares_fill_the_step(ax: Axes) -> None:
    data = ops_of(make_record(nodes=NODES, unattributed_s=0.002))
    profile_shown.op_times_figure(data, share=True, legend=False, ax=ax)
    assert widths(ax) == {"Conv2D": [60], "Relu": [10], "other ops": [10], "unattributed": [20]}
    assert ax.get_xlabel() == "share of the profiled step [%]"
    assert ax.get_xlim() == (0, 100)
    assert legend_of(ax) == []


def test_op_bars_sets_the_runtimes_side_by_side(ax: Axes) -> None:
    data = ops_of(make_record(nodes=NODES, unattributed_s=0.002), make_record("baseline", "stock", nodes=FUSED))
    profile_shown.op_bars_figure(data, ax=ax)
    assert labels_of(ax.yaxis) == ["Conv2D", "unattributed", "Relu", "other ops"]
    assert widths(ax) == {"unfused": [6, 2, 1, 1], "stock": [3, 1, 0, 0]}
    assert [text.get_text() for text in ax.texts] == [
        "6.00ms",
        "2.00ms",
        "1.00ms",
        "1.00ms",
        "3.00ms",
        "1.00ms",
        "",
        "",
    ]
    assert legend_of(ax) == ["unfused", "stock"]
    unfused, stock = ax.containers
    assert to_hex(unfused[0].get_facecolor()) == to_hex(stock[0].get_facecolor()) == colours.OP_COLOURS["Conv2D"]
    assert (unfused[0].get_hatch(), stock[0].get_hatch()) == (None, "///")


@pytest.mark.parametrize(
    ("draw", "unfused", "published"),
    [
        (strides.latency_against_stride, [10, 5], [55.996, 10.141]),
        (strides.conv2d_share_against_stride, [75, 75], [72.02, 64.67]),
    ],
)
def test_stride_figures_draw_ours_as_lines_and_the_published_as_markers(
    ax: Axes, draw: Callable[..., Axes], unfused: list[float], published: list[float]
) -> None:
    half = ((0.005, 0.005),) * 6
    records = [make_record("baseline", nodes=NODES, plain_s=STEADY), make_record("stride2", nodes=NODES, plain_s=half)]
    draw(strides.stride_table(records), ax=ax)
    drawn = {line.get_label(): line for line in ax.lines}
    assert list(drawn) == ["unfused", "thesis (published)"]
    assert list(drawn["unfused"].get_xdata()) == [1, 2]
    assert list(drawn["unfused"].get_ydata()) == pytest.approx(unfused)
    assert list(drawn["thesis (published)"].get_ydata()) == pytest.approx(published)
    assert [line.get_linestyle() for line in ax.lines] == ["-", "None"]
    assert drawn["thesis (published)"].get_color() == colours.source_style("thesis")["color"]
    assert ax.get_xlabel() == "stride of both convolutions [pixels]"


def test_accuracy_against_latency_marks_what_was_not_measured(ax: Axes) -> None:
    overview = variants.overview(
        [
            make_record("baseline", plain_s=STEADY, baseline_s=STEADY, accuracy=make_accuracy(8600)),
            make_record(
                "stride2",
                plain_s=((0.001, 0.001),) * 6,
                baseline_s=STEADY,
                accuracy=make_accuracy(7960, measured=False),
            ),
            make_record("stride3", plain_s=STEADY),
            make_failure("stride5"),
        ]
    )
    data = overview.dropna(subset=["top1"])
    accuracy_shown.accuracy_figure(data.assign(dominated=dominated(data)), ax=ax)
    measured = ax.containers[0]
    assert [c.get_label() for c in ax.containers] == ["unfused, accuracy measured", "unfused, accuracy recorded"]
    assert [c[0].get_xydata().round(6).tolist() for c in ax.containers] == [[[10, 86]], [[1, 79.6]]]
    assert [[bars.get_linestyle()[0][1] is None for bars in c[2]] for c in ax.containers] == [[True] * 2, [False] * 2]
    low, high = measured[2][1].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((85.3061, 86.6663), abs=1e-4)
    assert [text.get_text() for text in ax.texts] == ["baseline", "stride2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latency per step [ms]", "top-1 accuracy [%]")


def test_accuracy_against_latency_marks_the_frontier_and_what_is_dominated(ax: Axes) -> None:
    def measured(name: str, seconds: float, correct: int) -> frames.Record:
        plain_s = ((seconds,) * 2,) * 6
        return make_record(name, plain_s=plain_s, baseline_s=STEADY, accuracy=make_accuracy(correct))

    runs = [measured("baseline", 0.01, 8600), measured("stride2", 0.002, 7900), measured("stride3", 0.001, 8000)]
    data = variants.overview(runs)
    accuracy_shown.accuracy_figure(data.assign(dominated=dominated(data)), ax=ax)
    (steps,) = (line for line in ax.lines if line.get_label() == "efficient frontier")
    assert steps.get_xydata().round(6).tolist() == [[1, 80], [10, 86]]
    assert steps.get_drawstyle() == "steps-post"
    on_it, beaten = ax.containers
    assert beaten[0].get_xydata().round(6).tolist() == [[2, 79]]
    assert (on_it[0].get_markerfacecolor(), beaten[0].get_markerfacecolor()) == (on_it[0].get_color(), "white")
    assert sorted(legend_of(ax)) == ["dominated", "efficient frontier", "unfused, accuracy measured"]


def test_names_of_neighbouring_points_cover_neither_points_nor_names(ax: Axes) -> None:
    ax.set(xlim=(0, 100), ylim=(0, 100))
    style.label_points(
        ax, [(50, 50, "alone"), (10, 50, "alone"), (30, 20, "left"), (32, 20, "right"), (31, 21, "over")]
    )
    assert {text.get_text(): (text.xy, text.xyann) for text in ax.texts} == {
        "alone": ((50, 50), (8, 0)),
        "left": ((30, 20), (-8, 0)),
        "right": ((32, 20), (8, 0)),
        "over": ((31, 21), (8, 11)),
    }


def test_ratio_to_baseline_draws_value_and_interval(ax: Axes) -> None:
    plain_s = tuple((0.010 + 0.001 * i,) * 2 for i in range(-1, 6))
    overview = variants.overview(
        [
            make_record("baseline", plain_s=STEADY, baseline_s=STEADY),
            make_record("stride2", plain_s=plain_s, baseline_s=((0.024, 0.024),) * 7),
            make_record("stride2", "stock", plain_s=STEADY, baseline_s=((0.020, 0.020),) * 6),
            make_failure("stride3"),
        ]
    )
    variants_shown.ratio_figure(overview, ax=ax)
    assert labels_of(ax.yaxis) == ["baseline", "stride2"]
    unfused, stock = ax.containers
    assert unfused[0].get_xdata().tolist() == [1, 0.5]
    assert stock[0].get_xdata().tolist() == [0.5]
    segment = unfused[2][0].get_segments()[1][:, 0]
    assert segment.tolist() == pytest.approx([overview["ratio_low"][1], overview["ratio_high"][1]])
    assert [text.get_text() for text in ax.texts] == ["1.00", "0.50", "0.50"]


def test_step_distribution_draws_every_step_and_the_medians(ax: Axes) -> None:
    record = make_record(nodes=NODES, unattributed_s=0.004, plain_s=((0.009, 0.010), (0.011, 0.013)))
    profile_shown.step_distribution_figure(frames.steps([record]), ax=ax)
    assert labels_of(ax.yaxis) == ["plain", "profiled"]
    drawn = [sorted(dots.get_offsets()[:, 0].round(6)) for dots in ax.collections]
    assert drawn == [[9, 10, 11, 13], [12, 12, 12, 12]]
    assert [text.get_text() for text in ax.texts] == ["10.50ms", "12.00ms"]
    assert ax.get_title() == "Steps of baseline, unfused"


def profiles() -> pd.DataFrame:
    unfused = make_record("baseline", nodes=NODES, unattributed_s=0.002)
    stock = make_record("baseline", "stock", nodes=FUSED, unattributed_s=0.002)
    pairs = ((unfused, NODES), (stock, FUSED))
    return pd.concat([frames.profile(record, make_ops(record, nodes)) for record, nodes in pairs])


def test_plot_draws_one_run_in_the_colours_of_its_ops(ax: Axes) -> None:
    data = profiles()
    profile_shown.profile_figure(data[data["runtime"] == "unfused"], ax=ax)
    assert labels_of(ax.yaxis) == ["Conv2D", "unattributed", "Relu", "Const", "Identity"]
    assert [round(bar.get_width(), 6) for bar in ax.patches] == [6, 2, 1, 0.5, 0.5]
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [
        colours.OP_COLOURS[op] for op in ("Conv2D", "unattributed", "Relu", "other ops", "other ops")
    ]
    assert (ax.get_title(), ax.get_xlabel()) == ("baseline · unfused", "time per step [ms]")


def test_plot_gives_each_run_bars_of_its_own(ax: Axes) -> None:
    profile_shown.profile_figure(profiles(), "requested_bytes", by="layer", ax=ax)
    assert labels_of(ax.yaxis) == ["conv1", "(no layer)", "unattributed"]
    assert legend_of(ax) == ["unfused", "stock"]
    assert [[round(bar.get_width(), 6) for bar in c] for c in ax.containers] == [[2, 0, 0], [2, 0, 0]]
    assert (ax.get_title(), ax.get_xlabel()) == ("baseline", "requested bytes per step [MB]")


def test_plot_as_shares_fills_the_step_of_each_run(ax: Axes) -> None:
    profile_shown.profile_figure(profiles(), by="layer", share=True, ax=ax)
    assert [[round(bar.get_width(), 6) for bar in c] for c in ax.containers] == [[70, 10, 20], [60, 0, 40]]
    assert ax.get_xlabel() == "share of a step's time [%]"


def test_plot_writes_the_numbers_of_a_single_run(ax: Axes) -> None:
    data = profiles()
    profile_shown.profile_figure(data[data["runtime"] == "stock"], ax=ax)
    assert [text.get_text() for text in ax.texts] == ["3.00ms", "2.00ms"]


def test_figures_draw_on_the_current_axes_unless_told(ax: Axes) -> None:
    plt.sca(ax)
    assert profile_shown.profile_figure(profiles()) is ax


def test_ops_have_colours_of_their_own() -> None:
    assert len(set(colours.OP_COLOURS.values())) == len(colours.OP_COLOURS)
