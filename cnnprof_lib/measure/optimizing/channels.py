"""Which channels of a model are one: what a layer makes is what later layers read, and an addition ties what it adds.

Every channel that a layer makes has a number, and the numbers are followed through the model. So it is known which
weights go with a filter, whatever lies between: a flattening, a sum, a concatenation, a depthwise convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ...params.network import Network, NetworkLayer
from ..models.build import LocalResponseNormalization
from .rebuild import NewLayer, copied, rebuilt, walk

Ids = npt.NDArray[np.int64]
Alive = npt.NDArray[np.bool_]
"""Of each channel's number whether it is kept."""

_layers = keras.layers
_ONE_BY_ONE = (
    *(_layers.BatchNormalization, LocalResponseNormalization, _layers.Activation, _layers.ReLU, _layers.LeakyReLU),
    *(_layers.Dropout, _layers.SpatialDropout2D, _layers.MaxPooling2D, _layers.AveragePooling2D),
    *(_layers.GlobalMaxPooling2D, _layers.GlobalAveragePooling2D),
    *(_layers.ZeroPadding2D, _layers.Cropping2D, _layers.UpSampling2D),
)
"""Layers whose output has the channels of their input."""
_TYING = (_layers.Add, _layers.Subtract, _layers.Multiply, _layers.Average, _layers.Maximum, _layers.Minimum)
_MIXING = (_layers.Conv2D, _layers.Dense, _layers.SeparableConv2D)
"""Layers each of whose outputs reads all channels."""


class Channels:
    """The channels of a model.

    Args:
        model: The model. Channels around layers that are not known, or are called twice, are never removed.

    Attributes:
        gives: Numbers of the channels that each layer gives, by its name; channels that are tied have one number.
        reads: The same of what those read that mix channels; for a dense layer behind a flattening, of each value.
        groups: Numbers of the channels that may be removed, by the layers that make them.
    """

    def __init__(self, model: keras.Model) -> None:
        self._parents: list[int] = []
        self._fixed: set[int] = set()
        self.gives: dict[str, Ids] = {}
        self.reads: dict[str, Ids] = {}
        self._makers: list[str] = []
        self._fix(walk(model, self._fixed_new(model.inputs[0].shape[-1]), self._visit))
        root = np.array([self._root(i) for i in range(len(self._parents))])
        self.gives = {name: root[ids] for name, ids in self.gives.items()}
        self.reads = {name: root[ids] for name, ids in self.reads.items()}
        self.groups = self._grouped({self._root(i) for i in self._fixed})

    @property
    def all_alive(self) -> Alive:
        """Every channel is kept."""
        return np.ones(len(self._parents), bool)

    def _grouped(self, fixed: set[int]) -> dict[tuple[str, ...], Ids]:
        makers: dict[int, list[str]] = {}
        for name in self._makers:
            for number in self.gives[name].tolist():
                makers.setdefault(number, []).append(name)
        groups: dict[tuple[str, ...], list[int]] = {}
        for number, names in makers.items():
            if number not in fixed:
                groups.setdefault(tuple(names), []).append(number)
        return {names: np.array(numbers) for names, numbers in groups.items()}

    def _new(self, count: int) -> Ids:
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def _fixed_new(self, count: int) -> Ids:
        return self._fix(self._new(count))

    def _fix(self, ids: Ids) -> Ids:
        self._fixed.update(ids.tolist())
        return ids

    def _root(self, number: int) -> int:
        while self._parents[number] != number:
            number = self._parents[number]
        return number

    def _visit(self, operation: Any, given: list[Ids]) -> Ids:
        is_known = operation.name not in self.gives and getattr(operation, "data_format", "") != "channels_first"
        ids = self._of(operation, given) if is_known else None
        if ids is None:
            for each in (*given, self.gives.get(operation.name, given[0])):
                self._fix(each)
            ids = self._fixed_new(_channels_of(operation))
        self.gives[operation.name] = ids
        return ids

    def _of(self, operation: Any, given: list[Ids]) -> Ids | None:
        """The channels that an operation gives; None where it is not known which they are."""
        first, size = given[0], _channels_of(operation)
        if isinstance(operation, _MIXING) and getattr(operation, "groups", 1) == 1:
            self.reads[operation.name] = first
            self._makers.append(operation.name)
            return self._new(size)
        if isinstance(operation, _layers.DepthwiseConv2D):
            return np.repeat(first, operation.depth_multiplier)
        if isinstance(operation, _layers.Flatten):
            return np.tile(first, size // len(first))
        if isinstance(operation, _layers.Concatenate) and operation.axis in (-1, len(operation.output.shape) - 1):
            return np.concatenate(given)
        if isinstance(operation, _TYING) and all(len(each) == len(first) for each in given):
            for other in given[1:]:
                for one, another in zip(first.tolist(), other.tolist(), strict=True):
                    self._parents[self._root(another)] = self._root(one)
            return first
        if not isinstance(operation, _ONE_BY_ONE) or size != len(first):
            return None
        return first if getattr(operation, "axis", -1) in (-1, len(operation.output.shape) - 1) else None

    def narrowed(self, network: Network, alive: Alive) -> Network:
        """The network as it is without the channels that are not kept."""
        return network.model_copy(update={"layers": tuple(self._narrow(layer, alive) for layer in network.layers)})

    def _narrow(self, layer: NetworkLayer, alive: Alive) -> NetworkLayer:
        given = self.gives.get(layer.name)
        if given is None or len(given) != layer.output_shape[-1]:
            return layer
        made = alive[given].mean()
        read = alive[self.reads[layer.name]].mean() if layer.name in self.reads else 1.0

        def less(count: int | None) -> int | None:
            return None if count is None else round(count * made * read)

        shape = (*layer.output_shape[:-1], int(alive[given].sum()))
        counts = {key: less(getattr(layer, key)) for key in ("parameters", "macs", "pixel_macs")}
        return layer.model_copy(update={"output_shape": shape, **counts})


def without_channels(model: keras.Model, channels: Channels, alive: Alive) -> keras.Model:
    """The model without the channels that are not kept, and without the weights that belong to them."""

    def change(layer: keras.Layer) -> Sequence[NewLayer] | None:
        given, read = (ids.get(layer.name) for ids in (channels.gives, channels.reads))
        if given is None or not layer.get_weights() or (alive[given].all() and (read is None or alive[read].all())):
            return None
        return _narrowed_layer(layer, alive[given], None if read is None else alive[read])

    return rebuilt(model, change)


def _narrowed_layer(layer: keras.Layer, made: Alive, read: Alive | None) -> Sequence[NewLayer] | None:
    weights, count = layer.get_weights(), int(made.sum())
    bias = [weights[-1][made]] if getattr(layer, "use_bias", False) else []
    if isinstance(layer, _layers.SeparableConv2D):
        assert read is not None
        spread = np.repeat(read, layer.depth_multiplier)
        return [copied(layer, [weights[0][:, :, read], weights[1][:, :, spread][..., made], *bias], filters=count)]
    if read is not None:
        kernel = weights[0][..., read, :][..., made]
        return [copied(layer, [kernel, *bias], **{"units" if isinstance(layer, _layers.Dense) else "filters": count})]
    if isinstance(layer, _layers.DepthwiseConv2D):
        return [copied(layer, [weights[0][:, :, made[:: layer.depth_multiplier]], *bias])]
    if isinstance(layer, _layers.BatchNormalization):
        return [copied(layer, [weight[made] for weight in weights])]
    return None


def _channels_of(operation: Any) -> int:
    """Channels of what an operation gives first."""
    shape = keras.tree.flatten(operation.output)[0].shape
    return int(shape[-1] or 1) if shape else 1
