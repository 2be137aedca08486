"""What the picture of a network shows: its rows, each a layer or a block of layers, and which row reads which."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from ...params.network import Network, NetworkLayer, Shape
from .blocks import MOST_BLOCKS, Block, blocks, is_long

_MOST_INSIDE = 5
"""Rows of the block that is opened, the longest of it."""

_LEAST_INCHES, _INCHES_A_ROW = 6.6, 0.24
"""Of height, of a whole picture and of a row of a large one."""


class Row(NamedTuple):
    """A layer, a block of layers, or what is no layer of the network, and its part of the step."""

    name: str
    time_share: float
    """Of the profiled step."""
    layers: tuple[NetworkLayer, ...]
    """Those together in this row; none in what is no layer."""
    fused_into: str = ""
    """The layer whose kernel computes this one, of a single layer."""
    inside: bool = False
    """Whether it is part of the row above that is not, whose share holds its own."""

    @property
    def output_shape(self) -> Shape:
        """What leaves the last of its layers."""
        return self.layers[-1].output_shape

    @property
    def parameters(self) -> int:
        """Of all its layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int | None:
        """Of its layers in which they can be counted; None where that is none of them."""
        known = [layer.macs for layer in self.layers if layer.macs is not None]
        return sum(known) if known else None


class Link(NamedTuple):
    """An arrow between two rows, by their places; -1 is the network's input."""

    source: int
    target: int
    beside: bool
    """Whether it goes past the chain: over rows, or to a later layer of a row whose first one reads the same."""


def network_height(network: Network, layers: pd.DataFrame) -> float:
    """Inches of height that hold the texts of a picture; arguments as for `picture_rows`."""
    rows = len(picture_rows(network, layers)) if is_long(network) else 0
    return max(_LEAST_INCHES, _INCHES_A_ROW * (rows + 3))


def picture_rows(network: Network, layers: pd.DataFrame) -> list[Row]:
    """The layers of a network, or its blocks with the longest of them opened, then what is no layer.

    Args:
        network: The network.
        layers: From `numbers.by_layer`, of a run of it.

    Returns:
        Rows whose shares add up to the step, without those ``inside``.
    """
    shares = dict(zip(layers["layer"], layers["time_share"], strict=True))
    fused = dict(zip(layers["layer"], layers["fused_into"], strict=True))
    costs = {layer.name: layer for layer in network.layers}

    def row(block: Block, *, inside: bool = False) -> Row:
        share = math.fsum(shares.get(name, 0.0) for name in block.layers)
        into = fused.get(block.layers[0], "") if len(block.layers) == 1 else ""
        return Row(block.name, share, tuple(costs[name] for name in block.layers), into, inside)

    if is_long(network):
        rows = [row(block) for block in blocks(network, MOST_BLOCKS)]
        spent = [found.time_share if len(found.layers) > 1 and found.time_share > 0 else 0.0 for found in rows]
        place = spent.index(max(spent))
        parts = _parts(network, rows[place], shares) if spent[place] else []  # nothing where nothing was traced
        rows[place + 1 : place + 1] = [row(part, inside=True) for part in parts]
    else:
        rows = [row(Block(name, (name,))) for name in costs]
    return rows + [Row(name, share, ()) for name, share in shares.items() if name not in costs]


def _parts(network: Network, opened: Row, shares: Mapping[str, float]) -> list[Block]:
    """What a block is made of, in its order: blocks, or layers where it holds no smaller ones, the shortest as one."""
    held = {layer.name for layer in opened.layers}
    parts = [block for block in blocks(network) if held.issuperset(block.layers)]
    if len(parts) < 2:
        parts = [Block(layer.name, (layer.name,)) for layer in opened.layers]
    spent = {part: math.fsum(shares.get(name, 0.0) for name in part.layers) for part in parts}
    longest = sorted(parts, key=lambda part: -spent[part])[:_MOST_INSIDE]
    others = [part for part in parts if part not in longest]
    shown = [part for part in parts if part in longest]
    if not others:
        return shown
    layers = tuple(name for part in others for name in part.layers)
    return [*shown, Block("others", layers)]


def links(network: Network, rows: Sequence[Row]) -> list[Link]:
    """Which rows read which, without those ``inside``, by their places in ``rows``."""
    of_layer = {layer.name: i for i, row in enumerate(rows) if not row.inside for layer in row.layers}
    readers: Counter[tuple[int, int]] = Counter()
    for layer in network.layers:
        target = of_layer[layer.name]
        sources = {of_layer.get(name, -1) for name in layer.inputs}
        readers.update((source, target) for source in sources if source != target)
    chain = [-1, *(i for i, row in enumerate(rows) if row.layers and not row.inside)]
    after = dict(pairwise(chain))
    found = []
    for (source, target), times in sorted(readers.items()):
        follows = after.get(source) == target
        found += [Link(source, target, beside=False)] if follows else []
        found += [Link(source, target, beside=True)] if times > 1 or not follows else []
    return found


def lanes(found: Sequence[Link]) -> dict[Link, int]:
    """How far out each arrow beside the chain is drawn, from 0 on, so that none lies on another."""
    free_from: list[int] = []
    places = {}
    for link in sorted(link for link in found if link.beside):
        lane = next((i for i, end in enumerate(free_from) if end <= link.source), len(free_from))
        free_from[lane : lane + 1] = [link.target]
        places[link] = lane
    return places
