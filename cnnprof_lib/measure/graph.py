"""A Keras model as a frozen graph, as TensorFlow runs it and in the ops of the thesis; `session` steps it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import keras
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from .model import FLATTEN_SUFFIX

tf1 = tf.compat.v1


@dataclass(frozen=True)
class FrozenGraph:
    """A network without training parts, for one batch size.

    Attributes:
        graph_def: Nodes named ``<layer>/...``; weights are Const nodes.
        input_name: The Placeholder of shape ``input_shape``.
        output_name: The node that gives the logits, (batch, classes).
        input_shape: (batch, height, width, channels).
        weights: The Const nodes that were variables, by node name.
        layers: Names of the network's layers, in order.
    """

    graph_def: Any
    input_name: str
    output_name: str
    input_shape: tuple[int, int, int, int]
    weights: dict[str, npt.NDArray[Any]]
    layers: tuple[str, ...]

    @property
    def logits_name(self) -> str:
        """The node that computes the logits, before the Identity that Keras returns them through."""
        output = next(node for node in self.graph_def.node if node.name == self.output_name)
        return str(output.input[0]) if output.op == "Identity" else self.output_name

    def layer_of(self, node: str) -> str:
        """The layer a node belongs to; empty for nodes of none, such as the queue."""
        for part in node.split("/"):
            name = part.removesuffix(FLATTEN_SUFFIX)
            if name in self.layers:
                return name
        return ""


def freeze(model: keras.Model, batch_size: int) -> FrozenGraph:
    """Freezes the inference of a model with one input and one output.

    Args:
        model: Any Keras model from images to logits; layers are told apart by their names.
        batch_size: Images per step.
    """
    shape = (batch_size, *model.input_shape[1:])
    inference = tf.function(lambda images: model(images, training=False))
    function = convert_variables_to_constants_v2(inference.get_concrete_function(tf.TensorSpec(shape, tf.float32)))
    original = function.graph.as_graph_def()
    layer_names = [layer.name for layer in model.layers]
    plain_names = _plain_names([node.name for node in original.node], model.name, layer_names)

    graph_def = tf1.GraphDef(versions=original.versions)
    weights = {}
    for node in original.node:
        if node.op == "NoOp":
            continue  # groups the variable reads, of no effect without variables
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        copy.name = plain_names[node.name]
        del copy.input[:]
        copy.input.extend(_renamed(i, plain_names) for i in node.input if not i.startswith("^"))
        if node.op == "Const" and node.name.endswith("/resource"):
            weights[copy.name] = tf.make_ndarray(node.attr["value"].tensor)
    return FrozenGraph(
        graph_def=graph_def,
        input_name=plain_names[function.inputs[0].op.name],
        output_name=plain_names[function.outputs[0].op.name],
        input_shape=shape,
        weights=weights,
        layers=tuple(name for name in layer_names if not name.endswith(FLATTEN_SUFFIX)),
    )


def _plain_names(names: list[str], model_name: str, layers: list[str]) -> dict[str, str]:
    """Node names without what Keras adds: ``stride2_1/conv1_1/convolution`` becomes ``conv1/convolution``."""
    result = {}
    for name in names:
        parts = name.split("/")
        if len(parts) > 1 and re.fullmatch(re.escape(model_name) + r"(_\d+)?", parts[0]):
            parts = parts[1:]
        without_number = re.sub(r"_\d+$", "", parts[0])
        if parts[0] not in layers and without_number in layers:
            parts[0] = without_number
        result[name] = "/".join(parts)
    if len(set(result.values())) < len(result):
        return {name: name for name in names}  # a model whose names would collide keeps them
    return result


def _renamed(tensor: str, names: dict[str, str]) -> str:
    """A tensor reference, ``node`` or ``node:1``, with its node renamed."""
    node, *port = tensor.split(":")
    return ":".join((names[node], *port))


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

    result = tf1.GraphDef(versions=frozen.graph_def.versions)
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
