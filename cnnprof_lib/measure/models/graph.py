"""A network as a frozen graph, as TensorFlow runs it and in the ops of the thesis; `session` steps it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from ..private import freeze_variables
from .count import Products, called_mac_op, count_products

tf1 = tf.compat.v1


@dataclass(frozen=True)
class Feed:
    """A placeholder of a frozen graph: its node, the shape of a batch, and the type of its values."""

    node: str
    shape: tuple[int, ...]
    dtype: tf.DType


@dataclass(frozen=True)
class FrozenGraph:
    """A network without training parts, for one batch size.

    Attributes:
        graph_def: Nodes of a layer are named ``<layer>/...``, as far as TensorFlow allows; weights are Const nodes.
        feeds: What it takes, in the order of the network's inputs.
        outputs: The tensors that it gives, ``node:0``.
        weights: The Const nodes that were variables, by node name.
        owners: The layer that made each node, by node name; all but feeds and returns have one.
        products: Multiply-adds of each layer for one image; a layer without any is missing.
        calls: The op of the thesis that a node computes by calling a function, by node name.
        shapes: Of the first output of each node, by node name, batch included; a shape that is not known is missing.
    """

    graph_def: Any
    feeds: tuple[Feed, ...]
    outputs: tuple[str, ...]
    weights: dict[str, npt.NDArray[Any]]
    owners: dict[str, str]
    products: dict[str, Products] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        """Images per step."""
        return self.feeds[0].shape[0]

    @property
    def logits_name(self) -> str:
        """The node that computes the first output, before the Identity that it is returned through."""
        name = self.outputs[0].partition(":")[0]
        output = next(node for node in self.graph_def.node if node.name == name)
        return str(output.input[0]).partition(":")[0] if output.op == "Identity" else name

    @property
    def gives_classes(self) -> bool:
        """Whether the first output has a value per class of each image."""
        return len(self.shapes.get(self.logits_name, ())) == 2


def freeze_function(
    function: Any,
    layer_of: Callable[[str], tuple[str, str]],
    batch_size: int,
    is_weight: Callable[[str], bool] = lambda node: False,
) -> FrozenGraph:
    """Freezes a concrete function.

    Args:
        function: With inputs whose shapes are known, the batch first.
        layer_of: The layer that a node belongs to, empty where it is none's, and the node's name within it.
        batch_size: Images per step, by which counts are divided.
        is_weight: Whether a constant is a weight, beside those that were variables.
    """
    variables = {tensor.op.name for tensor in function.graph.internal_captures}
    frozen = freeze_variables(function)
    original = frozen.graph.as_graph_def()
    names, owners = _names_and_owners([node.name for node in original.node], layer_of)
    graph_def = tf1.GraphDef(versions=original.versions, library=original.library)
    weights, calls = {}, {}
    for node in original.node:
        if node.op == "NoOp":
            continue  # groups the variable reads, of no effect without variables
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        copy.name = names[node.name]
        del copy.input[:]
        copy.input.extend(_renamed(i, names) for i in node.input if not i.startswith("^"))
        if node.op == "Const" and (node.name in variables or is_weight(node.name)):
            weights[copy.name] = tf.make_ndarray(node.attr["value"].tensor)
        if op := called_mac_op(node, original.library):
            calls[copy.name] = op
    owners = _with_weights(graph_def.node, owners, weights)
    return FrozenGraph(
        graph_def=graph_def,
        feeds=tuple(Feed(names[t.op.name], tuple(t.shape), t.dtype) for t in frozen.inputs),
        outputs=tuple(_renamed(t.name, names) for t in frozen.outputs),
        weights=weights,
        owners=owners,
        products=_by_layer(frozen.graph, names, owners, batch_size),
        calls=calls,
        shapes=_shapes(frozen.graph, names),
    )


def _names_and_owners(
    nodes: Sequence[str], layer_of: Callable[[str], tuple[str, str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """The new name of each node by its old one, and its layer by its new name."""
    names, owners = {}, {}
    taken = tf.Graph()
    for node in nodes:
        layer, own = layer_of(node)
        names[node] = taken.unique_name(f"{_scope(layer)}/{own}" if layer else own)
        if layer:
            owners[names[node]] = layer
    return names, owners


def _scope(layer: str) -> str:
    """A layer's name as TensorFlow allows it for nodes. Source: ``IsValidNodeName``, node_def_util.cc."""
    allowed = re.sub(r"[^\w.\\/>-]", "_", layer, flags=re.ASCII)
    return allowed if allowed[0].isalnum() or allowed[0] == "." else f".{allowed}"


def _with_weights(nodes: Any, owners: Mapping[str, str], weights: Mapping[str, Any]) -> dict[str, str]:
    """The owners, with those of weights that stand in no scope: the layers that read them first."""
    readers: dict[str, list[str]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name.partition(":")[0], []).append(node.name)

    def owner(node: str) -> str:
        found = owners.get(node, "")
        return found or next((layer for reader in readers.get(node, ()) if (layer := owner(reader))), "")

    found = {weight: layer for weight in weights if (layer := owner(weight))}
    return {**owners, **found}


def _by_layer(graph: Any, names: Mapping[str, str], owners: Mapping[str, str], batch_size: int) -> dict[str, Products]:
    found: dict[str, Products] = {}
    for operation in graph.get_operations():
        layer = owners.get(names.get(operation.name, ""), "")
        counted = count_products(operation, graph)
        if layer and counted is not None:
            found[layer] = found.get(layer, Products(0, 0)) + counted
    return {layer: products.of_one(batch_size) for layer, products in found.items()}


def _shapes(graph: Any, names: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    first = {operation.name: operation.outputs[0].shape for operation in graph.get_operations() if operation.outputs}
    return {names[name]: tuple(shape) for name, shape in first.items() if name in names and shape.is_fully_defined()}


def _renamed(tensor: str, names: Mapping[str, str]) -> str:
    """A tensor reference, ``node`` or ``node:1``, with its node renamed."""
    node, *port = tensor.split(":")
    return ":".join((names[node], *port))


def function_of(frozen: FrozenGraph) -> Any:
    """A frozen graph as a function from its inputs to its first output, each a whole batch."""

    def run(*values: Any) -> Any:
        taken = {f"{feed.node}:0": value for feed, value in zip(frozen.feeds, values, strict=True)}
        return tf.import_graph_def(frozen.graph_def, taken, frozen.outputs[:1], name="")[0]

    return tf1.wrap_function(run, [tf.TensorSpec(feed.shape, feed.dtype) for feed in frozen.feeds])


def as_thesis_graph(frozen: FrozenGraph) -> Any:
    """The frozen graph in the ops of the tutorial's TensorFlow 1 code; it computes the same logits.

    Weights become VariableV2 nodes read through Identity; the reshaping that Keras does to a
    convolution's bias is skipped; a dense layer's BiasAdd becomes Add, as in ``tf.matmul(x, w) + b``.
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    skipped = {}
    for node in nodes.values():
        if node.op == "BiasAdd":
            source, between = node.input[1], []
            while nodes[source].op in ("Squeeze", "Reshape"):
                between.append(source)
                source = nodes[source].input[0]
            skipped.update(dict.fromkeys(between, source))

    result = tf1.GraphDef(versions=frozen.graph_def.versions, library=frozen.graph_def.library)
    for node in nodes.values():
        if node.name in skipped:
            continue
        copy = result.node.add()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(skipped.get(name, name) for name in node.input)
        if node.name in frozen.weights:
            value = frozen.weights[node.name]
            copy.Clear()
            copy.name, copy.op = node.name, "VariableV2"
            copy.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
            copy.attr["shape"].shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
        elif node.op == "BiasAdd" and nodes[node.input[0]].op == "MatMul":
            copy.op = "Add"
            del copy.attr["data_format"]
    return result
