"""A Keras model made anew with some of its layers changed: every one of the `methods` is such a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy.typing as npt

from ...base.errors import MeasureError
from ...params.model import ModelSpec
from ...params.network import Network
from ..models.build import FusedBatchNormalization
from ..models.load import loaded_of
from ..models.open import of_keras
from ..private import run_through_graph


class NewLayer(NamedTuple):
    """A layer to be put into a model, and the weights that it gets there."""

    layer: keras.Layer
    weights: Sequence[npt.NDArray[Any]]


_LEAST = 1e-7
"""Probability whose logarithm stands for that of 0."""
InPlaceOf = Callable[[keras.Layer], Sequence[NewLayer] | None]
"""What stands in a layer's place, one part after the other; None for the layer as it is."""


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of a tensor, on its way through a model in the tensor's place."""

    value: Any


def copied(layer: keras.Layer, weights: Sequence[npt.NDArray[Any]] | None = None, **config: Any) -> NewLayer:
    """A layer of its own with the same weights, unless others are given, and keys of its configuration changed.

    Raises:
        MeasureError: the layer cannot be made from its configuration.
    """
    kept = layer.get_weights() if weights is None else weights
    if isinstance(layer, keras.layers.Lambda):  # has no weights, and code that is not to be loaded again
        return NewLayer(layer, kept)
    try:
        if isinstance(layer, keras.Model):
            return NewLayer(keras.models.clone_model(layer), kept)
        named = {**layer.get_config(), "name": layer.name.replace(".", "_"), **config}
        return NewLayer(type(layer).from_config(named), kept)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise MeasureError(
            f"{layer.name}: {type(layer).__name__} cannot be made anew from its configuration "
            f"({' '.join(str(error).split())[:80]}). Give the class a get_config() that holds all its arguments."
        ) from None


def rebuilt(
    model: keras.Model, change: InPlaceOf = lambda layer: None, name: str = "", shape: Sequence[int] = ()
) -> keras.Model:
    """A functional model of layers of its own, with the same weights where nothing is changed.

    Args:
        model: A functional or sequential model of one input and one output. It is left as it is.
        change: What to put in place of each layer.
        name: Of the new model; the old one's unless given.
        shape: Of its input, without the batch, where the old one leaves sizes open.
    """
    made: dict[int, Sequence[NewLayer]] = {}

    def in_place_of(operation: Any) -> Callable[..., Any]:
        if not isinstance(operation, keras.Layer):
            return operation  # type: ignore[no-any-return]

        def call(*args: Any, **kwargs: Any) -> Any:
            if id(operation) not in made:
                changed = change(operation)
                made[id(operation)] = [copied(operation)] if changed is None else changed
            value = args[0] if args else next(iter(kwargs.values()))
            for place, part in enumerate(made[id(operation)]):
                value = part.layer(value) if place else part.layer(*args, **kwargs)
                part.layer.set_weights(part.weights)
            return value

        return call

    (tensor,) = model.inputs
    start = keras.Input(shape or tensor.shape[1:], dtype=tensor.dtype, name=tensor.name.strip("()"))
    (end,) = run_through_graph(keras.Function(model.inputs, model.outputs), [start], in_place_of)
    return keras.Model(start, end, name=name or model.name)


def released(model: keras.Model, name: str) -> keras.Model:
    """A model to be kept: of Keras' own layers where Keras has them."""

    def change(layer: keras.Layer) -> Sequence[NewLayer] | None:
        if not isinstance(layer, FusedBatchNormalization):
            return None
        return [NewLayer(keras.layers.BatchNormalization.from_config(layer.get_config()), layer.get_weights())]

    return rebuilt(model, change, name)


def walk(model: keras.Model, start: Any, visit: Callable[[Any, list[Any]], Any]) -> Any:
    """Follows something other than tensors through a model.

    Args:
        model: The model.
        start: What is known of its input.
        visit: Called for each operation, in order, with what is known of what it reads; returns the same of its output.

    Returns:
        What is known of the model's output.
    """

    def of(operation: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            given = [each.value for each in keras.tree.flatten((args, kwargs)) if isinstance(each, _Known)]
            return [_Known(visit(operation, given))] * len(keras.tree.flatten(operation.output))

        return call

    (end,) = run_through_graph(keras.Function(model.inputs, model.outputs), [_Known(start)], of)
    return end.value


def logits_of(model: keras.Model) -> keras.Model:
    """The same layers as a model that gives logits: the logarithms where it gives probabilities."""
    last = walk(model, None, lambda operation, _: operation)
    gives_probabilities = isinstance(last, keras.layers.Softmax) or (
        getattr(last, "activation", None) is keras.activations.softmax
    )
    if not gives_probabilities:
        return model
    return keras.Model(model.input, keras.ops.log(keras.ops.maximum(model.outputs[0], _LEAST)))


def network_of_model(model: keras.Model) -> Network:
    """What a model is and costs, layer by layer."""
    spec = ModelSpec(name="model", title=model.name, model=f"{model.name} in memory")
    return loaded_of(spec, of_keras(spec, model, "0" * 64), 1, "memory").network
