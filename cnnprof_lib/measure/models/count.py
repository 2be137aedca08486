"""Multiply-adds of the nodes of a graph, from the shapes of what they read and give.

The convention is stated in `params.layers`: output values times kernel values, products with padding counted; beside
it the products on real pixels alone. What no rule is known for, and may hold any, cannot be counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...params.windows import pixels_met
from ..private import function_graph

UNCOUNTABLE = frozenset(
    {"While", "StatelessWhile", "If", "StatelessIf", "Case", "PyFunc", "EagerPyFunc", "CudnnRNN", "SparseMatMul"}
)
"""Ops that may compute anything, any number of times."""
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


class Products(NamedTuple):
    """Multiply-adds with padding and on real pixels alone; None where they cannot be counted."""

    macs: int | None
    pixel_macs: int | None

    def __add__(self, other: object) -> Products:  # type: ignore[override]
        """Both together; not countable where one is not."""
        if not isinstance(other, Products):
            return NotImplemented
        return Products(*(None if a is None or b is None else a + b for a, b in zip(self, other, strict=True)))

    def of_one(self, batch_size: int) -> Products:
        """Those of one image of a batch."""
        return Products(*(None if n is None else round(n / batch_size) for n in self))


_NOT_COUNTABLE = Products(None, None)


def count_products(operation: Any, graph: Any) -> Products | None:
    """Those of one node for the whole batch; None for a node that has none.

    Args:
        operation: A node with known shapes.
        graph: Whose functions it may call.
    """
    if operation.type in UNCOUNTABLE:
        return _NOT_COUNTABLE
    if operation.type in _CALLS:
        called = function_graph(graph, operation)
        counts = [count for inner in called.get_operations() if (count := count_products(inner, called))]
        return sum(counts[1:], counts[0]) if counts else None
    if (rule := _RULES.get(operation.type)) is None:
        return None
    try:
        return rule(operation)
    except (TypeError, ValueError):  # a shape that is not known
        return _NOT_COUNTABLE


def called_mac_op(node: Any, library: Any) -> str | None:
    """The one op with multiply-adds in the function that a node calls; None where there is none, or several."""
    if node.op not in _CALLS:
        return None
    name = node.attr["f"].func.name
    ops = [n.op for f in library.function if f.signature.name == name for n in f.node_def if n.op in _RULES]
    return ops[0] if len(ops) == 1 else None


def _shape(tensor: Any) -> list[int]:
    return [int(side) for side in tensor.shape]


def _spatial(values: Sequence[int], layout: str) -> list[int]:
    """Of values for each dimension those of the image's sides."""
    return list(values[1:-1]) if layout.endswith("C") else list(values[2:])


def _met(operation: Any, window: Sequence[int], image: Any, places: Any) -> int:
    """Pixels met by a sliding window along all sides, multiplied."""
    layout = operation.get_attr("data_format").decode()
    sides = [_spatial(_shape(tensor), layout) for tensor in (image, places)]
    strides = _spatial(operation.get_attr("strides"), layout)
    dilations = _spatial(operation.get_attr("dilations"), layout)
    before: Sequence[int | None] = [None] * len(window)
    if operation.get_attr("padding") == b"EXPLICIT":
        before = _spatial([int(p) for p in operation.get_attr("explicit_paddings")[::2]], layout)
    pixels, count = sides
    return math.prod(map(pixels_met, pixels, window, strides, count, dilations, before))


def _convolution(operation: Any) -> Products:
    """Kernel: (*window, channels of a group, filters)."""
    image, kernel, out = operation.inputs[0], _shape(operation.inputs[1]), operation.outputs[0]
    *window, channels, filters = kernel
    layout = operation.get_attr("data_format").decode()
    places = math.prod(_spatial(_shape(out), layout))
    batch = _shape(out)[0]
    met = _met(operation, window, image, out)
    return Products(*(batch * n * channels * filters for n in (places * math.prod(window), met)))


def _depthwise(operation: Any) -> Products:
    """Kernel: (height, width, channels, multiplier)."""
    image, kernel, out = operation.inputs[0], _shape(operation.inputs[1]), operation.outputs[0]
    *window, channels, multiplier = kernel
    places = math.prod(_spatial(_shape(out), operation.get_attr("data_format").decode()))
    met = _met(operation, window, image, out)
    return Products(*(_shape(out)[0] * n * channels * multiplier for n in (places * math.prod(window), met)))


def _transposed(operation: Any) -> Products:
    """Each input value meets every kernel value of its channel; those that fall on the cropped border included."""
    kernel, image, out = _shape(operation.inputs[1]), operation.inputs[2], operation.outputs[0]
    *window, filters, channels = kernel
    places = math.prod(_spatial(_shape(image), operation.get_attr("data_format").decode()))
    met = _met(operation, window, out, image)
    return Products(*(_shape(image)[0] * n * channels * filters for n in (places * math.prod(window), met)))


def _product(operation: Any) -> Products:
    """Of matrices, in batches or not."""
    first = _shape(operation.inputs[0])
    flags = [name for name in ("transpose_a", "adj_x") if name in operation.node_def.attr]
    shared = first[-2] if any(operation.get_attr(name) for name in flags) else first[-1]
    count = math.prod(_shape(operation.outputs[0])) * shared
    return Products(count, count)


def _einsum(operation: Any) -> Products:
    """One multiply-add for each choice of all indices; a product of one factor has none."""
    factors = operation.get_attr("equation").decode().partition("->")[0].split(",")
    if len(factors) < 2 or any("." in factor for factor in factors):
        raise ValueError(factors)
    sizes: dict[str, int] = {}
    for factor, tensor in zip(factors, operation.inputs, strict=True):
        sizes |= dict(zip(factor, _shape(tensor), strict=True))
    count = math.prod(sizes.values())
    return Products(count, count)


_RULES: dict[str, Callable[[Any], Products]] = {
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed,
    "Conv3DBackpropInputV2": _transposed,
    "MatMul": _product,
    "BatchMatMul": _product,
    "BatchMatMulV2": _product,
    "BatchMatMulV3": _product,
    "Einsum": _einsum,
}
COUNTED = frozenset(_RULES)
"""Ops that do multiply-adds which can be counted."""
