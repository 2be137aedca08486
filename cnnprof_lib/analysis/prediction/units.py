"""A network as units that are computed together, each with the sizes that its time depends on.

A unit is a layer that walks through its input, with the layers behind it that work value by value: normalisations,
activations, sums. Runtimes fuse those into it. All is read off the `Network`: types and shapes, parameters, MACs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...params.network import Network, NetworkLayer, Shape

_BESIDE = {
    "batchnorm": "norm",
    "batchnormalization": "norm",
    "fusedbatchnormalization": "norm",
    "fusedbatchnormv3": "norm",
    "relu": "relu",
    "relu6": "relu",
    "clip": "relu",
    "activation": "relu",
    "add": "add",
    "addv2": "add",
    "concat": "concat",
    "concatv2": "concat",
    "concatenate": "concat",
    "flatten": "nothing",
    "reshape": "nothing",
    "squeeze": "nothing",
    "dropout": "nothing",
    "identity": "nothing",
    "inputlayer": "nothing",
}
"""Types of layers that work value by value, in variants, Keras, TensorFlow and ONNX, without case and underscores."""
_LRN = ("lrn", "localresponsenormalization")
CALL = "call"
"""The kind of what a step costs beside its layers."""
_BLOCK = 16
"""Float32 values in a vector of AVX-512: kernels pad channels to it."""


@dataclass(frozen=True)
class Unit:
    """Layers that are computed together, and their sizes for one image.

    Attributes:
        layer: The one that walks through its input; empty for the call itself.
        layers: All, in order.
        kind: Of the first.
        beside: Kinds of the others.
        pixels_in: Places of its input, height times width; 1 for a vector.
        pixels_out: Of its output.
        channels_in: Of its input.
        channels_out: Of its output.
        per_value: Multiply-adds of one output value; for a pool, input places to an output place.
        weights: Parameters.
        macs: Multiply-adds.
        pixel_macs: Those on real pixels, which are all that some kernels compute.
        joins: Further tensors that are added or put beside.
    """

    layer: str
    layers: tuple[str, ...]
    kind: str
    beside: frozenset[str]
    pixels_in: int
    pixels_out: int
    channels_in: int
    channels_out: int
    per_value: float
    weights: int
    macs: int
    pixel_macs: int
    joins: int

    def sizes(self, batch_size: int) -> npt.NDArray[np.float64]:
        """Binary logarithms of its sizes, by which two units are alike or not."""
        read, written = self._moved(batch_size)
        return np.log2(
            [
                batch_size,
                self.pixels_out,
                batch_size * self.pixels_out,
                self.pixels_in / self.pixels_out,
                self.channels_in,
                self.channels_out,
                max(self.per_value, 1e-3),
                _padded(self.channels_in),
                _padded(self.channels_out),
                1 + self.joins,
                max(self.per_value / self.channels_in, 1 / self.channels_in),
                (1 + self.macs) / (1 + self.pixel_macs),
                1 + batch_size * self.macs,
                read + written + self.weights,
            ]
        )

    def work(self, batch_size: int) -> npt.NDArray[np.float64]:
        """What its time may be proportional to, each part by itself.

        They are: once; values read, values written, weights; multiply-adds as they are, with the channels filled up to
        whole vectors, and those that a kernel loses on few channels.
        """
        read, written = self._moved(batch_size)
        macs = batch_size * self.pixel_macs
        filled = (1, _padded(self.channels_in), _padded(self.channels_out), 1 / self.channels_in, 1 / self.channels_out)
        products = (batch_size * self.macs, *(macs * share for share in filled))
        return np.array([1, read, written, self.weights, *products], float)

    def _moved(self, batch_size: int) -> tuple[int, int]:
        """Values read and written."""
        read = self.pixels_in * self.channels_in
        return batch_size * read, batch_size * self.pixels_out * self.channels_out * (1 + self.joins)


PARTS_OF_WORK = 10
"""Of the work of a unit."""


def _padded(channels: int) -> float:
    """How many times as many channels there are with those that fill up the last vector."""
    return math.ceil(channels / _BLOCK) * _BLOCK / channels


def units_of(network: Network) -> tuple[Unit, ...]:
    """The units of a network in order; the call itself comes first."""
    first = network.inputs[0].shape
    channels_first = len(first) == 3 and first[0] <= 4 < min(first[1:])
    shapes: dict[str, Shape] = {tensor.name: tensor.shape for tensor in network.inputs}
    shapes |= {layer.name: layer.output_shape for layer in network.layers}
    owners: dict[str, int] = {}
    units: list[Unit] = []
    for layer in network.layers:
        reads = [shapes[name] for name in layer.inputs if name in shapes]
        kind = kind_of(layer, reads)
        before = max((owners[name] for name in layer.inputs if name in owners), default=None)
        if kind in _BESIDE.values() and before is not None:
            owners[layer.name] = before
            units[before] = _with(units[before], layer, kind)
        else:
            owners[layer.name] = len(units)
            units.append(_begun(layer, kind, reads, channels_first))
    return (_call(network, len(units)), *units)


def kind_of(layer: NetworkLayer, reads: Sequence[Shape]) -> str:
    """What a layer is: by its multiply-adds and shapes if it has any, else by its type."""
    plain = re.sub(r"[^a-z0-9]", "", layer.type.lower())
    if layer.macs is None or not reads or not math.prod(layer.output_shape):
        return f"uncounted {layer.type}"
    if layer.macs:
        if "separable" in plain:
            return "separable"
        if len(layer.output_shape) == 1:
            return "dense"
        return "grouped" if "depthwise" in plain or "group" in plain else "conv"
    if plain in _LRN:
        return "lrn"
    if plain in _BESIDE:
        return _BESIDE[plain]
    if "pool" in plain or plain in ("mean", "reducemean"):
        return "max pool" if "max" in plain else "avg pool"
    return f"other {layer.type}"


def _pixels(shape: Shape, channels_first: bool) -> tuple[int, int]:
    """Places and channels of a tensor."""
    if len(shape) < 2:
        return 1, math.prod(shape)
    channels = shape[0] if channels_first else shape[-1]
    return math.prod(shape) // max(channels, 1), channels


def _begun(layer: NetworkLayer, kind: str, reads: Sequence[Shape], channels_first: bool) -> Unit:
    pixels_in, channels_in = _pixels(reads[0] if reads else (1,), channels_first)
    if kind == "dense":
        pixels_in, channels_in = 1, pixels_in * channels_in
    pixels_out, channels_out = _pixels(layer.output_shape, channels_first)
    macs = layer.macs or 0
    per_value = macs / (pixels_out * channels_out) if macs else pixels_in / pixels_out
    if kind.endswith("pool") and pixels_out == 1:
        kind = "mean"  # over the whole image
    if kind == "conv" and per_value <= channels_in:
        kind = "grouped" if per_value < channels_in else "pointwise"
    return Unit(
        layer.name,
        (layer.name,),
        kind,
        frozenset(),
        max(pixels_in, 1),
        max(pixels_out, 1),
        max(channels_in, 1),
        max(channels_out, 1),
        per_value,
        layer.parameters,
        macs,
        layer.pixel_macs or 0,
        max(len(reads) - 1, 0),
    )


def _with(unit: Unit, layer: NetworkLayer, kind: str) -> Unit:
    return replace(
        unit,
        layers=(*unit.layers, layer.name),
        beside=unit.beside | {kind},
        weights=unit.weights + layer.parameters,
        joins=unit.joins + len(layer.inputs) - 1,
    )


def _call(network: Network, units: int) -> Unit:
    values = sum(math.prod(tensor.shape) for tensor in network.inputs)
    return Unit("", (), CALL, frozenset(), 1, 1, values, max(units, 1), 1, len(network.layers), 0, 0, 0)
