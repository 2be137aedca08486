"""Tensors and nodes of an ONNX graph while TensorFlow's is made of it.

ONNX counts channels before height and width, TensorFlow's CPU kernels after them. `OnnxTensor` remembers how its values
lie, so that a tensor is turned around only where an op needs it the other way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf


@dataclass(frozen=True)
class OnnxTensor:
    """A tensor of the graph.

    Attributes:
        data: An array where the value is known without running the network, else a `tf.Tensor`.
        channels_last: Whether axis 1 of ONNX is the last of the data. Never of fewer than three axes, nor of an array.
    """

    data: Any
    channels_last: bool = False

    @property
    def known(self) -> bool:
        """Whether the value is known without running the network."""
        return isinstance(self.data, np.ndarray)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.data.shape)

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of ONNX in the order in which the data has them."""
        return (0, *range(2, self.rank), 1) if self.channels_last else tuple(range(self.rank))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in ONNX's order."""
        return tuple(int(self.data.shape[self.place(axis)]) for axis in range(self.rank))

    def place(self, axis: int) -> int:
        """Where the data has an axis of ONNX, which may count from the end."""
        return self.order.index(axis + self.rank if axis < 0 else axis)

    def in_order(self) -> Any:
        """The data in ONNX's order."""
        return permute(self.data, [self.place(axis) for axis in range(self.rank)])

    def turned(self) -> Any:
        """The data with channels last; in ONNX's order if it has fewer than three axes."""
        if self.channels_last or self.rank < 3:
            return self.data
        return permute(self.data, (0, *range(2, self.rank), 1))


def permute(data: Any, axes: Sequence[int]) -> Any:
    """A transposition, by a reshape where only axes of length 1 move."""
    if list(axes) == list(range(len(axes))):
        return data
    if isinstance(data, np.ndarray):
        return data.transpose(axes)
    long = [axis for axis in axes if data.shape[axis] != 1]
    if long == sorted(long):
        return tf.reshape(data, [data.shape[axis] for axis in axes])
    return tf.transpose(data, axes)


def as_tensor(data: Any) -> Any:
    """Data as TensorFlow's; the name of a weight's node ends in ``/resource``, as when a variable is frozen.

    A floating constant of one value is a setting, such as the 6 of a ReLU6, and no weight.
    """
    if not isinstance(data, np.ndarray):
        return data
    if tf.executing_eagerly() or data.size <= 1 or not np.issubdtype(data.dtype, np.floating):
        return tf.constant(data)
    with tf.name_scope("weight"):
        return tf.identity(tf.constant(data, name="resource"), name="read")


def aligned(tensors: Sequence[OnnxTensor]) -> tuple[list[Any], bool]:
    """Operands that broadcast together, and whether they lie with channels last."""
    rank = max(tensor.rank for tensor in tensors)
    channels_last = any(tensor.channels_last and tensor.rank == rank for tensor in tensors)
    if not channels_last:
        return [as_tensor(tensor.in_order()) for tensor in tensors], False
    operands = []
    for tensor in tensors:
        data = tensor.data
        if tensor.rank and not (tensor.channels_last and tensor.rank == rank):
            whole = (1,) * (rank - tensor.rank) + tensor.shape
            data = tensor.in_order()
            data = data.reshape(whole) if tensor.known else tf.reshape(data, whole)
            data = OnnxTensor(data).turned()
        if tensor.known:  # one value a channel is a vector, as a bias is
            data = data.reshape(data.shape[next((i for i, n in enumerate(data.shape) if n > 1), data.ndim) :])
        operands.append(as_tensor(data))
    return operands, True


@dataclass(frozen=True)
class OnnxNode:
    """A node as its translation sees it. What cannot be translated is a `ValueError`, which names no file and no node.

    Attributes:
        op: The type of the op.
        opset: The version of ONNX's ops.
        attributes: What is set.
        inputs: None where an optional one is left out.
        outputs: How many it names.
    """

    op: str
    opset: int
    attributes: Mapping[str, Any]
    inputs: Sequence[OnnxTensor | None]
    outputs: int

    def at(self, key: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(key, default)

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def input(self, index: int) -> OnnxTensor:
        """An input that must be given."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is None:
            raise ValueError(f"input {index} is missing")
        return tensor

    @property
    def given(self) -> list[OnnxTensor]:
        """The inputs that are given."""
        return [tensor for tensor in self.inputs if tensor is not None]

    def plain(self, index: int) -> Any:
        """An input as TensorFlow's, in ONNX's order."""
        return as_tensor(self.input(index).in_order())

    def turned(self, index: int) -> Any:
        """An input as TensorFlow's, with channels last."""
        return as_tensor(self.input(index).turned())

    def setting(self, key: str, index: int) -> npt.NDArray[Any] | None:
        """What older opsets have as an attribute and newer ones as an input, which must not depend on the images."""
        if not self.has(index):
            value = self.at(key)
            return None if value is None else np.asarray(value)
        tensor = self.input(index)
        if not tensor.known:
            raise ValueError(f"`{key}` depends on the network's input")
        return np.asarray(tensor.data)
