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

_HOMOGENEOUS = (
    *(keras.layers.MaxPooling2D, keras.layers.AveragePooling2D, keras.layers.Dropout),
    keras.layers.Activation,
)
"""Layers that give twice as much of twice as much, as far as their activation lets them."""
_STRAIGHT = (None, keras.activations.linear)
_Values = npt.NDArray[Any]


def without_lrn(subject: Subject) -> keras.Model | None:
    """The model without its local response normalisations; None where it has none.

    What such a one does to a channel on the sample, as a factor by least squares, goes into the filters that make the
    channel, where nothing but rectifiers and pools lies between.
    """
    model, found = subject.model, _lrns(subject.model)
    if not found:
        return None
    factors = {}
    for layer, (read, given) in zip(found, _around(subject, found), strict=True):
        if maker := _scalable(model, layer):
            factors[maker.name] = (read * given).sum(axis=0) / np.maximum((read * read).sum(axis=0), 1e-12)

    def change(layer: keras.Layer) -> Sequence[NewLayer] | None:
        if layer in found:
            return ()
        return [_affine(layer, factors[layer.name], 0.0)] if layer.name in factors else None

    return rebuilt(model, change)


def lrn_to_batch_norm(subject: Subject) -> keras.Model | None:
    """The model with batch normalisations in place of local response normalisations; None where it has none.

    Each begins as what comes nearest on the sample: the straight line of each channel, by least squares.
    """
    found = _lrns(subject.model)
    if not found:
        return None
    pairs = zip(found, _around(subject, found), strict=True)
    weights = {layer.name: _nearest(*values) for layer, values in pairs}

    def change(layer: keras.Layer) -> Sequence[NewLayer] | None:
        if layer.name not in weights:
            return None
        return [NewLayer(FusedBatchNormalization(name=layer.name, epsilon=_EPSILON), weights[layer.name])]

    return rebuilt(subject.model, change)


def _around(subject: Subject, layers: Sequence[keras.Layer]) -> list[tuple[_Values, _Values]]:
    """What layers read and give on the sample, (values, channels) each."""
    ends = keras.Model(subject.model.input, [tensor for layer in layers for tensor in (layer.input, layer.output)])
    values = [
        each.reshape(-1, each.shape[-1]).astype(np.float64)
        for each in ends.predict(subject.images, batch_size=64, verbose=0)
    ]
    return list(zip(values[::2], values[1::2], strict=True))


_EPSILON = 1e-3


def _lrns(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if isinstance(layer, LocalResponseNormalization)]


def _nearest(x: _Values, y: _Values) -> list[_Values]:
    """Gamma, beta, mean and variance of the batch normalisation nearest to what makes y of x."""
    variance = x.var(axis=0)
    slope = ((x - x.mean(axis=0)) * y).mean(axis=0) / np.maximum(variance, 1e-12)
    return [slope * np.sqrt(variance + _EPSILON), y.mean(axis=0), x.mean(axis=0), variance]


def _links(model: keras.Model) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """By their names: what reads each operation of a model, None for the model's output; and what each reads."""
    readers: dict[str, list[Any]] = {}
    reads: dict[str, list[Any]] = {}

    def visit(operation: Any, given: list[Any]) -> Any:
        reads.setdefault(operation.name, []).extend(given)
        for each in given:
            readers.setdefault(each.name, []).append(operation)
        return operation

    readers.setdefault(walk(model, model.inputs[0], visit).name, []).append(None)
    return readers, reads


def _scalable(model: keras.Model, layer: keras.Layer) -> keras.Layer | None:
    """The layer whose filters by a positive factor make what ``layer`` reads by that factor; None where none does."""
    readers, reads = _links(model)
    while True:
        before, *others = reads.get(layer.name, [None])
        if before is None or others or len(readers[before.name]) > 1:
            return None
        bends = getattr(before, "activation", None) not in (*_STRAIGHT, keras.activations.relu)
        if isinstance(before, _FOLDABLE):
            return None if bends else before
        if bends or not isinstance(before, _HOMOGENEOUS):
            return None
        layer = before


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
    readers, reads = _links(model)
    found = {}
    for layer in model.layers:
        if not isinstance(layer, _FOLDABLE) or layer.activation not in _STRAIGHT:
            continue
        norm, *others = readers[layer.name]
        is_alone = isinstance(norm, keras.layers.BatchNormalization) and not others and len(reads[norm.name]) == 1
        if is_alone and norm.axis in (-1, len(layer.output.shape) - 1):
            found[layer.name] = norm
    return found


def _folded(layer: keras.Layer, norm: keras.layers.BatchNormalization) -> NewLayer:
    """A layer with the normalisation behind it in its weights: scale * (x - mean) / sqrt(variance + epsilon) + beta."""
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    scale = (norm.gamma.numpy() if norm.scale else 1.0) / np.sqrt(variance + norm.epsilon)
    return _affine(layer, scale, (norm.beta.numpy() if norm.center else 0.0) - mean * scale)


def _affine(layer: keras.Layer, factor: _Values, shift: _Values | float) -> NewLayer:
    """A layer that gives each channel times a factor, plus a shift."""
    *kernels, last = layer.get_weights()[: -1 if layer.use_bias else None]
    bias = layer.get_weights()[-1] if layer.use_bias else np.zeros_like(factor)
    per_filter = factor.reshape(last.shape[2:]) if isinstance(layer, keras.layers.DepthwiseConv2D) else factor
    return copied(layer, [*kernels, last * per_filter, bias * factor + shift], use_bias=True)
