"""Normalisations removed, replaced, or folded into the layers before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ..models.build import FusedBatchNormalization, LocalResponseNormalization
from .rebuild import NewLayer, copied, rebuilt, walk
from .subject import Subject

_FOLDABLE = (
    keras.layers.Conv2D,
    keras.layers.Dense,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


def without_lrn(subject: Subject) -> keras.Model | None:
    """The model without its local response normalisations; None where it has none."""
    if not _lrns(subject.model):
        return None
    return rebuilt(subject.model, lambda layer: () if isinstance(layer, LocalResponseNormalization) else None)


def lrn_to_batch_norm(subject: Subject) -> keras.Model | None:
    """The model with batch normalisations in place of local response normalisations; None where it has none.

    Each begins as what comes nearest on the sample: the straight line of each channel, by least squares.
    """
    found = _lrns(subject.model)
    if not found:
        return None
    ends = keras.Model(subject.model.input, [tensor for layer in found for tensor in (layer.input, layer.output)])
    values = iter(keras.tree.flatten(ends.predict(subject.images, batch_size=64, verbose=0)))
    weights = {layer.name: _nearest(next(values), next(values)) for layer in found}

    def change(layer: keras.Layer) -> Sequence[NewLayer] | None:
        if layer.name not in weights:
            return None
        return [NewLayer(FusedBatchNormalization(name=layer.name, epsilon=_EPSILON), weights[layer.name])]

    return rebuilt(subject.model, change)


_EPSILON = 1e-3


def _lrns(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if isinstance(layer, LocalResponseNormalization)]


def _nearest(read: npt.NDArray[Any], given: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Gamma, beta, mean and variance of the batch normalisation nearest to what a layer does to its channels."""
    x, y = (values.reshape(-1, values.shape[-1]).astype(np.float64) for values in (read, given))
    variance = x.var(axis=0)
    slope = ((x - x.mean(axis=0)) * y).mean(axis=0) / np.maximum(variance, 1e-12)
    return [slope * np.sqrt(variance + _EPSILON), y.mean(axis=0), x.mean(axis=0), variance]


def folded_norms(subject: Subject) -> keras.Model | None:
    """The model with each batch normalisation in the weights of the convolution or dense layer right before it.

    None where there is none. What the model computes stays the same.
    """
    pairs = _foldable(subject.model)
    if not pairs:
        return None
    norms = {id(norm) for norm in pairs.values()}

    def change(layer: keras.Layer) -> Sequence[NewLayer] | None:
        if id(layer) in norms:
            return ()
        return [_folded(layer, pairs[layer.name])] if layer.name in pairs else None

    return rebuilt(subject.model, change)


def _foldable(model: keras.Model) -> dict[str, keras.Layer]:
    """The normalisation that alone reads what a layer gives, by the layer's name."""
    readers: dict[str, list[Any]] = {}

    def visit(operation: Any, given: list[str]) -> str:
        for name in given:
            readers.setdefault(name, []).append(operation)
        return str(operation.name)

    readers.setdefault(walk(model, "", visit), []).append(None)  # the model's output is read, too
    every = [reader for of_layer in readers.values() for reader in of_layer]
    found = {}
    for layer in model.layers:
        if not isinstance(layer, _FOLDABLE) or layer.activation not in (None, keras.activations.linear):
            continue
        (norm, *others) = readers[layer.name]
        is_alone = isinstance(norm, keras.layers.BatchNormalization) and not others and every.count(norm) == 1
        if is_alone and norm.axis in (-1, len(layer.output.shape) - 1):
            found[layer.name] = norm
    return found


def _folded(layer: keras.Layer, norm: keras.layers.BatchNormalization) -> NewLayer:
    """A layer with the normalisation behind it in its weights: scale * (x - mean) / sqrt(variance + epsilon) + beta."""
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    scale = (norm.gamma.numpy() if norm.scale else 1.0) / np.sqrt(variance + norm.epsilon)
    *kernels, last = layer.get_weights()[: -1 if layer.use_bias else None]
    bias = layer.get_weights()[-1] if layer.use_bias else 0.0
    shifted = (bias - mean) * scale + (norm.beta.numpy() if norm.center else 0.0)
    per_filter = scale.reshape(last.shape[2:]) if isinstance(layer, keras.layers.DepthwiseConv2D) else scale
    return copied(layer, [*kernels, last * per_filter, shifted], use_bias=True)
