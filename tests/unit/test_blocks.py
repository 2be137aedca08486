"""Layers in blocks by their names, and what the picture of a large network makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from cnnprof_lib.analysis.profile import numbers as profile
from cnnprof_lib.analysis.profile.blocks import MOST_BLOCKS, blocks
from cnnprof_lib.analysis.profile.for_model_explorer import layer_graph
from cnnprof_lib.analysis.profile.picture import Link, lanes, links, network_height, picture_rows
from cnnprof_lib.analysis.profile.shown_network import network_figure
from cnnprof_lib.page import style
from cnnprof_lib.params.network import Network
from tests.builders import make_untraced
from tests.networks import (
    DENSENET121,
    EFFICIENTNETB0,
    INPUT,
    RESNET50,
    make_chain,
    make_layer,
    make_mobilenet,
    make_network,
    make_run,
)


def sizes(network: Network, most: int | None = None) -> dict[str, int]:
    """Layers in each block."""
    found = blocks(network, most)
    assert [name for block in found for name in block.layers] == [layer.name for layer in network.layers]
    return {block.name: len(block.layers) for block in found}


# Blocks by names


def test_the_blocks_of_mobilenetv2() -> None:
    numbered = {f"block_{i}": 8 - i % 2 for i in range(1, 17)}
    ends = {"Conv_1": 2, "out_relu": 1, "global_average_pooling2d": 1, "predictions": 1}
    starts = {"Conv1": 1, "bn_Conv1": 1, "Conv1_relu": 1, "expanded_conv": 2}
    assert sizes(make_mobilenet()) == {**starts, **numbered, **ends}


def test_the_blocks_of_a_network_inside_another_bear_its_path() -> None:
    inner = sizes(make_mobilenet("mobilenetv2/"))
    assert inner["mobilenetv2/block_1"] == 7
    assert (inner["mobilenetv2/Conv_1"], inner["mobilenetv2/expanded_conv"]) == (2, 2)
    assert "mobilenetv2" not in inner


def test_the_blocks_of_resnet50() -> None:
    found = sizes(make_chain(RESNET50))
    assert len(found) == 20
    assert list(found.items())[:4] == [("conv1", 4), ("pool1", 2), ("conv2_block1", 12), ("conv2_block2", 10)]
    assert list(found.items())[-3:] == [("conv5_block3", 10), ("avg_pool", 1), ("predictions", 1)]


def test_the_blocks_of_efficientnetb0() -> None:
    found = sizes(make_chain(EFFICIENTNETB0))
    assert list(found.items())[:6] == [
        *(("rescaling", 1), ("normalization", 1), ("stem", 4), ("block1a", 10), ("block2a", 13), ("block2b", 15))
    ]
    assert list(found.items())[-5:] == [
        *(("block7a", 13), ("top", 3), ("avg_pool", 1), ("top_dropout", 1), ("predictions", 1))
    ]


def test_the_blocks_of_densenet121_are_joined_where_they_are_too_many() -> None:
    network = make_chain(DENSENET121)
    found = sizes(network)
    assert (len(network.layers), len(found)) == (428, 69)
    assert (found["conv4_block24"], found["pool3"]) == (7, 4)
    assert sizes(network, MOST_BLOCKS) == {
        **{"zero_padding2d": 1, "conv1": 3, "zero_padding2d_1": 1, "pool1": 1, "conv2": 42, "pool2": 4, "conv3": 84},
        **{"pool3": 4, "conv4": 168, "pool4": 4, "conv5": 112, "bn": 1, "relu": 1, "avg_pool": 1, "predictions": 1},
    }


def test_paths_and_dots_are_folders() -> None:
    parts = ("conv1/Conv", "bn1/BatchNormalization", "relu/Relu", "conv2/Conv", "Add")
    names = [f"/layer{stage}/layer{stage}.{i}/{part}" for stage in (1, 2) for i in (0, 1) for part in parts]
    assert sizes(make_chain(names)) == {f"/layer{stage}/layer{stage}.{i}": 5 for stage in (1, 2) for i in (0, 1)}


def test_numbers_of_dimensions_and_of_equal_layers_make_no_block() -> None:
    names = ["conv2d", "conv2d_1", "dense", "dense_1", "max_pooling2d", "batch_normalization", "batch_normalization_1"]
    assert sizes(make_chain(names)) == dict.fromkeys(names, 1)


def test_a_word_that_all_names_begin_with_makes_no_block() -> None:
    """PyTorch's exporter names nodes by number: node_Conv_292, node_relu."""
    kinds = ("Conv", "Relu") * 20
    names = [f"node_{kind}_{i}" for i, kind in enumerate(kinds)]
    layers = [make_layer(n, b, type=k) for n, b, k in zip(names, [INPUT, *names], kinds, strict=False)]
    assert set(sizes(make_network(layers)).values()) == {1}


def test_where_names_tell_nothing_branches_do() -> None:
    """Inception: each module ends in the layer that joins its branches."""
    layers, before = [], INPUT
    for module in range(4):
        branches = [f"conv2d_{3 * module + i}" for i in range(3)]
        layers += [make_layer(name, before) for name in branches]
        before = f"mixed{module}"
        layers.append(make_layer(before, *branches, type="Concatenate"))
    network = make_network(layers)
    assert sizes(network) == {layer.name: 1 for layer in layers}
    assert sizes(network, 8) == {f"… mixed{module}": 4 for module in range(4)}


# The picture


@pytest.fixture
def ax() -> Iterator[Axes]:
    with matplotlib.rc_context():
        style.use_style()
        figure = plt.figure(figsize=(5, 10))
        yield figure.add_subplot()
        plt.close(figure)


def test_a_large_network_is_shown_by_blocks_with_the_longest_opened() -> None:
    network = make_mobilenet()
    table = profile.by_layer(*make_run(network))
    rows = picture_rows(network, table)
    opened = [row.name for row in rows if row.inside]
    assert opened == [*(f"block_16_{part}" for part in ("expand", "expand_BN", "expand_relu", "depthwise", "project")),
                      "others"]  # fmt: skip
    assert rows[[row.name for row in rows].index("others") - 6].name == "block_16"
    assert sum(row.time_share for row in rows if not row.inside) == pytest.approx(1)
    block, *inside = [row for row in rows if row.inside or row.name == "block_16"]
    assert sum(row.time_share for row in inside) == pytest.approx(block.time_share)
    assert block.macs == 3 * 16 * 64_000
    assert block.output_shape == (8, 8, 16)


def test_residual_additions_go_past_the_chain() -> None:
    network = make_mobilenet()
    rows = picture_rows(network, profile.by_layer(*make_run(network)))
    places = {row.name: i for i, row in enumerate(rows)}
    beside = [link for link in links(network, rows) if link.beside]
    assert beside == [Link(places[f"block_{i - 1}"], places[f"block_{i}"], True) for i in range(2, 17, 2)]
    assert set(lanes(beside).values()) == {0}
    chain = [link for link in links(network, rows) if not link.beside]
    assert len(chain) == sum(not row.inside for row in rows) - 1  # unattributed


def test_branches_of_a_small_network_are_arrows_beside_it(ax: Axes) -> None:
    layers = [make_layer("a", INPUT), make_layer("b", "a"), make_layer("c", INPUT), make_layer("sum", "b", "c", "a")]
    network = make_network(layers)
    table = profile.by_layer(*make_run(network))
    found = links(network, picture_rows(network, table))
    assert [link[:2] for link in found if not link.beside] == [(-1, 0), (0, 1), (2, 3)]
    beside = [link for link in found if link.beside]
    assert [link[:2] for link in beside] == [(-1, 2), (0, 3), (1, 3)]
    assert list(lanes(found).values()) == [0, 1, 2]
    network_figure(network, table, ax=ax)
    arrows = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == 3
    assert sum(isinstance(patch, FancyArrowPatch) for patch in ax.patches) == 3


def test_a_large_picture_has_room_for_its_texts(ax: Axes) -> None:
    network = make_mobilenet("mobilenetv2_1.00_224/")
    table = profile.by_layer(*make_run(network))
    assert network_height(network, table) == pytest.approx(0.24 * (24 + 6 + 1 + 3))
    network_figure(network, table, ax=ax)
    ax.figure.canvas.draw()
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == 24 + 6 + 1
    rows: dict[float, list[tuple[float, float]]] = {}
    for text in ax.texts:
        if text.get_text():
            extent = text.get_window_extent()
            rows.setdefault(round(text.get_position()[1], 3), []).append((extent.x0, extent.x1))
    for extents in rows.values():
        ordered = sorted(extents)
        assert all(left[1] < right[0] for left, right in pairwise(ordered))


@pytest.mark.parametrize("network", [make_mobilenet(), make_chain(["conv1", "pool1"])])
def test_a_run_that_was_not_traced_has_a_picture_without_shares(ax: Axes, network: Network) -> None:
    record = make_untraced(network=network)
    network_figure(network, profile.by_layer(record, pd.DataFrame()), ax=ax)
    texts = [text.get_text() for text in ax.texts if text.get_text()]
    assert texts[0] == "input"
    assert not any("%" in text for text in texts)
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    assert {to_hex(box.get_facecolor()) for box in boxes} == {"#ffffff"}
    assert len(boxes) == (24 if len(network.layers) > 2 else 2)
    assert {text.get_color() for text in ax.texts if text.get_text()} == {"black"}


def test_macs_that_cannot_be_counted_are_no_zero() -> None:
    layers = [make_layer("a", INPUT, macs=None), make_layer("b", "a", macs=None), make_layer("c", "b", macs=6)]
    network = make_network(layers)
    assert network.uncounted == ("a", "b")
    assert network.macs_per_image == 6
    rows = picture_rows(network, profile.by_layer(*make_run(network)))
    assert [row.macs for row in rows[:3]] == [None, None, 6]


def test_the_graph_for_model_explorer_has_a_folder_for_each_block() -> None:
    (graph,) = layer_graph(make_mobilenet("mobilenetv2/"))["graphs"]
    nodes = {node["id"]: node for node in graph["nodes"]}
    assert len(nodes) == 131
    added = nodes["layer:mobilenetv2/block_2_add"]
    assert (added["label"], added["namespace"]) == ("block_2_add", "mobilenetv2/block_2")
    assert [edge["sourceNodeId"] for edge in added["incomingEdges"]] == [
        *("layer:mobilenetv2/block_1_project_BN", "layer:mobilenetv2/block_2_project_BN")
    ]
    assert nodes["layer:mobilenetv2/Conv1"]["namespace"] == "mobilenetv2"
    read = {edge["sourceNodeId"] for node in nodes.values() for edge in node["incomingEdges"]}
    assert read <= nodes.keys()
    keys = {"id", "label", "namespace", "attrs", "incomingEdges"}  # it hangs where one is missing
    assert all(node.keys() == keys for node in nodes.values())
