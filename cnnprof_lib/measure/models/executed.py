"""What TensorFlow executes of a graph, and the layer that each executed node works for.

Grappler and oneDNN fuse, fold and rename nodes. What they fuse bears the name of the last node that it computes, so an
executed node covers the nodes of the original graph between the ones executed before it and itself. It works for the
layer whose multiply-adds are among them: a convolution with a batch normalisation's scale folded in is called like the
normalisation, and is still the convolution's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...records.run import MAC_OPS

_CONSTANTS = ("Const", "VariableV2")
_EXECUTORS_OWN = ("_Arg", "_Recv", "_Retval", "_Send")
"""Ops of feeds, fetches and passages from device to device."""
_SOURCE = "_SOURCE"
"""The executor's first node, which is in the step statistics and in no graph."""

_Nodes = Mapping[str, Any]


@dataclass(frozen=True)
class ExecutedGraph:
    """The nodes that TensorFlow executes in a step.

    Attributes:
        layers: The layer that each node works for, by node name; empty for a node around the network, such as a queue
            or a fetch. A node of which this could not be found out is missing.
        fused_into: Layers without a kernel of their own, each with the layer whose kernel computes it.
        fused_ops: What was fused into each node, such as BiasAdd and Relu, by node name.
    """

    layers: Mapping[str, str]
    fused_into: Mapping[str, str]
    fused_ops: Mapping[str, tuple[str, ...]]

    def layer_of(self, node: str) -> str:
        """The layer that a node of the step statistics works for; empty where there is none."""
        return self.layers.get(_plain(node), "")

    def knows(self, node: str) -> bool:
        """Whether it was found out for which layer a node of the step statistics works, or that it works for none."""
        return _plain(node) in self.layers


def _plain(node: str) -> str:
    """A node's name; the statistics add to some after a colon (see ``tfprof_stats.cc``, ``AddRunMeta``)."""
    return node.partition(":")[0]


def trace_layers(original: Iterable[Any], executed: Iterable[Any], owners: Mapping[str, str]) -> ExecutedGraph:
    """Finds out which layer each executed node works for.

    Args:
        original: The NodeDefs of the graph that was handed to TensorFlow.
        executed: The NodeDefs that it executes.
        owners: The layers of the original nodes, see `FrozenGraph`.
    """
    before, after = ({node.name: node for node in nodes} for nodes in (original, executed))
    fed_before, fed_after = _fed(before), _fed(after)
    layers = {_SOURCE: ""}
    covering: dict[str, str] = {}
    for name in before:
        if name in fed_after:
            covered = _covered(name, before, fed_before - fed_after)
            mac_nodes = [node for node in covered if before[node].op in MAC_OPS]
            layers[name] = owners.get([*mac_nodes, name][0], "")
            covering = dict.fromkeys(covered, layers[name]) | covering  # the first to compute a node holds it
    layers |= _layers_of_rest(after, fed_after, layers, set(owners.values()))

    with_kernel = {layers.get(name) for name in fed_after}
    fused_into: dict[str, str] = {}
    for name, layer in owners.items():
        if layer not in with_kernel and covering.get(name):
            fused_into.setdefault(layer, covering[name])
    fused_ops = {
        name: tuple(op.decode() for op in node.attr["fused_ops"].list.s)
        for name, node in after.items()
        if "fused_ops" in node.attr
    }
    return ExecutedGraph(layers, fused_into, fused_ops)


def _inputs(node: Any) -> list[str]:
    """Names of the nodes whose values a node reads."""
    return [_plain(name) for name in node.input if not name.startswith("^")]


def _readers(nodes: _Nodes) -> dict[str, list[str]]:
    """The nodes that read each node's values."""
    readers: dict[str, list[str]] = {name: [] for name in nodes}
    for name, node in nodes.items():
        for read in _inputs(node):
            readers[read].append(name)
    return readers


def _fed(nodes: _Nodes) -> set[str]:
    """The nodes that compute from what a step is fed; the others compute from constants and variables alone."""
    readers = _readers(nodes)
    reached = [name for name, node in nodes.items() if not _inputs(node) and node.op not in _CONSTANTS]
    fed = set(reached)
    while reached:
        found = set(readers[reached.pop()]) - fed
        fed |= found
        reached += found
    return fed


def _covered(name: str, nodes: _Nodes, unexecuted: set[str]) -> list[str]:
    """A node and those that lead to it without being executed themselves, the nearest first."""
    covered = {name: None}
    reached = [name]
    for node in reached:
        found = [read for read in _inputs(nodes[node]) if read in unexecuted and read not in covered]
        covered |= dict.fromkeys(found)
        reached += found
    return list(covered)


def _layers_of_rest(after: _Nodes, fed: set[str], known: Mapping[str, str], names: set[str]) -> dict[str, str]:
    """Layers of constants and of nodes that TensorFlow made.

    A node that computes from what is fed and stands in a layer's scope is Grappler's rewriting of that layer. Any other
    serves the nodes that read it.

    Args:
        after: The nodes executed.
        fed: Those that compute from what a step is fed.
        known: The layers found so far.
        names: All layers.
    """
    readers = _readers(after)
    found = dict(known)

    def find(name: str) -> str | None:
        if name not in found:
            scope, _, rest = name.partition("/")
            if after[name].op in _EXECUTORS_OWN:
                found[name] = ""
            elif name in fed and rest and scope in names:
                found[name] = scope
            elif served := [layer for reader in readers[name] if (layer := find(reader))]:
                found[name] = served[0]
            elif name not in fed:
                found[name] = ""
        return found.get(name)

    for name in after:
        find(name)
    return found
