"""What each layer has to compute and to move at least, from shapes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .network import Network

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


def layer_traffic(network: Network, batch_size: int, *, with_padding: bool = True) -> tuple[LayerTraffic, ...]:
    """Multiply-adds, unless told without those on padding, and bytes of each layer for ``batch_size`` images.

    The bytes are the compulsory traffic of Williams, Waterman and Patterson, "Roofline: An Insightful Visual
    Performance Model for Multicore Architectures", CACM 52(4), 2009: what an ideal cache, large enough and
    empty at the start of each layer, would still have to move. A bias and an activation at the end of a layer
    therefore move only the bias, although ops of their own read and write the output again.
    """
    rows, read = [], network.input_sizes()
    for layer in network.layers:
        activations = batch_size * (read[layer.name] + math.prod(layer.output_shape))
        values = 0 if layer.type in _MOVES_NOTHING else activations + layer.parameters
        macs = layer.products(with_padding=with_padding) * batch_size
        rows.append(LayerTraffic(layer.name, layer.type, macs, values * FLOAT32_BYTES))
    return tuple(rows)


def least_bytes(network: Network, batch_size: int) -> tuple[int, str]:
    """What a step must hold in memory at once, whatever runs it, and the layer that most of it is for.

    A lower bound: all weights, and the input and output of one layer for ``batch_size`` images, as float32.
    """
    held, read = [(0, 0, "")], network.input_sizes()
    for layer in network.layers:
        values = (read[layer.name], math.prod(layer.output_shape))
        at_once = batch_size * (sum(values) if layer.type in _ONE_KERNEL else max(values))
        held.append((at_once + layer.parameters, at_once, layer.name))
    return (network.parameters + max(at_once for _, at_once, _ in held)) * FLOAT32_BYTES, max(held)[2]


def cost_on_paper(network: Network) -> float:
    """What a network costs where nothing was measured: its multiply-adds, and as much for each value written."""
    return float(sum((layer.macs or 0) + math.prod(layer.output_shape) for layer in network.layers))
