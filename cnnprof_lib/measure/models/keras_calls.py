"""A Keras model's inference, traced call by call: which layer makes which nodes, what it reads and what it gives.

Keras' own scopes do not tell: a second ``conv2d`` is ``conv2d_1``, which may be another layer's name, and a model
within a model is one layer. So each call is made within a scope of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from ..private import run_through_graph


class LayerCall(NamedTuple):
    """One call of a layer.

    Attributes:
        layer: Its path: the names of the models around it and its own, ``mobilenetv2/block_1_expand``.
        own: Its own name.
        type: The name of its class.
        reads: The layers and inputs of the network that made what it is given, in order.
        output_shape: Of its first output, without the batch.
    """

    layer: str
    own: str
    type: str
    reads: tuple[str, ...]
    output_shape: tuple[int, ...]


def is_graph(model: Any) -> bool:
    """Whether a model is a graph of layers, functional or sequential, that can be called one by one."""
    return isinstance(model, keras.Model) and bool(getattr(model, "inputs", None))


def trace_calls(model: keras.Model, specs: Sequence[tf.TensorSpec]) -> tuple[Any, list[LayerCall]]:
    """The inference of a model as a concrete function, and the calls that it makes.

    Args:
        model: A functional or sequential model.
        specs: Of its inputs.

    Returns:
        The function, and its calls: nodes of the i-th are named ``.i/...``, as no other node is.
    """
    calls: list[LayerCall] = []
    made: dict[int, str] = {}
    kept: list[Any] = []  # an id is a tensor's as long as it lives

    def of(prefix: str) -> Callable[[Any], Callable[..., Any]]:
        def in_scope(operation: Any) -> Callable[..., Any]:
            path = f"{prefix}{operation.name}"
            if is_graph(operation):
                return lambda inputs, *_, **__: _through(operation, inputs, of(f"{path}/"))
            inference = {"training": False} if isinstance(operation, keras.Layer) else {}

            def call(*args: Any, **kwargs: Any) -> Any:
                scope = f".{len(calls)}/"
                calls.append(LayerCall(path, operation.name, type(operation).__name__, (), ()))
                place = len(calls) - 1
                given = [t for t in keras.tree.flatten((args, kwargs)) if tf.is_tensor(t)]
                with tf.name_scope(scope):
                    result = operation(*args, **(kwargs | inference))
                outputs = [t for t in keras.tree.flatten(result) if tf.is_tensor(t)]
                reads = tuple(dict.fromkeys(made[id(t)] for t in given if id(t) in made))
                shape = tuple(int(side or 0) for side in outputs[0].shape[1:]) if outputs else ()
                calls[place] = calls[place]._replace(reads=reads, output_shape=shape)
                for tensor in outputs:
                    if id(tensor) not in made:  # a layer that gives back what it was given made nothing
                        made[id(tensor)] = path
                        kept.append(tensor)
                    elif not calls[place].reads:
                        made[id(tensor)] = path
                return result

            return call

        return in_scope

    def inference(*inputs: Any) -> Any:
        calls.clear()
        made.update({id(value): tensor.name for value, tensor in zip(inputs, model.inputs, strict=True)})
        kept.extend(inputs)
        return run_through_graph(keras.Function(model.inputs, model.outputs), list(inputs), of(""))

    return tf.function(inference).get_concrete_function(*specs), calls


def _through(model: Any, inputs: Any, in_scope: Callable[[Any], Callable[..., Any]]) -> Any:
    """Calls a model within a model layer by layer."""
    flat = keras.tree.flatten(inputs)
    outputs = run_through_graph(keras.Function(model.inputs, model.outputs), flat, in_scope)
    return keras.tree.pack_sequence_as(model.output, keras.tree.flatten(outputs))


def layer_of_call(calls: Sequence[LayerCall], suffix: str) -> Callable[[str], tuple[str, str]]:
    """The layer of a node by the scope of its call, and the node's name within the layer.

    Args:
        calls: As from `trace_calls`.
        suffix: Of names of layers whose nodes are booked under the name before it.
    """

    def layer_of(node: str) -> tuple[str, str]:
        scope, _, rest = node.partition("/")
        if not scope.startswith("."):
            return "", node
        call = calls[int(scope[1:])]
        own = re.sub(rf"^{re.escape(call.own)}(_\d+)?/", "", rest)  # Keras' scope, numbered, within ours
        return call.layer.removesuffix(suffix), own

    return layer_of
