"""What OpenVINO's executed nodes are in the network's own terms: layer, op, and what was fused into each.

A node tells of which nodes of the ONNX model it was made, whose names are those of the frozen graph with endings of
tf2onnx's, OpenVINO's and NNCF's. So the executed nodes are written as nodes of the frozen graph, and `trace_layers`
finds their layers as it does for TensorFlow's.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ...records.run import MAC_OPS
from ..models.executed import trace_layers
from ..models.graph import FrozenGraph

_MULTIPLYING = ("Convolution", "FullyConnected", "MatMul")
"""Types of nodes that do multiply-adds."""
_INSERTED = ("Reorder", "Convert", "Transpose", "FakeQuantize")
"""Types of nodes that change a layout or a number format, where they are no op of the network."""
_ROLES = {"Const": "Const", "Output": "_Retval"}
"""Of types for `trace_layers`."""
_QUANTISES = re.compile(r"/fq_(?:output|input|weights)_\d+$")
"""NNCF's ending for what it puts after or before a node."""
_OF_ANOTHER = re.compile(r"/fq_(?:input|weights)_\d+$")
_ENDINGS = re.compile(r"(?:_Gemm__\d+)?(?:/WithoutBiases|/DequantizationMultiply|/fq_output_\d+)*(?::\d+)?$")
"""That leave a node what it was."""
_REFERENCE = re.compile(r"(?:^|_)ref(?:_|$)")
"""In a kernel's name: oneDNN's plain loops, which it has for whatever it has no fast kernel for."""


_AFFINE = ("Add", "AddV2", "BiasAdd", "Mul", "Sub")
"""What tf2onnx folds into a convolution, which then loses its name."""


@dataclass(frozen=True)
class ExecutedNode:
    """A node of OpenVINO's runtime model.

    Attributes:
        name: Unique in its model.
        type: OpenVINO's: ``Convolution``, ``Reorder``.
        kernel: With instruction set and number format: ``brgconv_avx512_I8``.
        precision: What it reads: ``f32``, ``bf16``, ``u8``.
        made_of: The nodes before OpenVINO's rewriting that it computes, in order.
        reads: Names of the nodes that it reads.
    """

    name: str
    type: str
    kernel: str
    precision: str
    made_of: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def quantises(self) -> bool:
        """Whether it does nothing else than that, by whatever kernel."""
        return bool(self.made_of) and all(map(_QUANTISES.search, self.made_of))

    @property
    def is_conversion(self) -> bool:
        """Whether it only changes a layout or a number format."""
        return self.type in _INSERTED or self.quantises


@dataclass(frozen=True)
class PlacedNode:
    """An executed node in the network's terms.

    Attributes:
        label: The node of the frozen graph that it begins with, or OpenVINO's own name.
        op: As TensorFlow calls it.
        kernel: As OpenVINO calls it.
        precision: What it reads.
        layer: The layer that it works for; empty where that is not known.
        fuses: Ops of the frozen graph that it computes beside ``op``.
        is_conversion: Whether it only changes a layout or a number format.
    """

    label: str
    op: str
    kernel: str
    precision: str
    layer: str
    fuses: tuple[str, ...]
    is_conversion: bool

    @property
    def is_unowned(self) -> bool:
        """Whether it is not known for which layer it works."""
        return not self.layer

    def fell_back(self, precision: str) -> str:
        """What its kernel is instead of what the runtime is for; empty for a kernel that is that.

        Args:
            precision: Of the network.
        """
        if self.is_conversion:
            return ""
        floats = self.precision == "f32" and precision != "float32"
        told = {
            "reference kernel": bool(_REFERENCE.search(self.kernel)),
            f"float32 in {'an' if precision == 'int8' else 'a'} {precision} network": floats,
        }
        return ", ".join(text for text, holds in told.items() if holds)


@dataclass(frozen=True)
class Placed:
    """The nodes that run, in order, and the layers without a kernel of their own, see `Profile`."""

    nodes: tuple[PlacedNode, ...]
    fused_into: Mapping[str, str]


def restore_names(model: Any, frozen: FrozenGraph) -> None:
    """Calls each product that tf2onnx folded constants into like the last node of the frozen graph that it computes.

    It is known by the scope of its weights: ``Conv__26`` reads ``conv2/convolution/...`` and becomes ``bn2/add``.

    Args:
        model: The ``onnx.ModelProto``, which is changed.
        frozen: What it was made of.
    """
    ops = {node.name: node.op for node in frozen.graph_def.node}
    taken = {name.partition(":")[0] for node in model.graph.node for name in (node.name, *node.output)}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.name in ops:
            continue
        parts = node.input[1].split("/")
        scopes = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
        if name := next((scope for scope in scopes if ops.get(scope) in MAC_OPS), ""):
            node.name = _last_folded(name, frozen, taken)


def _last_folded(name: str, frozen: FrozenGraph, taken: Container[str]) -> str:
    """The last of the sums and products behind a node that no node of the model computes."""
    readers = [node for node in frozen.graph_def.node if name in [read.partition(":")[0] for read in node.input]]
    if len(readers) != 1 or readers[0].name in taken or readers[0].op not in _AFFINE:
        return name
    return _last_folded(readers[0].name, frozen, taken)


def place(nodes: Sequence[ExecutedNode], ran: Mapping[str, str], frozen: FrozenGraph) -> Placed:
    """Finds out what executed nodes are.

    Args:
        nodes: All of the runtime model, constants included, each after those that it reads.
        ran: Names of those that run in a step, in order, each with its type as the counters have it, which is finer.
        frozen: What the network was made of.
    """
    ops = {node.name: frozen.calls.get(node.name, node.op) for node in frozen.graph_def.node}
    known: dict[str, list[str]] = {}
    stand_in: dict[str, str] = {}
    taken: set[str] = set()
    for number, node in enumerate(nodes):
        found = [] if node.is_conversion else _of_frozen(node, ops)
        # A scale that OpenVINO moves behind a pooling keeps the name of the activation before that, which is computed.
        known[node.name] = found if taken.isdisjoint(found[-1:]) else []
        taken.update(known[node.name][-1:])
        # One without a counterpart gets a name in no layer's scope, so that it serves the nodes that read it.
        stand_in[node.name] = (known[node.name] or [f"openvino-{number}"])[-1]
    written = [
        SimpleNamespace(
            name=stand_in[node.name],
            op=_ROLES.get(node.type, node.type),
            input=[stand_in[read] for read in node.reads],
            attr={},
        )
        for node in nodes
    ]
    traced = trace_layers(frozen.graph_def.node, written, frozen.owners)
    layers: dict[str, str] = {}
    for node in nodes:  # what no node reads on, as a conversion of the result, serves the layer that it reads
        read = (layers[name] for name in node.reads if layers.get(name))
        layers[node.name] = traced.layer_of(stand_in[node.name]) or next(read, "")
    mac_ops = {frozen.owners[name]: op for name, op in ops.items() if op in MAC_OPS and name in frozen.owners}
    by_name = {node.name: node for node in nodes}
    placed = [
        _placed(by_name[name], kind, layers[name], [ops[other] for other in known[name]], known[name], mac_ops)
        for name, kind in ran.items()
    ]
    return Placed(tuple(placed), traced.fused_into)


def _placed(
    node: ExecutedNode,
    kind: str,
    layer: str,
    of_frozen: Sequence[str],
    known: Sequence[str],
    mac_ops: Mapping[str, str],
) -> PlacedNode:
    """A node of a finer type, with the ops and names of what it computes of the frozen graph."""
    op = of_frozen[0] if of_frozen else "Quantize" if node.quantises else kind
    if node.type in _MULTIPLYING:
        op = mac_ops.get(layer, op)
    return PlacedNode(
        label=known[0] if known else node.name,
        op=op,
        kernel=node.kernel,
        precision=node.precision,
        layer=layer,
        fuses=tuple(dict.fromkeys(other for other in of_frozen if other != op)),
        is_conversion=node.is_conversion,
    )


def _of_frozen(node: ExecutedNode, names: Iterable[str]) -> list[str]:
    """The nodes of the frozen graph that a node computes, as far as their names tell."""
    found = [_ENDINGS.sub("", name) for name in node.made_of if not _OF_ANOTHER.search(name)]
    return [name for name in dict.fromkeys(found) if name in names]
