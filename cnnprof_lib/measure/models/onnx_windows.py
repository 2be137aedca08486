"""Ops of ONNX that slide a window over images, or know what a channel is, in TensorFlow's; see `onnx_ops`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from .onnx_values import OnnxNode, OnnxTensor, as_tensor, permute

_Pads = list[tuple[int, int]]


@dataclass(frozen=True)
class _Windows:
    """Where the windows of an op lie; a line of values is an image of height 1.

    Attributes:
        images: (batch, height, width, channels), or with depth before height.
        kernel: The windows' shape.
        strides: From window to window.
        dilations: From value to value of a window.
        pads: Values around the images, before and after, by axis.
        is_line: Whether the height was added.
    """

    images: Any
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: _Pads
    is_line: bool

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.images.shape[1:-1])

    @property
    def extent(self) -> tuple[int, ...]:
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def all_pads(self) -> _Pads:
        return [(0, 0), *self.pads, (0, 0)]

    @property
    def padding(self) -> Any:
        """The padding in TensorFlow's words if it has one for it, else in numbers."""
        if not any(map(any, self.pads)):
            return "VALID"
        same = _same_pads(self.size, self.extent, self.strides)
        return "SAME" if self.pads == same else [list(pair) for pair in self.all_pads]

    def padded(self, value: Any = 0) -> _Windows:
        """The same windows on images that hold their padding."""
        if not any(map(any, self.pads)):
            return self
        images = tf.pad(self.images, self.all_pads, constant_values=value)
        return replace(self, images=images, pads=[(0, 0)] * len(self.pads))

    def result(self, images: Any) -> OnnxTensor:
        return OnnxTensor(tf.squeeze(images, 1) if self.is_line else images, True)


def _same_pads(size: Sequence[int], extent: Sequence[int], strides: Sequence[int], after: bool = True) -> _Pads:
    """What keeps ``size / stride`` windows, the odd value ``after`` or before."""
    pads = []
    for length, window, stride in zip(size, extent, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        pads.append((total // 2, total - total // 2) if after else (total - total // 2, total // 2))
    return pads


def _windows(node: OnnxNode, kernel: Sequence[int]) -> _Windows:
    """The windows of a node's first input."""
    images = node.turned(0)
    axes = len(images.shape) - 2
    if axes not in (1, 2, 3) or axes != len(kernel):
        raise ValueError(f"windows {tuple(kernel)} on an input of shape {node.input(0).shape}")
    line = (1,) if axes == 1 else ()
    pads = node.at("pads") or [0] * (2 * axes)
    windows = _Windows(
        images=tf.expand_dims(images, 1) if line else images,
        kernel=(*line, *map(int, kernel)),
        strides=(*line, *(node.at("strides") or [1] * axes)),
        dilations=(*line, *(node.at("dilations") or [1] * axes)),
        pads=[(0, 0)] * len(line) + list(zip(pads[:axes], pads[axes:], strict=True)),
        is_line=bool(line),
    )
    auto_pad = node.at("auto_pad", "NOTSET")
    if auto_pad.startswith("SAME"):
        same = _same_pads(windows.size, windows.extent, windows.strides, auto_pad == "SAME_UPPER")
        return replace(windows, pads=same)
    return windows


def _with_bias(node: OnnxNode, images: Any) -> Any:
    return tf.nn.bias_add(images, node.plain(2)) if node.has(2) else images


def _in_groups(groups: int, images: Any, kernels: Any, convolve: Any) -> Any:
    """Convolves each group of channels by its part of the kernels' last axis."""
    if groups == 1:
        return convolve(images, as_tensor(kernels))
    split = zip(tf.split(images, groups, -1), np.split(kernels, groups, -1), strict=True)
    return tf.concat([convolve(part, as_tensor(own)) for part, own in split], -1)


def _conv(node: OnnxNode) -> OnnxTensor:
    weights = node.input(1)
    windows = _windows(node, weights.shape[2:])
    kernels = permute(weights.in_order(), (*range(2, weights.rank), 1, 0))
    kernels = kernels[None] if windows.is_line else kernels
    groups, strides, dilations = node.at("group", 1), windows.strides, windows.dilations
    if len(strides) == 3:
        windows = windows.padded()
        images = _in_groups(
            groups,
            windows.images,
            kernels,
            lambda part, own: tf.nn.convolution(part, own, strides, "VALID", dilations=dilations),
        )
    elif groups == windows.images.shape[-1] > 1 and _has_depthwise_kernel(strides, dilations):
        if windows.padding != "SAME" or max(dilations) > 1:
            windows = windows.padded()  # in numbers it ends TensorFlow 2.21: the fused kernel does not know them
        per_channel = kernels.reshape(*kernels.shape[:2], groups, -1) if weights.known else kernels
        images = tf.nn.depthwise_conv2d(
            windows.images, as_tensor(per_channel), (1, *strides, 1), windows.padding, dilations=dilations
        )
    else:
        images = tf.nn.conv2d(windows.images, as_tensor(kernels), strides, windows.padding, dilations=dilations)
        if groups > 1:
            # TensorFlow's fused kernels know no groups, and Grappler fuses all the same unless another op follows.
            images = tf.raw_ops.Snapshot(input=images)
    return windows.result(_with_bias(node, images))


def _has_depthwise_kernel(strides: Sequence[int], dilations: Sequence[int]) -> bool:
    """Whether TensorFlow's kernel for one channel a group can do it; its Conv2D can always."""
    return len(set(strides)) == 1 and (max(dilations) == 1 or max(strides) == 1)


def _conv_transpose(node: OnnxNode) -> OnnxTensor:
    weights = node.input(1)
    if not weights.known:
        raise ValueError("its weights depend on the network's input")
    windows = _windows(replace(node, attributes={**node.attributes, "auto_pad": "NOTSET"}), weights.shape[2:])
    groups, strides = node.at("group", 1), windows.strides
    axes = len(windows.kernel)
    line = (0,) if windows.is_line else ()
    more = (*line, *(node.at("output_padding") or [0] * (axes - len(line))))
    full = [s * (n - 1) + e + m for s, n, e, m in zip(strides, windows.size, windows.extent, more, strict=True)]
    pads = _transposed_pads(node, windows, full)
    sparse = np.zeros((*weights.shape[:2], *windows.extent), weights.data.dtype)
    kernels = weights.data[:, :, None] if windows.is_line else weights.data
    sparse[(slice(None), slice(None), *(slice(None, None, d) for d in windows.dilations))] = kernels
    kernels = sparse.transpose(*range(2, axes + 2), 1, 0)
    cropped = [length - sum(pair) for length, pair in zip(full, pads, strict=True)]
    batch, channels = windows.images.shape[0], kernels.shape[-2]

    def convolve(part: Any, own: Any) -> Any:
        if axes == 2:
            padding = [(0, 0), *pads, (0, 0)]
            return tf.nn.conv2d_transpose(part, own, (batch, *cropped, channels), strides, padding)
        whole = tf.nn.conv3d_transpose(part, own, (batch, *full, channels), strides, "VALID")
        return tf.slice(whole, [0, *(before for before, _ in pads), 0], [-1, *cropped, -1])

    return windows.result(_with_bias(node, _in_groups(groups, windows.images, kernels, convolve)))


def _transposed_pads(node: OnnxNode, windows: _Windows, full: Sequence[int]) -> _Pads:
    """What a transposed convolution cuts off, before and after, of all that it computes."""
    auto_pad = node.at("auto_pad", "NOTSET")
    line = (1,) if windows.is_line else ()
    shape = node.at("output_shape")
    if shape is None and not auto_pad.startswith("SAME"):
        return windows.pads
    wanted = (*line, *shape) if shape else [n * s for n, s in zip(windows.size, windows.strides, strict=True)]
    totals = [have - want for have, want in zip(full, wanted, strict=True)]
    if min(totals) < 0:
        raise ValueError(f"output shape {tuple(wanted)} is larger than the {tuple(full)} it computes")
    halves = [(total // 2, total - total // 2) for total in totals]
    return halves if auto_pad == "SAME_UPPER" else [(after, before) for before, after in halves]


def _pool_windows(node: OnnxNode) -> tuple[_Windows, _Pads]:
    """The windows of a pooling, and the padding that only rounding up adds."""
    windows = _windows(node, node.at("kernel_shape"))
    pads, extra = list(windows.pads), [(0, 0)] * len(windows.pads)
    if node.at("ceil_mode", 0):
        axes = zip(windows.size, windows.extent, windows.strides, windows.pads, strict=True)
        for axis, (length, extent, stride, (before, after)) in enumerate(axes):
            count = -(-(length + before + after - extent) // stride) + 1
            count -= (count - 1) * stride >= length + before  # a window that would see padding alone
            needed = (count - 1) * stride + extent - length - before
            pads[axis] = before, max(needed, 0)
            extra[axis] = 0, max(needed - after, 0)
    return replace(windows, pads=pads), extra


def _pooled(windows: _Windows, kind: str, padding: Any) -> Any:
    if max(windows.dilations) > 1:
        images, kernel, strides = windows.images, windows.kernel, windows.strides
        return tf.nn.pool(images, kernel, kind, strides, padding, dilations=windows.dilations)
    pool = tf.nn.max_pool if kind == "MAX" else tf.nn.avg_pool
    return pool(windows.images, windows.kernel, windows.strides, padding)


def _max_pool(node: OnnxNode) -> OnnxTensor:
    if node.outputs > 1:
        raise ValueError("its second output, the indices, is not covered")
    windows, _ = _pool_windows(node)
    padding = windows.padding
    if not isinstance(padding, str) and (len(windows.kernel) == 3 or max(windows.dilations) > 1):
        windows, padding = windows.padded(windows.images.dtype.min), "VALID"
    return windows.result(_pooled(windows, "MAX", padding))


def _average_pool(node: OnnxNode) -> OnnxTensor:
    windows, extra = _pool_windows(node)
    counts_padding = bool(node.at("count_include_pad", 0))
    padding = windows.padding
    if padding == "VALID" or (padding == "SAME" and not counts_padding):
        return windows.result(_pooled(windows, "AVG", padding))
    # What is counted is one, so that the mean of ones is the share of a window that counts.
    inside = np.ones((1, *windows.size, 1))
    if counts_padding:
        own = [(before, after - more) for (before, after), (_, more) in zip(windows.pads, extra, strict=True)]
        inside = np.pad(inside, [(0, 0), *own, (0, 0)], constant_values=1)
        inside = np.pad(inside, [(0, 0), *extra, (0, 0)])
    else:
        inside = np.pad(inside, windows.all_pads)
    with tf.init_scope():
        ones = tf.constant(inside, tf.float32)
        share = _pooled(replace(windows, images=ones), "AVG", "VALID").numpy()
    images = _pooled(windows.padded(), "AVG", "VALID")
    return windows.result(images if (share == 1).all() else images / tf.constant(share, images.dtype))


def _global_pool(reduce: Any) -> Any:
    def translate(node: OnnxNode) -> OnnxTensor:
        images = node.turned(0)
        return OnnxTensor(reduce(images, list(range(1, len(images.shape) - 1)), keepdims=True), len(images.shape) > 2)

    return translate


def _as_images(data: Any) -> Any:
    """Values with channels last as images, for kernels that take nothing else."""
    return data if len(data.shape) == 4 else tf.reshape(data, (data.shape[0], -1, 1, data.shape[-1]))


def _batch_normalization(node: OnnxNode) -> OnnxTensor:
    if node.at("training_mode", 0):
        raise ValueError("it is in training mode. Export the network for inference")
    data = node.turned(0)
    scale, offset, mean, variance = (node.plain(index) for index in range(1, 5))
    images = tf.raw_ops.FusedBatchNormV3(
        x=_as_images(data), scale=scale, offset=offset, mean=mean, variance=variance,
        epsilon=node.at("epsilon", 1e-5), is_training=False,
    )[0]  # fmt: skip
    return OnnxTensor(tf.reshape(images, data.shape) if len(data.shape) != 4 else images, len(data.shape) > 2)


def _instance_normalization(node: OnnxNode) -> OnnxTensor:
    images = node.turned(0)
    mean, variance = tf.nn.moments(images, list(range(1, len(images.shape) - 1)), keepdims=True)
    scale, offset = node.plain(1), node.plain(2)
    return OnnxTensor(tf.nn.batch_normalization(images, mean, variance, offset, scale, node.at("epsilon", 1e-5)), True)


def _lrn(node: OnnxNode) -> OnnxTensor:
    size = node.at("size")
    if size % 2 == 0:
        raise ValueError(f"an even `size`, {size}, is not covered")
    data = node.turned(0)
    # TensorFlow's alpha is of each square, ONNX's of their mean.
    images = tf.nn.local_response_normalization(
        _as_images(data), (size - 1) // 2, node.at("bias", 1.0), node.at("alpha", 1e-4) / size, node.at("beta", 0.75)
    )
    return OnnxTensor(tf.reshape(images, data.shape) if len(data.shape) != 4 else images, len(data.shape) > 2)


WINDOW_OPS = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_pool(tf.reduce_mean),
    "GlobalMaxPool": _global_pool(tf.reduce_max),
    "InstanceNormalization": _instance_normalization,
    "LRN": _lrn,
    "MaxPool": _max_pool,
}
"""Translations by type of op."""
