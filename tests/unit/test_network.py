"""The picture of a network by what is drawn: boxes, texts and colours."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyBboxPatch

from cnnprof_lib.analysis import style, summary
from cnnprof_lib.analysis.hover import HOVER
from cnnprof_lib.analysis.network import COLOURS, network
from cnnprof_lib.params import load_variant
from tests.builders import PARAMS, Node, make_ops, make_record

NODES = (Node("Conv2D", "conv1", 0.006), Node("Const", "", 0.001), Node("MaxPool", "pool1", 0.001))


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def drawn(ax: Axes, name: str = "smoke") -> Axes:
    record = make_record(load_variant(name, PARAMS), nodes=NODES, unattributed_s=0.002)
    return network(record.variant, summary.layer_table(record, make_ops(record, NODES)), ax=ax)


def boxes(ax: Axes) -> list[FancyBboxPatch]:
    return [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]


def test_layers_stand_in_order_with_shape_parameters_macs_and_share(ax: Axes) -> None:
    assert drawn(ax) is ax
    assert [text.get_text() for text in ax.texts if text.get_text()] == [
        "input", "24×24×3",
        "conv1", "12×12×8 · 224 parameters · 31.10k MACs", "60.0%",
        "pool1", "6×6×8", "10.0%",
        "logits", "10 · 2,890 parameters · 2.88k MACs", "0.0%",
        "(no layer)", "10.0%",
        "unattributed", "20.0%",
    ]  # fmt: skip
    places = [box.get_y() for box in boxes(ax)]
    assert places == sorted(places)
    assert ax.yaxis_inverted()
    assert ax.get_title() == "Where a step of smoke goes"


def test_a_colour_is_the_share_and_the_same_in_all_pictures(ax: Axes) -> None:
    colours = matplotlib.colormaps[COLOURS]
    assert [box.get_facecolor() for box in boxes(drawn(ax))] == [
        pytest.approx(to_rgba(colours(share))) for share in (0.6, 0.1, 0.0, 0.1, 0.2)
    ]
    (bar,) = ax.child_axes
    assert (bar.get_xlim(), bar.get_xlabel()) == ((0, 1), "share of the profiled step")


def test_what_is_no_layer_is_dotted_and_outside_the_chain(ax: Axes) -> None:
    found = boxes(drawn(ax))
    assert [box.get_linestyle() for box in found] == ["-", "-", "-", ":", ":"]
    arrows = [text for text in ax.texts if not text.get_text() and getattr(text, "arrow_patch", None)]
    assert len(arrows) == 3


def test_a_box_tells_its_share(ax: Axes) -> None:
    assert boxes(drawn(ax))[0].get_gid() == f"{HOVER}conv1: 60.00% of the step"


@pytest.mark.parametrize(
    ("background", "text"),
    [("white", "black"), ("#fb6a4a", "black"), ("#67000d", "white"), ("black", "white"), ("#777777", "black")],
)
def test_text_is_black_or_white_by_contrast(background: str, text: str) -> None:
    assert style.text_colour(background) == text
