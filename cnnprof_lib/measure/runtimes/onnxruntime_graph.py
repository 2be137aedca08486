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

from ...records.run import MAC_OPS
from ..models.executed import trace_layers
from ..models.graph import FrozenGraph

_BLOCKED = "com.microsoft.nchwc"
"""Domain of the ops that compute in blocks of channels."""
_REORDERS = ("ReorderInput", "ReorderOutput")
_CONVERTING = ("Transpose", "Reshape", "Cast", "QuantizeLinear", "DequantizeLinear")
_PRODUCTS = {
    **{"Conv": "Conv2D", "FusedConv": "Conv2D", "ConvTranspose": "Conv2DBackpropInput"},
    **dict.fromkeys(("Gemm", "FusedGemm", "MatMul", "FusedMatMul"), "MatMul"),
}
"""TensorFlow's name of each op with multiply-adds; others are called as the node of TensorFlow's graph."""
_AFFINE = ("Add", "AddV2", "BiasAdd", "Mul", "Sub")
"""What tf2onnx folds into a convolution."""
_CALLED = re.compile(r"_(?P<scaling>mul_|bn_)?nchwc$")
"""How a blocked node is called after its tensor; a scaling per channel is made a convolution by channel."""
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
    """A node as `trace_layers` reads nodes."""

    name: str
    op: str
    input: Sequence[str]
    attr: Mapping[str, Any]


def trace_onnx(frozen: FrozenGraph, converted: Any, executed: Any) -> ExecutedOnnx:
    """Finds out what each executed node does, and for which layer: from TensorFlow to ONNX, and on from there.

    Args:
        frozen: The network.
        converted: Its ``onnx.GraphProto`` as tf2onnx made it.
        executed: As ONNX Runtime rewrote that.
    """
    ops = {node.name: frozen.calls.get(node.name, node.op) for node in frozen.graph_def.node}
    names = _converted_names(frozen, converted, ops)
    graph = _as_nodes(converted, names)
    first = trace_layers(frozen.graph_def.node, graph, frozen.owners)
    own = _executed_names(executed, converted, names)
    second = trace_layers(graph, _as_nodes(executed, own), first.layers)

    nodes = list(executed.node)
    layers = {node.name: layer for node in nodes if (layer := second.layers.get(own[node.name])) is not None}
    conversions = [node for node in nodes if _converts(node, ops)]
    made = {output: node.name for node in nodes for output in node.output}
    for node in conversions:  # the last one serves no node but the one before it
        if node.name not in layers and made.get(node.input[0]) in layers:
            layers[node.name] = layers[made[node.input[0]]]
    holders = {layer: second.fused_into.get(holder, holder) for layer, holder in first.fused_into.items()}
    with_kernel = set(layers.values())
    return ExecutedOnnx(
        layers=layers,
        ops={node.name: _op(node, executed, ops.get(own[node.name])) for node in nodes},
        kernels={node.name: f"{node.op_type} (NCHWc)" if _is_blocked(node) else node.op_type for node in nodes},
        fused_into={
            layer: holder for layer, holder in {**holders, **second.fused_into}.items() if layer not in with_kernel
        },
        fused_ops={node.name: fused for node in nodes if (fused := _fused_ops(node))},
        conversions=frozenset(node.name for node in conversions),
        fell_back=_fell_back([node for node in nodes if node not in conversions], nodes),
    )


def _is_blocked(node: Any) -> bool:
    return node.domain == _BLOCKED


def _converts(node: Any, ops: Mapping[str, str]) -> bool:
    """Whether a node only changes a layout or a number format, and is not a node of TensorFlow's graph that does."""
    if node.op_type in _REORDERS:
        return _is_blocked(node)
    return node.op_type in _CONVERTING and ops.get(_plain(node.output[0])) != node.op_type


def _plain(tensor: str) -> str:
    return tensor.partition(":")[0]


def _converted_names(frozen: FrozenGraph, converted: Any, ops: Mapping[str, str]) -> dict[str, str]:
    """What to call each converted node: as the node of TensorFlow's graph whose value it computes, if there is one.

    A name with the ending that tf2onnx gives counts only for what no other node computes: of several nodes that one
    became, the last bears its name. A convolution that lost its name is told by its weights'.
    """
    found: dict[str, str] = {}
    own = [node for node in converted.node if not _converts(node, ops)]
    plain: tuple[Callable[[str], str], ...] = (_plain, lambda name: _MADE.sub("", _plain(name)))
    for named in plain:
        for node in own:
            names = (name for name in map(named, (node.output[0], node.name)) if _is_new(name, ops, found))
            if node.name not in found and (name := next(names, "")):
                found[node.name] = name
    for node in own:
        if node.op_type in _PRODUCTS and node.name not in found:
            of_weights = [name for name in _scopes(node.input[1]) if ops.get(name) in MAC_OPS]
            found.update((node.name, _with_affine(name, frozen, found)) for name in of_weights[:1])
    for number, node in enumerate(converted.node):
        # A conversion stands in no scope, so that it counts for the layer that reads it.
        found.setdefault(node.name, f"{_plain(node.name) if node in own else 'conversion'}__{number}")
    return found


def _scopes(name: str) -> list[str]:
    """A name and the scopes that it stands in, the innermost first."""
    return [name.rsplit("/", parts)[0] for parts in range(name.count("/") + 1)]


def _is_new(name: str, ops: Mapping[str, str], found: Mapping[str, str]) -> bool:
    return name in ops and name not in found.values()


def _with_affine(name: str, frozen: FrozenGraph, found: Mapping[str, str]) -> str:
    """The last of the sums and products with constants that follow a node and that no converted node computes."""
    known = set(found.values())
    while True:
        readers = [node for node in frozen.graph_def.node if name in map(_plain, node.input)]
        if len(readers) != 1 or readers[0].name in known or readers[0].op not in _AFFINE:
            return name
        name = readers[0].name


def _executed_names(executed: Any, converted: Any, names: Mapping[str, str]) -> dict[str, str]:
    """What to call each executed node: as the converted node whose value it computes, if there is one."""
    of_tensor = {output: names[node.name] for node in converted.node for output in node.output}
    found: dict[str, str] = {}
    for number, node in enumerate(executed.node):
        # What takes the place of several is called below the last of them: ``relu/mul/QuickGeluFusion/``.
        called = next((names[scope] for scope in _scopes(node.name) if scope in names), "")
        name = of_tensor.get(_computed(node, converted)) or called
        is_reorder = _is_blocked(node) and node.op_type in _REORDERS
        found[node.name] = name if name and not is_reorder and name not in found.values() else f"executed__{number}"
    return found


def _computed(node: Any, converted: Any) -> str:
    """The tensor of the converted graph that an executed node computes.

    A blocked node is called after the tensor that it computed first. A sum and an activation fused into a convolution
    later are told by its fourth input and its attribute. Source: ``nchwc_transformer.cc``.
    """
    tensor = _CALLED.sub("", node.name)
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


def _as_nodes(graph: Any, names: Mapping[str, str]) -> list[_Node]:
    """A graph of ONNX with a node for each input and none for constants."""
    made = {output: names[node.name] for node in graph.node for output in node.output}
    made |= {given.name: _plain(given.name) for given in graph.input}
    inputs = [_Node(_plain(given.name), "Placeholder", (), {}) for given in graph.input]
    return inputs + [
        _Node(
            names[node.name],
            _PRODUCTS.get(node.op_type, node.op_type),
            [made[name] for name in node.input if name in made],
            {},
        )
        for node in graph.node
    ]


def _op(node: Any, executed: Any, original: str | None) -> str:
    """What a node does, in TensorFlow's terms.

    Args:
        node: The executed node.
        executed: Its graph.
        original: Op of the node of TensorFlow's graph whose value it computes; None where there is none.
    """
    called = _CALLED.search(node.name)
    found = None if called and called["scaling"] else _PRODUCTS.get(node.op_type)
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


def _fell_back(own: Sequence[Any], nodes: Sequence[Any]) -> dict[str, str]:
    """Nodes that blocks of channels are undone for, and made again after: they have no kernel for those."""
    undone = {output for node in nodes if node.op_type == "ReorderOutput" for output in node.output}
    redone = {name for node in nodes if node.op_type == "ReorderInput" for name in node.input}
    return {
        node.name: "no kernel for NCHWc, so reorders before and after"
        for node in own
        if not _is_blocked(node) and undone.intersection(node.input) and redone.intersection(node.output)
    }
