"""ONNX's Resize and Upsample in TensorFlow's kernels, as far as these can."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from .onnx_values import OnnxNode, OnnxTensor

_Floats = npt.NDArray[np.float64]


def resize(node: OnnxNode) -> OnnxTensor:
    """Height and width, or the length of a line, made larger or smaller."""
    tensor = node.input(0)
    sizes, scales = _targets(node, tensor)
    if tensor.rank not in (3, 4) or sizes[:2] != list(tensor.shape[:2]) or node.at("antialias", 0):
        raise ValueError(f"from shape {tensor.shape} to {tuple(sizes)} is not covered")
    mode = node.at("mode", "nearest")
    ways = [_sources(node, old, new, scale) for old, new, scale in zip(tensor.shape, sizes, scales, strict=True)][2:]
    images = node.turned(0)
    line = tensor.rank == 3
    images = tf.expand_dims(images, 1) if line else images
    if mode == "nearest":
        images = _nearest(node, images, [np.zeros(1), *ways] if line else ways)
    elif mode == "linear":
        images = _linear(images, [np.zeros(1), *ways] if line else ways)
    else:
        raise ValueError(f"mode `{mode}` is not covered")
    return OnnxTensor(tf.squeeze(images, 1) if line else images, True)


def _targets(node: OnnxNode, tensor: OnnxTensor) -> tuple[list[int], list[float]]:
    """The size asked for and the scale, by ONNX's axes."""
    if node.at("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ValueError("`keep_aspect_ratio_policy` is not covered")
    axes = node.at("axes") or list(range(tensor.rank))
    is_early = node.op == "Upsample" or node.opset == 10
    given = node.setting("scales", 1 if is_early else 2)
    asked = None if is_early else node.setting("sizes", 3)
    sizes, scales = list(tensor.shape), [1.0] * tensor.rank
    for place, axis in enumerate(axes):
        if asked is not None and asked.size:
            sizes[axis] = int(asked[place])
            scales[axis] = sizes[axis] / tensor.shape[axis]
        elif given is not None and given.size:
            scales[axis] = float(given[place])
            sizes[axis] = int(np.floor(tensor.shape[axis] * scales[axis]))
    return sizes, scales


def _sources(node: OnnxNode, old: int, new: int, scale: float) -> _Floats:
    """Where each new value of an axis lies among the old ones."""
    places = np.arange(new, dtype=np.float64)
    is_early = node.op == "Upsample" or node.opset == 10
    mode = "asymmetric" if is_early else node.at("coordinate_transformation_mode", "half_pixel")
    if mode == "asymmetric":
        return places / scale
    if mode == "align_corners":
        return places * (old - 1) / (new - 1) if new > 1 else places * 0
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and new > 1):
        return (places + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return places * 0
    raise ValueError(f"`coordinate_transformation_mode` {mode} is not covered")


def _nearest(node: OnnxNode, images: Any, ways: list[_Floats]) -> Any:
    rounding = node.at("nearest_mode", "round_prefer_floor")
    rounding = "floor" if node.op == "Upsample" or node.opset == 10 else rounding
    rounded: Any = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    }[rounding]
    taken = [np.clip(rounded(way), 0, n - 1).astype(int) for way, n in zip(ways, images.shape[1:3], strict=True)]
    sizes = [len(own) for own in taken]
    theirs = [np.arange(new) * old // new for old, new in zip(images.shape[1:3], sizes, strict=True)]
    if all(map(np.array_equal, taken, theirs)):
        return tf.raw_ops.ResizeNearestNeighbor(images=images, size=sizes)
    for axis, own in enumerate(taken, 1):
        images = tf.gather(images, own, axis=axis)
    return images


def _linear(images: Any, ways: list[_Floats]) -> Any:
    """By TensorFlow's kernel, which takes the places of half pixels, aligned corners or aligned left edges."""
    old, sizes = images.shape[1:3], [len(way) for way in ways]
    for corners, half in ((False, True), (True, False), (False, False)):
        theirs = []
        for n, new in zip(old, sizes, strict=True):
            step = (n - 1) / (new - 1) if corners and new > 1 else n / new
            theirs.append((np.arange(new) + 0.5) * step - 0.5 if half else np.arange(new) * step)
        pairs = zip(ways, theirs, old, strict=True)
        if all(np.allclose(np.clip(way, 0, n - 1), np.clip(their, 0, n - 1), atol=1e-6) for way, their, n in pairs):
            return tf.raw_ops.ResizeBilinear(images=images, size=sizes, align_corners=corners, half_pixel_centers=half)
    raise ValueError("its places between pixels are not covered")
