"""What each layer has to compute and to move at least, from shapes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .variant import VariantSpec

FLOAT32_BYTES = 4
_MOVES_NOTHING = ("flatten", "dropout")
"""At inference the one renames a shape and the other is not there."""
_ONE_KERNEL = ("conv", "depthwise_conv", "dense", "max_pool", "avg_pool", "global_avg_pool", "lrn")
"""Read their whole input while they write their whole output; others may work in place, or in two steps."""


@dataclass(frozen=True)
class LayerTraffic:
    """The work of one layer in one step.

    Attributes:
        name: The layer.
        type: Its type.
        macs: Multiply-adds of the whole batch.
        bytes: Compulsory traffic of the whole batch: input, output and weights as float32, each once.
    """

    name: str
    type: str
    macs: int
    bytes: int

    @property
    def macs_per_byte(self) -> float:
        """Arithmetic intensity; 0 for a layer that does no multiply-adds."""
        return self.macs / self.bytes if self.bytes else 0.0


def layer_traffic(variant: VariantSpec, batch_size: int, *, with_padding: bool = True) -> tuple[LayerTraffic, ...]:
    """Multiply-adds, unless told without those on padding, and bytes of each layer for ``batch_size`` images.

    The bytes are the compulsory traffic of Williams, Waterman and Patterson, "Roofline: An Insightful Visual
    Performance Model for Multicore Architectures", CACM 52(4), 2009: what an ideal cache, large enough and
    empty at the start of each layer, would still have to move. A bias and an activation at the end of a layer
    therefore move only the bias, although ops of their own read and write the output again.
    """
    rows, shape = [], variant.input.shape
    for cost in variant.costs(with_padding=with_padding):
        activations = batch_size * (math.prod(shape) + math.prod(cost.output_shape))
        values = 0 if cost.type in _MOVES_NOTHING else activations + cost.parameters
        rows.append(LayerTraffic(cost.name, cost.type, cost.macs * batch_size, values * FLOAT32_BYTES))
        shape = cost.output_shape
    return tuple(rows)


def least_bytes(variant: VariantSpec, batch_size: int) -> tuple[int, str]:
    """What a step must hold in memory at once, whatever runs it, and the layer that most of it is for.

    A lower bound: all weights, and the input and output of one layer for ``batch_size`` images, as float32.
    """
    weights, held, shape = 0, [(0, 0, "")], variant.input.shape
    for cost in variant.costs():
        values = (math.prod(shape), math.prod(cost.output_shape))
        at_once = batch_size * (sum(values) if cost.type in _ONE_KERNEL else max(values))
        held.append((at_once + cost.parameters, at_once, cost.name))
        weights += cost.parameters
        shape = cost.output_shape
    return (weights + max(at_once for _, at_once, _ in held)) * FLOAT32_BYTES, max(held)[2]
