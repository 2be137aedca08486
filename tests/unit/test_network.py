"""The picture of a network by what is drawn: boxes, texts, colours."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from cnnprof_lib.analysis.profile import numbers as profile
from cnnprof_lib.analysis.profile.shown_network import NETWORK_COLOURS, network_figure
from cnnprof_lib.analysis.variants.numbers import baseline_and_fastest
from cnnprof_lib.page import hover, style
from tests.builders import Node, make_ops, make_record

NODES = (
    Node("Conv2D", "conv1", 0.0095),
    Node("MaxPool", "pool1", 0.000125),
    Node("Const", "", 0.000125),
)
RECORD = make_record("stride5", nodes=NODES, unattributed_s=0.00025)
SHARES = {"conv1": 0.95, "pool1": 0.0125, "(no layer)": 0.0125, "unattributed": 0.025}
"""Of the step; layers that did not run take none of it."""


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, axes = plt.subplots(figsize=(6, 6.6))
    yield axes
    plt.close(figure)


def layers() -> pd.DataFrame:
    return profile.by_layer(RECORD, make_ops(RECORD, NODES))


def test_network_draws_a_box_for_each_layer_and_for_what_is_none(ax: Axes) -> None:
    table = layers()
    assert network_figure(RECORD.network, table, ax=ax) is ax
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    names = [*(layer.name for layer in RECORD.network.layers), "(no layer)", "unattributed"]
    shares = [SHARES.get(name, 0) for name in names]
    assert [box.get_gid() for box in boxes] == [
        f"{hover.HOVER}{name}: {share:.2%} of the step" for name, share in zip(names, shares, strict=True)
    ]
    colours = mpl.colormaps[NETWORK_COLOURS]
    assert [to_hex(box.get_facecolor()) for box in boxes] == [to_hex(colours(share)) for share in shares]
    assert [box.get_linestyle() for box in boxes] == ["-"] * len(RECORD.network.layers) + [":", ":"]
    assert ax.yaxis_inverted()
    assert [round(box.get_y() + box.get_height() / 2, 6) for box in boxes] == list(range(1, len(boxes) + 1))
    arrows = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == len(RECORD.network.layers)
    assert all(isinstance(arrow, FancyArrowPatch) for arrow in arrows)
    assert ax.get_title() == "Where a step of stride5 goes"


def test_network_writes_shapes_parameters_macs_and_shares(ax: Axes) -> None:
    network_figure(RECORD.network, layers(), ax=ax)
    texts = [text.get_text() for text in ax.texts if text.get_text()]
    assert texts[:8] == [
        "input",
        "24×24×3",
        "conv1",
        "5×5×64 · 4,864 parameters · 120.00k MACs",
        "95.0%",
        "pool1",
        "3×3×64",
        "1.2%",
    ]
    assert texts[-4:] == ["(no layer)", "1.2%", "unattributed", "2.5%"]


def test_network_says_which_layer_computes_a_fused_one(ax: Axes) -> None:
    fused = RECORD.model_copy(update={"fused_into": {"norm1": "conv1"}})
    network_figure(fused.network, profile.by_layer(fused, make_ops(fused, NODES)), ax=ax)
    assert [text.get_text() for text in ax.texts if "fused" in text.get_text()] == ["3×3×64 · fused into conv1"]


def test_network_writes_its_texts_so_that_they_can_be_read(ax: Axes) -> None:
    network_figure(RECORD.network, layers(), ax=ax)
    colours = {text.get_text(): text.get_color() for text in ax.texts}
    assert (colours["conv1"], colours["pool1"]) == ("white", "black")
    inside = ax.get_window_extent()
    ax.figure.canvas.draw()
    for text in ax.texts:
        if text.get_text():
            extent = text.get_window_extent()
            assert inside.x0 <= extent.x0 < extent.x1 <= inside.x1, text.get_text()


def test_the_baseline_stands_beside_the_fastest_of_its_runtime() -> None:
    runs = [make_record("baseline"), make_record("stride5"), make_record("stride2"), make_record("stride5", "stock")]
    assert baseline_and_fastest(runs) == runs[:2]
    assert baseline_and_fastest(runs[:1]) == runs[:1]
    assert baseline_and_fastest(runs[1:]) == runs[1:2]
    assert baseline_and_fastest([]) == []


@pytest.mark.parametrize(
    ("background", "text"), [("white", "black"), ("black", "white"), ("#757575", "white"), ("#767676", "black")]
)
def test_text_is_black_or_white_by_contrast(background: str, text: str) -> None:
    assert style.text_colour(background) == text
