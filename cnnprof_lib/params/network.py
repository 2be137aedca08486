"""A network as it was measured, however it was written down: its layers, what each reads, and what each costs.

Tables and figures read this, never the parameter file or the model.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from ..base.spec import Spec

Shape = tuple[int, ...]
"""Of one image's values: ``(height, width, channels)`` or ``(features,)``, without the batch."""
Count = Annotated[int, Field(ge=0)]


class Tensor(Spec):
    """What a network takes or gives for one image."""

    name: str
    """Layers that read it name it so."""
    shape: Shape
    dtype: str = "float32"


class NetworkLayer(Spec):
    """What one layer is and costs on paper, for one image."""

    name: str
    type: str
    inputs: tuple[str, ...]
    """The layers or inputs of the network that it reads."""
    output_shape: Shape
    parameters: Count
    macs: Count | None
    """Multiply-adds by the convention of the field, with padding counted; None where they cannot be counted."""
    pixel_macs: Count | None
    """The same without the products with padding, which some kernels leave out."""

    def products(self, *, with_padding: bool) -> int:
        """Its multiply-adds under one of the two ways to count; 0 where they cannot be counted."""
        return (self.macs if with_padding else self.pixel_macs) or 0


class Network(Spec):
    """One network.

    Attributes:
        name: What it is called in tables, commands and folders.
        title: What it is, in words.
        file: Where it was written down: a parameter file or a model.
        file_sha256: Of a model's file; None for a parameter file, whose layers are here in full.
        inputs: What it takes.
        outputs: What it gives.
        layers: In an order in which each comes after those that it reads.
    """

    name: str
    title: str
    file: str
    file_sha256: str | None = None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layers: tuple[NetworkLayer, ...]

    @property
    def parameters(self) -> int:
        """Number of weights, trainable or not."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs_per_image(self) -> int:
        """Multiply-adds of all layers in which they can be counted, for one image."""
        return self.products(with_padding=True)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of the layers whose multiply-adds cannot be counted, which a total leaves out."""
        return tuple(layer.name for layer in self.layers if layer.macs is None)

    def products(self, *, with_padding: bool) -> int:
        """The same under one of the two ways to count."""
        return sum(layer.products(with_padding=with_padding) for layer in self.layers)

    def input_sizes(self) -> dict[str, int]:
        """How many values of one image each layer reads, by its name."""
        sizes = {tensor.name: math.prod(tensor.shape) for tensor in self.inputs}
        sizes |= {layer.name: math.prod(layer.output_shape) for layer in self.layers}
        return {layer.name: sum(sizes[name] for name in layer.inputs) for layer in self.layers}
