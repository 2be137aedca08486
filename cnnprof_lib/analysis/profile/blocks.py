"""Blocks of a network: layers that belong together by their names, so that 150 layers can be seen at once.

Names are all that formats have in common: `block_1_expand` of MobileNetV2, `conv2_block1_1_conv` of ResNet and
DenseNet, `block2a_se_reduce` of EfficientNet, `/layer1/layer1.0/conv1/Conv` of an ONNX file. A block is what stands
before the last numbered word, or the folder of a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from ...params.network import Network

MOST_LAYERS = 15
"""Networks of no more layers are shown layer by layer."""
MOST_BLOCKS = 30
"""What a picture has room for."""
_LEAST_LAYERS = 4
"""Of a block, where there is a choice: the convolution, normalisation and activation of ResNet's
``conv2_block1_1`` are none of their own."""
_FOLDERS = "/."
_NUMBERED = re.compile(r"[A-Za-z]+\d+[a-z]?")
_KIND = re.compile(r"(conv|pool|pooling|padding|cropping|dropout|upsampling)[123]d", re.IGNORECASE)
"""Words that end in a number of dimensions and name no place."""


class Block(NamedTuple):
    """Layers that stand one after the other and belong together."""

    name: str
    """What their names have in common; a layer that belongs to none is a block of its own and name."""
    layers: tuple[str, ...]


def is_long(network: Network) -> bool:
    """Whether a network is shown by blocks, not layer by layer."""
    return len(network.layers) > MOST_LAYERS


def blocks(network: Network, most: int | None = None) -> list[Block]:
    """The layers of a network in blocks, in its order; each layer is in one.

    Args:
        network: The network.
        most: Blocks are joined to outer ones, ``conv2_block1`` to ``conv2``, while there are more of them. If names
            tell no more, layers are joined up to where branches meet. There may still be more.
    """
    places = _places(network)
    found = _runs(network, {name: of[-1] for name, of in places.items() if of})
    while most and len(found) > most and any(len(of) > 1 for of in places.values()):
        deepest = max(map(len, places.values()))
        places = {name: of[:-1] if len(of) == deepest else of for name, of in places.items()}
        found = _runs(network, {name: of[-1] for name, of in places.items() if of})
    return _joined(network, found) if most and len(found) > most else found


def _runs(network: Network, block_of: Mapping[str, str]) -> list[Block]:
    """Neighbours of one block together."""
    names = (layer.name for layer in network.layers)
    runs = [(key, tuple(run)) for key, run in groupby(names, lambda name: block_of.get(name, f"\0{name}"))]
    return [Block(key if len(layers) > 1 else layers[0], layers) for key, layers in runs]


def _places(network: Network) -> dict[str, list[str]]:
    """The blocks that each layer is in, from the outermost to its own; none for a layer that is in none."""
    outer = {layer.name: list(_prefixes(layer.name)) for layer in network.layers}
    members: dict[str, list[str]] = {}
    for name, prefixes in outer.items():
        for prefix in dict.fromkeys([*prefixes, name]):
            members.setdefault(prefix, []).append(name)
    for name, prefixes in outer.items():
        # A prefix that holds no more than the one before it tells nothing; `Conv_1` stands with its own `Conv_1_bn`.
        several = [prefix for prefix in [*prefixes, name] if len(members[prefix]) > 1]
        outer[name] = [p for i, p in enumerate(several) if not i or len(members[p]) < len(members[several[i - 1]])]
    chosen = {name: _up_to_large(prefixes, members) for name, prefixes in outer.items()}
    parents = {prefix for prefixes in chosen.values() for prefix in prefixes[:-1]}
    places = {}
    for name, prefixes in outer.items():
        own = chosen[name]
        if not own or own[-1] in parents:  # what stands beside blocks is no block with them
            small = [prefix for prefix in prefixes if prefix not in parents and prefix not in own]
            own = [*(prefix for prefix in own if small), *small[:1]]
        places[name] = own
    return _with_words(network, places)


def _up_to_large(prefixes: Sequence[str], members: Mapping[str, Sequence[str]]) -> list[str]:
    """The prefixes up to the last one that has enough layers to be a block."""
    large = [i for i, prefix in enumerate(prefixes) if len(members[prefix]) >= _LEAST_LAYERS]
    return list(prefixes[: large[-1] + 1]) if large else []


def _prefixes(name: str) -> Iterator[str]:
    """What a name may be in, from the outside: ``conv2`` and ``conv2_block1`` of ``conv2_block1_1_conv``."""
    before = ""
    for word in re.finditer(r"[^/._-]+", name):
        after = name[word.end() : word.end() + 1]
        text, folder = word.group(), after != "" and after in _FOLDERS
        numbered = bool(_NUMBERED.fullmatch(text)) and not _KIND.fullmatch(text)
        counts = text.isdigit() and before.isalpha()
        if after and (folder or numbered or counts):
            yield name[: word.end()]
        before = text


def _with_words(network: Network, places: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Puts neighbours without a number into a block by their first word: ``stem_conv`` and ``stem_bn``.

    Layers of one type are called by it, and are no block: ``dense`` and ``dense_1``. A word that all begin with tells
    nothing: ``node_Conv_292`` and ``node_relu`` of PyTorch's exporter.
    """
    found = dict(places)
    for word, run in groupby(network.layers, lambda layer: "" if places[layer.name] else _first_word(layer.name)):
        layers = list(run)
        if word and len({layer.type for layer in layers}) > 1 and len(layers) < len(network.layers):
            common = _common([layer.name for layer in layers])
            found |= {layer.name: [common] for layer in layers}
    return found


def _first_word(name: str) -> str:
    """Folder and what stands before the first ``_`` in it, if anything does."""
    folder, slash, own = name.rpartition("/")
    word, more, _ = own.partition("_")
    return f"{folder}{slash}{word}" if more else ""


def _common(names: Sequence[str]) -> str:
    """The folder and the words that names of one folder begin with: ``expanded_conv``."""
    folder, slash, _ = names[0].rpartition("/")
    words = zip(*(name.rpartition("/")[2].split("_") for name in names), strict=False)
    return folder + slash + "_".join(of[0] for of in words if len(set(of)) == 1)


def _joined(network: Network, found: Sequence[Block]) -> list[Block]:
    """Layers that are in no block, together up to where all branches meet in one layer or the image shrinks."""
    ends = _bottlenecks(network)
    joined: list[Block] = []
    open_run = False
    for block in found:
        alone = len(block.layers) == 1
        if alone and open_run:
            layers = (*joined[-1].layers, *block.layers)
            joined[-1] = Block(f"… {layers[-1]}", layers)
        else:
            joined.append(block)
        open_run = alone and block.layers[-1] not in ends
    return joined


def _bottlenecks(network: Network) -> set[str]:
    """Layers through which all goes, behind which branches have met or the image is smaller than before."""
    last_reader = {name: i for i, layer in enumerate(network.layers) for name in layer.inputs}
    found, needed = set(), max(last_reader.get(tensor.name, 0) for tensor in network.inputs)
    for i, layer in enumerate(network.layers):
        meets = len(layer.inputs) > 1
        before = network.layers[i - 1].output_shape if i else network.inputs[0].shape
        if needed <= i and (meets or layer.output_shape[:-1] != before[:-1]):
            found.add(layer.name)
        needed = max(needed, last_reader.get(layer.name, 0))
    return found
