"""What a frozen graph is and costs, layer by layer: the `Network` of any model, however it was written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...params.network import Network, NetworkLayer, Tensor
from .count import COUNTED, Products
from .graph import FrozenGraph


class LayerFacts(NamedTuple):
    """What is known of a layer beside the graph."""

    layer: str
    type: str
    reads: tuple[str, ...]
    output_shape: tuple[int, ...]


def network_of(
    frozen: FrozenGraph,
    facts: Sequence[LayerFacts],
    inputs: Sequence[str],
    **identity: Any,
) -> Network:
    """The network of a frozen graph.

    Args:
        frozen: The graph.
        facts: Of the layers, in the order of their calls; a layer that is called twice is there twice.
        inputs: Names of the network's inputs.
        identity: ``name``, ``title``, ``file`` and ``file_sha256``.
    """
    by_layer: dict[str, LayerFacts] = {}
    for fact in facts:
        earlier = by_layer.get(fact.layer, fact)
        reads = tuple(dict.fromkeys((*earlier.reads, *fact.reads)))
        by_layer[fact.layer] = earlier._replace(reads=tuple(name for name in reads if name != fact.layer))
    parameters = _parameters(frozen)
    layers = []
    for name, fact in by_layer.items():
        products = frozen.products.get(name, Products(0, 0))
        layers.append(
            NetworkLayer(
                name=name,
                type=fact.type,
                inputs=fact.reads,
                output_shape=fact.output_shape,
                parameters=parameters.get(name, 0),
                macs=products.macs,
                pixel_macs=products.pixel_macs,
            )
        )
    feeds = zip(inputs, frozen.feeds, strict=True)
    return Network(
        inputs=tuple(Tensor(name=name, shape=feed.shape[1:], dtype=feed.dtype.name) for name, feed in feeds),
        outputs=tuple(Tensor(name=name, shape=(), dtype="float32") for name in _ends(frozen)),
        layers=tuple(layers),
        **identity,
    )


def _ends(frozen: FrozenGraph) -> list[str]:
    """The layers that give the outputs."""
    nodes = {node.name: node for node in frozen.graph_def.node}
    found = []
    for tensor in frozen.outputs:
        name = tensor.partition(":")[0]
        while name not in frozen.owners and nodes[name].input:
            name = nodes[name].input[0].partition(":")[0]
        found.append(frozen.owners.get(name, name))
    return found


def _parameters(frozen: FrozenGraph) -> dict[str, int]:
    """Values of the weights that each layer owns."""
    found: dict[str, int] = {}
    for node, value in frozen.weights.items():
        layer = frozen.owners.get(node, "")
        found[layer] = found.get(layer, 0) + value.size
    return found


def facts_of_graph(frozen: FrozenGraph) -> list[LayerFacts]:
    """Facts of the layers of a graph by itself, where nothing else tells: in the order of their nodes.

    A layer's type is that of its first node with multiply-adds, else of its last.

    """
    of_layer: dict[str, list[Any]] = {}
    for node in frozen.graph_def.node:
        if (layer := frozen.owners.get(node.name)) and node.op not in ("Const", "Identity"):
            of_layer.setdefault(layer, []).append(node)
    feeds = {feed.node for feed in frozen.feeds}
    facts = []
    for layer, nodes in of_layer.items():
        read = [name.partition(":")[0] for node in nodes for name in node.input if not name.startswith("^")]
        reads = [frozen.owners.get(name, name if name in feeds else "") for name in read]
        last = nodes[-1]
        main = next((node for node in nodes if node.op in COUNTED), last)
        shape = frozen.shapes.get(last.name, ())[1:]
        kept = tuple(dict.fromkeys(name for name in reads if name and name != layer))
        facts.append(LayerFacts(layer, main.op, kept, shape))
    return facts
