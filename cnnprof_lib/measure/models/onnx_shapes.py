"""Ops of ONNX that move values, or put those along an axis together, in TensorFlow's; see `onnx_ops`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from .onnx_values import OnnxNode, OnnxTensor, as_tensor, permute


def _constant_of_shape(node: OnnxNode) -> OnnxTensor:
    value = np.asarray(node.at("value", np.zeros(1, np.float32)))
    return OnnxTensor(np.full(node.setting("shape", 0), value.item(), value.dtype))


def _shape(node: OnnxNode) -> OnnxTensor:
    return OnnxTensor(np.asarray(node.input(0).shape[node.at("start", 0) : node.at("end")], np.int64))


def _reshaped(node: OnnxNode, shape: Sequence[int]) -> OnnxTensor:
    """The first input in another shape, in ONNX's order."""
    x = node.input(0).in_order()
    return OnnxTensor(x.reshape(shape) if isinstance(x, np.ndarray) else tf.reshape(x, shape))


def _flatten(node: OnnxNode) -> OnnxTensor:
    shape = node.input(0).shape
    axis = node.at("axis", 1)
    rows = math.prod(shape[: axis + len(shape) if axis < 0 else axis])
    return _reshaped(node, (rows, math.prod(shape) // rows))


def _reshape(node: OnnxNode) -> OnnxTensor:
    wanted = np.asarray(node.setting("shape", 1)).tolist()
    old = node.input(0).shape
    copies = not node.at("allowzero", 0)
    return _reshaped(node, [old[axis] if n == 0 and copies else n for axis, n in enumerate(wanted)])


def _expand(node: OnnxNode) -> OnnxTensor:
    tensor = node.input(0)
    shape = np.broadcast_shapes(tensor.shape, tuple(np.asarray(node.setting("shape", 1)).tolist()))
    return OnnxTensor(tf.broadcast_to(as_tensor(tensor.in_order()), shape))


def _axes(node: OnnxNode, rank: int) -> list[int] | None:
    axes = node.setting("axes", 1)
    return None if axes is None else sorted(int(axis) % rank for axis in np.atleast_1d(axes))


def _unsqueeze(node: OnnxNode) -> OnnxTensor:
    shape, axes = list(node.input(0).shape), np.asarray(node.setting("axes", 1)).reshape(-1)
    for axis in sorted(axes % (len(shape) + len(axes))):
        shape.insert(axis, 1)
    return _reshaped(node, shape)


def _without_axes(tensor: OnnxTensor, axes: Sequence[int], drop: Callable[[Any, list[int]], Any]) -> OnnxTensor:
    """What is left of a tensor when axes are dropped, turned around before only if the others would lie wrong."""
    kept = [axis for axis in tensor.order if axis not in axes]
    channels_last = tensor.channels_last and kept[:1] == [0] and kept[-1:] == [1] and len(kept) > 2
    if kept != sorted(kept) and not channels_last:
        tensor = OnnxTensor(tensor.in_order())
    return OnnxTensor(drop(as_tensor(tensor.data), [tensor.place(axis) for axis in axes]), channels_last)


def _squeeze(node: OnnxNode) -> OnnxTensor:
    tensor = node.input(0)
    axes = _axes(node, tensor.rank)
    axes = [axis for axis, n in enumerate(tensor.shape) if n == 1] if axes is None else axes
    return _without_axes(tensor, axes, lambda x, places: tf.squeeze(x, places) if places else x)


def _reduce(function: Callable[..., Any]) -> Callable[[OnnxNode], OnnxTensor]:
    def translate(node: OnnxNode) -> OnnxTensor:
        tensor = node.input(0)
        axes = _axes(node, tensor.rank) or []
        if not axes and node.at("noop_with_empty_axes", 0):
            return tensor
        axes = axes or list(range(tensor.rank))
        if not node.at("keepdims", 1):
            return _without_axes(tensor, axes, function)
        places = [tensor.place(axis) for axis in axes]
        return OnnxTensor(function(as_tensor(tensor.data), places, keepdims=True), tensor.channels_last)

    return translate


def _transpose(node: OnnxNode) -> OnnxTensor:
    tensor = node.input(0)
    perm = node.at("perm") or list(reversed(range(tensor.rank)))
    places = [tensor.place(axis) for axis in perm]
    turned = [places[axis] for axis in (0, *range(2, tensor.rank), 1)] if tensor.rank > 3 else []
    if turned == list(range(tensor.rank)) and not tensor.known:
        return OnnxTensor(tensor.data, True)  # of images with channels last; of lines it may as well be a matrix's
    return OnnxTensor(permute(tensor.data, places))


def _concat(node: OnnxNode) -> OnnxTensor:
    tensors = node.given
    channels_last = any(tensor.channels_last for tensor in tensors)
    parts = [as_tensor(tensor.turned() if channels_last else tensor.data) for tensor in tensors]
    return OnnxTensor(tf.concat(parts, OnnxTensor(parts[0], channels_last).place(node.at("axis"))), channels_last)


def _split(node: OnnxNode) -> list[OnnxTensor]:
    tensor = node.input(0)
    axis = node.at("axis", 0)
    length = tensor.shape[axis]
    sizes = node.setting("split", 1)
    if sizes is None:
        whole = -(-length // node.outputs)
        sizes = np.array([whole] * (node.outputs - 1) + [length - whole * (node.outputs - 1)])
    parts = tf.split(as_tensor(tensor.data), sizes.tolist(), tensor.place(axis))
    return [OnnxTensor(part, tensor.channels_last) for part in parts]


def _slice(node: OnnxNode) -> OnnxTensor:
    tensor = node.input(0)
    starts, ends, axes, steps = (node.setting(key, index) for index, key in enumerate(_SLICE, 1))
    if starts is None or ends is None:
        raise ValueError("it has no `starts` or no `ends`")
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones_like(starts) if steps is None else steps
    taken = [slice(None)] * tensor.rank
    for axis, start, end, step in zip(axes.tolist(), starts.tolist(), ends.tolist(), steps.tolist(), strict=True):
        start, end, step = slice(start, end, step).indices(tensor.shape[axis])
        taken[tensor.place(axis)] = slice(start, None if end < 0 else end, step)
    return OnnxTensor(tensor.data[tuple(taken)], tensor.channels_last)


_SLICE = ("starts", "ends", "axes", "steps")


def _pad(node: OnnxNode) -> OnnxTensor:
    tensor = node.input(0)
    mode = node.at("mode", "constant")
    value = node.setting("value", 2)
    flat = np.asarray(node.setting("pads", 1)).reshape(2, -1)
    axes = node.setting("axes", 3)
    pads = np.zeros((tensor.rank, 2), np.int64)
    for axis, pair in zip(range(tensor.rank) if axes is None else axes.tolist(), flat.T, strict=True):
        pads[tensor.place(axis)] = pair
    x = as_tensor(tensor.data)
    if mode in ("edge", "wrap"):
        for axis, pair in enumerate(pads):
            if pair.any():
                x = tf.gather(x, np.pad(np.arange(x.shape[axis]), pair, mode=mode), axis=axis)
        return OnnxTensor(x, tensor.channels_last)
    if (pads < 0).any():
        cut = np.maximum(-pads, 0)
        x = x[tuple(slice(before, n - after) for n, (before, after) in zip(x.shape, cut, strict=True))]
        pads = np.maximum(pads, 0)
    if pads.any():
        x = tf.pad(x, pads, mode.upper(), constant_values=tf.constant(0 if value is None else value.item(), x.dtype))
    return OnnxTensor(x, tensor.channels_last)


def _gather(node: OnnxNode) -> OnnxTensor:
    tensor, indices = node.input(0), node.input(1)
    axis = node.at("axis", 0) % tensor.rank
    length = tensor.shape[axis]
    places = indices.in_order()
    places = np.where(places < 0, places + length, places) if indices.known else tf.where(
        places < 0, places + tf.constant(length, places.dtype), places
    )  # fmt: skip
    return OnnxTensor(tf.gather(as_tensor(tensor.in_order()), places, axis=axis))


SHAPE_OPS = {
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "ReduceMax": _reduce(tf.reduce_max),
    "ReduceMean": _reduce(tf.reduce_mean),
    "ReduceMin": _reduce(tf.reduce_min),
    "ReduceSum": _reduce(tf.reduce_sum),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""Translations by type of op."""
