"""A convolution or dense layer written as two cheaper ones, by singular values."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt

from ...params.network import Network, NetworkLayer
from .rebuild import NewLayer, copied, rebuilt
from .subject import Subject

FormKind = Literal["channels", "lines", "depthwise", "dense"]
_ENERGIES = (0.99, 0.98, 0.96, 0.93, 0.9, 0.87, 0.84, 0.8, 0.75, 0.7, 0.65, 0.6)
"""Shares of the squared weights that may be kept, tried one after the other. Own choice."""
_ROUNDED = 8
"""Ranks are multiples of it, as kernels compute whole vectors; smaller ones stay."""


@dataclass(frozen=True)
class Form:
    """One way to write a layer as two.

    - ``channels``: its own window with few filters, then 1x1 to all. Source: Zhang et al., "Accelerating very deep
      convolutional networks", arXiv 1505.06798, without its data.
    - ``lines``: a column of its window, then a row. Source: Jaderberg et al., "Speeding up convolutional neural
      networks with low rank expansions", arXiv 1405.3866.
    - ``depthwise``: its window on each channel by itself, then 1x1.
    - ``dense``: two dense layers.

    Attributes:
        layer: The layer.
        kind: Which of these.
        name: Of the first of the two; the second bears the layer's.
    """

    layer: keras.Layer
    kind: FormKind
    name: str

    @cached_property
    def _parts(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Singular vectors and values of the kernel as a matrix: what reads times what gives."""
        kernel = self.layer.get_weights()[0]
        if self.kind == "lines":
            height, width, read, given = kernel.shape
            matrix = kernel.transpose(0, 2, 1, 3).reshape(height * read, width * given)
        elif self.kind == "depthwise":  # a matrix for each channel
            matrix = kernel.transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1, kernel.shape[3])
        else:
            matrix = kernel.reshape(-1, kernel.shape[-1])
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        return left, values, right

    @property
    def full_rank(self) -> int:
        """The rank that loses nothing."""
        return int(self._parts[1].shape[-1])

    def rank(self, energy: float) -> int:
        """The smallest that keeps such a share of the squared weights."""
        squares = (self._parts[1] ** 2).reshape(-1, self.full_rank).sum(axis=0)
        rank = int(np.searchsorted(np.cumsum(squares) / squares.sum(), energy)) + 1
        return min(self.full_rank, rank if rank < _ROUNDED else math.ceil(rank / _ROUNDED) * _ROUNDED)

    def kernels(self, rank: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Of the first layer and of the second."""
        left, values, right = self._parts
        root = np.sqrt(values[..., :rank])
        first, second = left[..., :rank] * root[..., None, :], right[..., :rank, :] * root[..., :, None]
        if self.kind == "dense":
            return first, second
        height, width, read, given = self.layer.get_weights()[0].shape
        if self.kind == "lines":
            column = first.reshape(height, 1, read, rank)
            return column, second.reshape(rank, width, given).transpose(1, 0, 2)[None]
        if self.kind == "depthwise":
            return first.transpose(1, 0, 2).reshape(height, width, read, rank), second.reshape(1, 1, -1, given)
        return first.reshape(height, width, read, rank), second[None, None]

    def parts(self, rank: int) -> Sequence[NewLayer]:
        """The two layers."""
        layer, name = self.layer, self.name
        first, second = self.kernels(rank)
        weights = [second, *layer.get_weights()[1:]]
        if self.kind == "dense":
            return NewLayer(keras.layers.Dense(rank, use_bias=False, name=name), [first]), copied(layer, weights)
        down, across = layer.strides
        keys = {"padding": layer.padding, "use_bias": False, "name": name}
        rest = {"kernel_size": (1, 1), "strides": (1, 1)}
        if self.kind == "lines":
            begins = keras.layers.Conv2D(rank, (layer.kernel_size[0], 1), strides=(down, 1), **keys)
            rest = {"kernel_size": (1, layer.kernel_size[1]), "strides": (1, across)}
        elif self.kind == "depthwise":
            begins = keras.layers.DepthwiseConv2D(
                layer.kernel_size, strides=layer.strides, depth_multiplier=rank, **keys
            )
        else:
            begins = keras.layers.Conv2D(rank, layer.kernel_size, strides=layer.strides, **keys)
        return NewLayer(begins, [first]), copied(layer, weights, **rest)

    def rows(self, row: NetworkLayer, rank: int) -> tuple[NetworkLayer, NetworkLayer]:
        """The two layers as they stand in a network's record in place of ``row``."""
        first, second = self.kernels(rank)
        between = list(row.output_shape)
        between[-1] = first[0, 0].size if self.kind == "depthwise" else rank
        if self.kind == "lines":
            between[1] = int(self.layer.input.shape[2])
        real = (row.pixel_macs or 0) / row.macs if row.macs else 1.0
        type_ = {"depthwise": "DepthwiseConv2D", "dense": "Dense"}.get(self.kind, "Conv2D")

        def counts(kernel: npt.NDArray[Any], shape: Sequence[int]) -> dict[str, int]:
            macs = math.prod(shape[:-1]) * kernel.size
            return {"macs": macs, "pixel_macs": round(macs * real)}

        begins = NetworkLayer(
            name=self.name,
            type=type_,
            inputs=row.inputs,
            output_shape=tuple(between),
            parameters=first.size,
            **counts(first, between),
        )
        parameters = row.parameters - self.layer.get_weights()[0].size + second.size
        rest = {"inputs": (begins.name,), "parameters": parameters, **counts(second, row.output_shape)}
        return begins, row.model_copy(update=rest)


def low_rank(subject: Subject) -> keras.Model | None:
    """The model with layers of low rank written as two where that is predicted to gain; None where it is nowhere."""
    return _split(subject, ("channels", "lines", "dense"))


def separable(subject: Subject) -> keras.Model | None:
    """The model with convolutions as depthwise ones, then 1x1, where that is predicted to gain; None where nowhere."""
    return _split(subject, ("depthwise",))


def _split(subject: Subject, kinds: Sequence[FormKind]) -> keras.Model | None:
    taken = {layer.name for layer in subject.model.layers}
    forms = {layer.name: forms_of(layer, kinds, taken) for layer in subject.model.layers}
    chosen: Mapping[str, tuple[Form, int]] = {}
    for energy in _ENERGIES:
        chosen, spent = _choose(subject, forms, energy)
        if spent <= subject.target:
            break
    if not chosen:
        return None

    def change(layer: keras.Layer) -> Sequence[NewLayer] | None:
        if layer.name not in chosen:
            return None
        form, rank = chosen[layer.name]
        return form.parts(rank)

    return rebuilt(subject.model, change)


def forms_of(layer: keras.Layer, kinds: Sequence[FormKind], taken: Container[str] = ()) -> list[Form]:
    """The ways in which a layer can be written as two; no new one bears a name that is taken."""
    if isinstance(layer, keras.layers.Dense):
        possible: Sequence[FormKind] = ("dense",)
    elif isinstance(layer, keras.layers.Conv2D) and layer.groups == 1 and layer.dilation_rate in (1, (1, 1)):
        possible = ("channels",)
        if min(layer.kernel_size) > 1:
            possible = ("channels", "lines", "depthwise") if len({*layer.strides}) == 1 else ("channels", "lines")
    else:
        possible = ()
    name = f"{layer.name}_in"
    while name in taken:  # by what was made of the layer before
        name += "_in"
    return [Form(layer, kind, name) for kind in possible if kind in kinds]


def _choose(
    subject: Subject, forms: Mapping[str, Sequence[Form]], energy: float
) -> tuple[dict[str, tuple[Form, int]], float]:
    """Of each layer the cheapest form that keeps so much, where it is cheaper than the layer; and the cost of all."""
    chosen: dict[str, tuple[Form, int]] = {}
    spent = subject.cost(subject.network)
    for name, of_layer in forms.items():
        for form in of_layer:
            rank = form.rank(energy)
            if rank == form.full_rank:
                continue
            cost = subject.cost(_with(subject.network, {**chosen, name: (form, rank)}))
            if cost < spent:
                chosen[name], spent = (form, rank), cost
    return chosen, spent


def _with(network: Network, chosen: Mapping[str, tuple[Form, int]]) -> Network:
    """The network with layers as two."""
    layers: list[NetworkLayer] = []
    for row in network.layers:
        form, rank = chosen.get(row.name, (None, 0))
        layers += form.rows(row, rank) if form else [row]
    return network.model_copy(update={"layers": tuple(layers)})
