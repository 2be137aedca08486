"""What ONNX Runtime executes of a network, and for which layer.

It fuses nodes and renames them, gives convolutions a layout of their own in blocks of channels (NCHWc), and puts
reorders between that and the plain one. An executed node is known again by the tensor that it computes, which tf2onnx
calls as TensorFlow does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..models.executed import trace_layers
from ..models.graph import FrozenGraph

_BLOCKED = "com.microsoft.nchwc"
"""Domain of the ops that compute in blocks of channels."""
_REORDERS = ("ReorderInput", "ReorderOutput")
_CONVERTING = ("Transpose", "Cast", "QuantizeLinear", "DequantizeLinear")
_PRODUCTS = {"Conv": "Conv2D", "FusedConv": "Conv2D", "Gemm": "MatMul", "FusedGemm": "MatMul"} | {
    name: "MatMul" for name in ("MatMul", "FusedMatMul")
}
"""The op of the thesis that each op with multiply-adds does; others are called as the node of TensorFlow's graph."""
_MADE = re.compile(r"(_Gemm)?__\d+$")
"""What tf2onnx puts after the name of the node that it makes another of."""


@dataclass(frozen=True)
class ExecutedOnnx:
    """The nodes that ONNX Runtime executes, by the names that its profile gives them.

    Attributes:
        layers: The layer that each works for; one of which this could not be found out is missing.
        ops: The op of each in TensorFlow's terms.
        kernels: The op of each in ONNX Runtime's, with the layout where it is not ONNX's.
        fused_into: See `Profile`.
        fused_ops: See `Profile`.
        conversions: See `Profile`.
        fell_back: See `Profile`.
    """

    layers: Mapping[str, str]
    ops: Mapping[str, str]
    kernels: Mapping[str, str]
    fused_into: Mapping[str, str]
    fused_ops: Mapping[str, Sequence[str]]
    conversions: frozenset[str]
    fell_back: Mapping[str, str]


class _Node(NamedTuple):
    """An executed node as `trace_layers` reads nodes."""

    name: str
    op: str
    input: Sequence[str]
    attr: Mapping[str, Any]


def trace_onnx(frozen: FrozenGraph, converted: Any, executed: Any) -> ExecutedOnnx:
    """Finds out what each executed node does, and for which layer.

    Args:
        frozen: The network.
        converted: Its ``onnx.GraphProto`` as tf2onnx made it.
        executed: As ONNX Runtime rewrote that.
    """
    ops = {node.name: frozen.calls.get(node.name, node.op) for node in frozen.graph_def.node}
    nodes = list(executed.node)
    conversions = [node for node in nodes if _converts(node, ops)]
    names = _names(nodes, conversions, converted, ops)
    traced = trace_layers(frozen.graph_def.node, _as_nodes(executed, names), frozen.owners)
    layers = {node.name: layer for node in nodes if (layer := traced.layers.get(names[node.name])) is not None}
    made = {output: node for node in nodes for output in node.output}
    for node in conversions:  # the last one serves no node but the one before it
        if node.name not in layers and (before := made.get(node.input[0])) and before.name in layers:
            layers[node.name] = layers[before.name]
    return ExecutedOnnx(
        layers=layers,
        ops={node.name: _op(node, executed, ops.get(names[node.name])) for node in nodes},
        kernels={node.name: f"{node.op_type} (NCHWc)" if _is_blocked(node) else node.op_type for node in nodes},
        fused_into=traced.fused_into,
        fused_ops={node.name: fused for node in nodes if (fused := _fused_ops(node))},
        conversions=frozenset(node.name for node in conversions),
        fell_back=_fell_back(nodes),
    )


def _is_blocked(node: Any) -> bool:
    return node.domain == _BLOCKED


def _converts(node: Any, ops: Mapping[str, str]) -> bool:
    """Whether a node only changes a layout or a number format, and is not a node of TensorFlow's graph that does."""
    if node.op_type in _REORDERS:
        return _is_blocked(node)
    return node.op_type in _CONVERTING and ops.get(_plain(node.output[0])) != node.op_type


def _names(nodes: Sequence[Any], conversions: Sequence[Any], converted: Any, ops: Mapping[str, str]) -> dict[str, str]:
    """What to call each executed node: as the node of TensorFlow's graph whose value it computes, if there is one.

    A name with the ending that tf2onnx gives counts only for what no other node computes: of several nodes that one
    became, the last bears its name.
    """
    found: dict[str, str] = {}
    own = [node for node in nodes if node not in conversions]
    plain: tuple[Callable[[str], str], ...] = (_plain, lambda name: _MADE.sub("", _plain(name)))
    for named in plain:
        for node in own:
            tensors = (_computed(node, converted), node.name.removeprefix("fused "))
            names = (name for name in map(named, tensors) if name in ops and name not in found.values())
            if node.name not in found and (name := next(names, "")):
                found[node.name] = name
    for number, node in enumerate(nodes):
        # A conversion stands in no scope, so that it counts for the layer that reads it.
        other = _plain(node.name) if node in own else "conversion"
        found.setdefault(node.name, f"{other}__{number}")
    return found


def _plain(tensor: str) -> str:
    return tensor.partition(":")[0]


def _computed(node: Any, converted: Any) -> str:
    """The tensor of the converted graph that a node computes.

    A blocked convolution is called after the tensor that it computed first. A sum and an activation fused into it
    later are told by its fourth input and its attribute. Source: ``nchwc_transformer.cc``.
    """
    tensor = node.name.removesuffix("_nchwc")
    if not _is_blocked(node) or not any(tensor in made.output for made in converted.node):
        return str(node.output[0])
    if node.op_type == "Conv":
        if len(node.input) > 3:
            tensor = _read_by(tensor, ("Add", "Sum"), converted)
        activation = _attribute(node, "activation").decode()
        if not any(tensor in made.output and made.op_type == activation for made in converted.node):
            tensor = _read_by(tensor, (activation,), converted)
    return tensor


def _read_by(tensor: str, ops: Iterable[str], converted: Any) -> str:
    """What the node of one of these ops makes of a tensor; the tensor itself where none reads it."""
    outputs = (node.output[0] for node in converted.node if tensor in node.input and node.op_type in ops)
    return str(next(outputs, tensor))


def _attribute(node: Any, name: str) -> bytes:
    return next((bytes(attribute.s) for attribute in node.attribute if attribute.name == name), b"")


def _as_nodes(executed: Any, names: Mapping[str, str]) -> list[_Node]:
    """The executed graph with a node for each input and none for constants."""
    made = {output: names[node.name] for node in executed.node for output in node.output}
    made |= {given.name: _plain(given.name) for given in executed.input}
    inputs = [_Node(_plain(given.name), "Placeholder", (), {}) for given in executed.input]
    return inputs + [
        _Node(names[node.name], node.op_type, [made[name] for name in node.input if name in made], {})
        for node in executed.node
    ]


def _op(node: Any, executed: Any, original: str | None) -> str:
    """What a node does, in TensorFlow's terms.

    Args:
        node: The executed node.
        executed: Its graph.
        original: Op of the node of TensorFlow's graph whose value it computes; None where there is none.
    """
    found = _PRODUCTS.get(node.op_type)
    if found == "Conv2D":
        shapes = (constant.dims for constant in executed.initializer if constant.name == node.input[1])
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        return "DepthwiseConv2dNative" if groups > 1 and next(shapes, (0, 0))[1] == 1 else found
    return found or original or str(node.op_type)


def _fused_ops(node: Any) -> tuple[str, ...]:
    """What a convolution or product computes beside, as its inputs and its attribute tell; a folded scale shows not."""
    if node.op_type not in ("Conv", "FusedConv", "Gemm", "FusedGemm"):
        return ()
    given = [bool(name) for name in node.input[2:]]
    parts = [name for name, there in zip(("BiasAdd", "Add"), given, strict=False) if there]
    activation = _attribute(node, "activation").decode()
    return (*parts, activation) if activation else tuple(parts)


def _fell_back(nodes: Sequence[Any]) -> dict[str, str]:
    """Nodes that blocks of channels are undone for, and made again after: they have no kernel for those."""
    undone = {output for node in nodes if node.op_type == "ReorderOutput" for output in node.output}
    redone = {name for node in nodes if node.op_type == "ReorderInput" for name in node.input}
    return {
        node.name: "no kernel for NCHWc, so reorders before and after"
        for node in nodes
        if not _is_blocked(node) and undone.intersection(node.input) and redone.intersection(node.output)
    }
