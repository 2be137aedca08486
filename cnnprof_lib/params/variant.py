"""A variant: one network, as a list of named layers, checked against its own shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..base.spec import PositiveInt, Spec
from .layers import AnyLayer, Layer, Shape, ShapeError


class InputSpec(Spec):
    """The size of the images the network takes: the centre of the data set's images."""

    height: PositiveInt
    width: PositiveInt
    channels: PositiveInt

    @property
    def shape(self) -> Shape:
        """``(height, width, channels)``."""
        return (self.height, self.width, self.channels)


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs on paper, for one image."""

    name: str
    type: str
    output_shape: Shape
    parameters: int
    macs: int


class VariantSpec(Spec):
    """One network and where it comes from.

    ``extends`` and ``change`` are kept as written, for display; ``layers`` is the whole list after the change.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: Annotated[str, Field(min_length=1)]
    input: InputSpec
    classes: PositiveInt
    layers: Annotated[tuple[AnyLayer, ...], Field(strict=False)]
    extends: str | None = None
    change: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_names(self) -> VariantSpec:
        if not self.layers:
            raise _rule("layers", "must hold at least one layer", [])
        seen: set[str] = set()
        for layer in self.layers:
            if layer.name in seen:
                raise _rule("layers", "must have unique names", layer.name)
            seen.add(layer.name)
        return self

    @model_validator(mode="after")
    def _check_shapes(self) -> VariantSpec:
        shape = self.input.shape
        for layer in self.layers:
            try:
                out = layer.output_shape(shape)
            except ShapeError as error:
                raise _rule(f"{layer.name}.{error.key}", error.rule, error.value) from error
            largest = max(math.prod(out), layer.parameters(shape), layer.macs(shape))
            if largest >= 2**63:
                raise _rule(layer.name, "must have values, parameters and MACs that 64 bits can count", largest)
            shape = out
        if shape != (self.classes,):
            rule = f"must end in one value per class ({self.classes}), but its output has shape {shape}"
            raise _rule("layers", rule, self.layers[-1].name)
        return self

    def costs(self, *, with_padding: bool = True) -> tuple[LayerCost, ...]:
        """Output shape, parameters and MACs of each layer, in order.

        Args:
            with_padding: Count products with padding among the MACs, as is the convention.
        """
        rows, shape = [], self.input.shape
        for layer in self.layers:
            out = layer.output_shape(shape)
            macs = layer.macs(shape, with_padding=with_padding)
            rows.append(LayerCost(layer.name, layer.type, out, layer.parameters(shape), macs))
            shape = out
        return tuple(rows)

    @property
    def parameters(self) -> int:
        """Number of weights of the whole network."""
        return sum(row.parameters for row in self.costs())

    @property
    def macs_per_image(self) -> int:
        """Multiply-adds of the convolutions and dense layers for one image."""
        return sum(row.macs for row in self.costs())

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)


def _rule(key: str, rule: str, value: object) -> PydanticCustomError:
    """A rule of the whole variant that is broken at ``key``; `params` turns it into one line."""
    return PydanticCustomError("rule", "{rule}", {"key": key, "rule": rule, "value": value})
