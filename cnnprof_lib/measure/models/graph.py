"""A Keras model as a frozen graph, as TensorFlow runs it and in the ops of the thesis; `session` steps it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy.typing as npt
import tensorflow as tf

from ..private import freeze_variables, run_through_graph
from .build import FLATTEN_SUFFIX

tf1 = tf.compat.v1


@dataclass(frozen=True)
class FrozenGraph:
    """A network without training parts, for one batch size.

    Attributes:
        graph_def: Nodes of a layer are named ``<layer>/...``; weights are Const nodes.
        input_name: The Placeholder of shape ``input_shape``.
        output_name: The node that gives the logits, (batch, classes).
        input_shape: (batch, height, width, channels).
        weights: The Const nodes that were variables, by node name.
        owners: The layer that made each node, by node name; all but input and output have one.
    """

    graph_def: Any
    input_name: str
    output_name: str
    input_shape: tuple[int, int, int, int]
    weights: dict[str, npt.NDArray[Any]]
    owners: dict[str, str]

    @property
    def logits_name(self) -> str:
        """The node that computes the logits, before the Identity that Keras returns them through."""
        output = next(node for node in self.graph_def.node if node.name == self.output_name)
        return str(output.input[0]) if output.op == "Identity" else self.output_name


def freeze(model: keras.Model, batch_size: int) -> FrozenGraph:
    """Freezes the inference of a model with one input and one output.

    Args:
        model: A functional or sequential Keras model from images to logits.
        batch_size: Images per step.
    """
    shape = (batch_size, *model.input_shape[1:])
    inference, calls = _in_scopes(model)
    function = freeze_variables(inference.get_concrete_function(tf.TensorSpec(shape, tf.float32)))
    original = function.graph.as_graph_def()
    owners, names = _owners_and_names([node.name for node in original.node], calls)

    graph_def = tf1.GraphDef(versions=original.versions)
    weights = {}
    for node in original.node:
        if node.op == "NoOp":
            continue  # groups the variable reads, of no effect without variables
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        copy.name = names[node.name]
        del copy.input[:]
        copy.input.extend(_renamed(i, names) for i in node.input if not i.startswith("^"))
        if node.op == "Const" and node.name.endswith("/resource"):
            weights[copy.name] = tf.make_ndarray(node.attr["value"].tensor)
    return FrozenGraph(
        graph_def=graph_def,
        input_name=names[function.inputs[0].op.name],
        output_name=names[function.outputs[0].op.name],
        input_shape=shape,
        weights=weights,
        owners=owners,
    )


def _in_scopes(model: keras.Model) -> tuple[Any, list[str]]:
    """The inference of a model as a ``tf.function`` that records which layer makes which nodes.

    Keras' own scopes do not tell: a second ``conv2d`` is ``conv2d_1``, which may be another layer's name.

    Returns:
        The function, and the layers in the order in which it calls them: nodes of the i-th call are named ``.i/...``,
        as no other node is. The list is filled when the function is traced.
    """
    calls: list[str] = []

    def in_scope(operation: Any) -> Callable[..., Any]:
        scope = f".{len(calls)}/"
        calls.append(operation.name)
        inference = {"training": False} if isinstance(operation, keras.Layer) else {}

        def call(*args: Any, **kwargs: Any) -> Any:
            with tf.name_scope(scope):
                return operation(*args, **(kwargs | inference))

        return call

    layers = keras.Function(model.inputs, model.outputs)
    return tf.function(lambda images: run_through_graph(layers, images, in_scope)), calls


def _owners_and_names(nodes: list[str], calls: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The owner of each node by its new name, and the new names.

    Args:
        nodes: Names as the function of `_in_scopes` gives them.
        calls: The layers it called.
    """
    owners, names = {}, {}
    taken = tf.Graph()
    for node in nodes:
        scope, _, rest = node.partition("/")
        if not scope.startswith("."):
            names[node] = taken.unique_name(node)
            continue
        layer = calls[int(scope[1:])]
        owner = layer.removesuffix(FLATTEN_SUFFIX)
        own = re.sub(rf"^{re.escape(layer)}(_\d+)?/", "", rest)  # Keras' scope, numbered, within ours
        names[node] = taken.unique_name(f"{owner}/{own}")
        owners[names[node]] = owner
    return owners, names


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
