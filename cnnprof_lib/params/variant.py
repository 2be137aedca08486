"""A variant: one network, as a list of named layers, checked against its own shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..base.spec import PositiveInt, Spec
from .layers import AnyLayer, Layer, ShapeError
from .network import Network, NetworkLayer, Shape, Tensor

INPUT = "(images)"
"""What the first layer reads, and what others may name; with brackets it is no name that a layer may have."""


class InputSpec(Spec):
    """The size of the images the network takes: the centre of the data set's images."""

    height: PositiveInt
    width: PositiveInt
    channels: PositiveInt

    @property
    def shape(self) -> Shape:
        """``(height, width, channels)``."""
        return (self.height, self.width, self.channels)


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
    def _check_inputs(self) -> VariantSpec:
        earlier, read, names = [INPUT], {INPUT}, [layer.name for layer in self.layers]
        for layer in self.layers:
            key, inputs = f"{layer.name}.inputs", list(layer.inputs or earlier[-1:])
            for name in inputs:
                if name not in earlier:
                    why = "does not come before it" if name in names else f"is none of {', '.join(earlier)}"
                    raise _rule(key, f"must name earlier layers or {INPUT}, but {name} {why}", inputs)
            if len(set(inputs)) < len(inputs):
                raise _rule(key, "must name each layer once", inputs)
            earlier.append(layer.name)
            read.update(inputs)
        for name in names[:-1]:
            if name not in read:
                rule = "must be read by a later layer: name it in the `inputs` of one, or leave it out"
                raise _rule(name, rule, name)
        return self

    @model_validator(mode="after")
    def _check_shapes(self) -> VariantSpec:
        for layer, _, shape, out in self._steps():
            largest = max(math.prod(out), layer.parameters(shape), layer.macs(shape))
            if largest >= 2**63:
                raise _rule(layer.name, "must have values, parameters and MACs that 64 bits can count", largest)
        if out != (self.classes,):
            rule = f"must end in one value per class ({self.classes}), but its output has shape {out}"
            raise _rule("layers", rule, self.layers[-1].name)
        return self

    def _steps(self) -> Iterator[tuple[AnyLayer, tuple[str, ...], Shape, Shape]]:
        """Each layer, what it reads (without ``inputs`` the layer before), the shape of that, and of its output."""
        shapes, before = {INPUT: self.input.shape}, INPUT
        for layer in self.layers:
            reads = layer.inputs or (before,)
            try:
                shape = layer.joined([shapes[name] for name in reads])
                out = shapes[layer.name] = layer.output_shape(shape)
            except ShapeError as error:
                raise _rule(f"{layer.name}.{error.key}", error.rule, error.value) from error
            yield layer, reads, shape, out
            before = layer.name

    @cached_property
    def network(self) -> Network:
        """What it is and costs, layer by layer."""
        rows = tuple(
            NetworkLayer(
                name=layer.name,
                type=layer.type,
                inputs=reads,
                output_shape=out,
                parameters=layer.parameters(shape),
                macs=layer.macs(shape),
                pixel_macs=layer.macs(shape, with_padding=False),
            )
            for layer, reads, shape, out in self._steps()
        )
        return Network(
            name=self.name,
            title=self.title,
            file=f"{self.name}.yaml",
            inputs=(Tensor(name=INPUT, shape=self.input.shape),),
            outputs=(Tensor(name=rows[-1].name, shape=rows[-1].output_shape),),
            layers=rows,
        )

    def computes_as(self, other: VariantSpec) -> bool:
        """Whether weights of the other are weights of this: strides and windows leave no trace in their shapes."""
        return self.layers == other.layers and self.input == other.input

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)


def _rule(key: str, rule: str, value: object) -> PydanticCustomError:
    """A rule of the whole variant that is broken at ``key``; `params` turns it into one line."""
    return PydanticCustomError("rule", "{rule}", {"key": key, "rule": rule, "value": value})
