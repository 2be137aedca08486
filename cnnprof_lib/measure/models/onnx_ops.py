"""Ops of ONNX in TensorFlow's: one table of translations, each a function of the node.

Ops that work value by value, and those along axes, take tensors as they lie and find the axis in them. Ops that count
values through, such as Reshape, get them in ONNX's order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from .onnx_resize import resize
from .onnx_shapes import SHAPE_OPS
from .onnx_values import OnnxNode, OnnxTensor, aligned, as_tensor, permute
from .onnx_windows import WINDOW_OPS

OnnxOp = Callable[[OnnxNode], OnnxTensor | list[OnnxTensor]]


def _each(function: Callable[..., Any], **settings: float) -> OnnxOp:
    """An op of one tensor, value by value; ``settings`` are its attributes with ONNX's defaults."""

    def translate(node: OnnxNode) -> OnnxTensor:
        tensor = node.input(0)
        given = (node.at(key, default) for key, default in settings.items())
        return OnnxTensor(function(as_tensor(tensor.data), *given), tensor.channels_last)

    return translate


def _broadcast(function: Callable[..., Any]) -> OnnxOp:
    """An op of several tensors, value by value; of two at a time if ONNX gives more than the function takes."""

    def translate(node: OnnxNode) -> OnnxTensor:
        (result, *rest), channels_last = aligned(node.given)
        if not rest:
            return OnnxTensor(result, channels_last)
        for operand in rest:
            result = function(result, operand)
        return OnnxTensor(result, channels_last)

    return translate


def _where(node: OnnxNode) -> OnnxTensor:
    operands, channels_last = aligned(node.given)
    return OnnxTensor(tf.where(*operands), channels_last)


def _divide(x: Any, y: Any) -> Any:
    return tf.truncatediv(x, y) if x.dtype.is_integer else tf.divide(x, y)


def _gelu(node: OnnxNode) -> OnnxTensor:
    tensor = node.input(0)
    approximate = node.at("approximate", b"none") in (b"tanh", "tanh")
    return OnnxTensor(tf.nn.gelu(as_tensor(tensor.data), approximate=approximate), tensor.channels_last)


def _clip(node: OnnxNode) -> OnnxTensor:
    tensor = node.input(0)
    x = as_tensor(tensor.data)
    low, high = (node.setting(key, index) for index, key in enumerate(("min", "max"), 1))
    if low is not None and float(low) == 0 and not x.dtype.is_integer and (high is None or float(high) == 6):
        return OnnxTensor(tf.nn.relu(x) if high is None else tf.nn.relu6(x), tensor.channels_last)
    x = x if low is None else tf.maximum(x, tf.constant(low, x.dtype))
    x = x if high is None else tf.minimum(x, tf.constant(high, x.dtype))
    return OnnxTensor(x, tensor.channels_last)


def _cast(node: OnnxNode) -> OnnxTensor:
    from onnx import helper

    tensor = node.input(0)
    dtype = tf.as_dtype(helper.tensor_dtype_to_np_dtype(node.at("to")))
    return OnnxTensor(tf.cast(as_tensor(tensor.data), dtype), tensor.channels_last)


def _same(node: OnnxNode) -> OnnxTensor:
    if node.op == "Dropout" and node.outputs > 1:
        raise ValueError("its second output, the mask, is not covered")
    return node.input(0)


def _constant(node: OnnxNode) -> OnnxTensor:
    (value,) = node.attributes.values()
    return OnnxTensor(np.asarray(value, np.float32 if np.asarray(value).dtype == np.float64 else None))


def _softmax(function: Callable[..., Any]) -> OnnxOp:
    def translate(node: OnnxNode) -> OnnxTensor:
        tensor = node.input(0)
        if node.opset >= 13:
            return OnnxTensor(function(as_tensor(tensor.data), tensor.place(node.at("axis", -1))), tensor.channels_last)
        x = node.plain(0)  # older ones take all axes from this one on for one
        rows = math.prod(tensor.shape[: node.at("axis", 1) % tensor.rank])
        return OnnxTensor(tf.reshape(function(tf.reshape(x, (rows, -1)), -1), x.shape))

    return translate


def _layer_normalization(node: OnnxNode) -> OnnxTensor:
    x = node.plain(0)
    axes = list(range(node.at("axis", -1) % len(x.shape), len(x.shape)))
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    offset = node.plain(2) if node.has(2) else None
    return OnnxTensor(tf.nn.batch_normalization(x, mean, variance, offset, node.plain(1), node.at("epsilon", 1e-5)))


def _product(x: Any, y: Any) -> Any:
    """A matrix product; many rows by one matrix are one MatMul, as a dense layer's."""
    if len(x.shape) < 2 or len(y.shape) < 2:
        return tf.tensordot(x, y, axes=((-1,), (max(len(y.shape) - 2, 0),)))
    if len(x.shape) > 2 and len(y.shape) == 2:
        rows = tf.reshape(x, (-1, x.shape[-1]))
        return tf.reshape(tf.matmul(rows, y), (*x.shape[:-1], y.shape[-1]))
    return tf.matmul(x, y)


def _gemm(node: OnnxNode) -> OnnxTensor:
    x, weights = (OnnxTensor(node.input(index).in_order()) for index in (0, 1))
    x, weights = (
        permute(tensor.data, (1, 0)) if node.at(key, 0) else tensor.data
        for tensor, key in ((x, "transA"), (weights, "transB"))
    )
    alpha, beta = node.at("alpha", 1.0), node.at("beta", 1.0)
    weights = weights if alpha == 1 else weights * np.float32(alpha).astype(weights.dtype)
    y = tf.matmul(as_tensor(x), as_tensor(weights))
    if not node.has(2) or beta == 0:
        return OnnxTensor(y)
    bias = node.input(2).in_order()
    bias = bias if beta == 1 else bias * np.float32(beta).astype(bias.dtype)
    if isinstance(bias, np.ndarray) and bias.size == y.shape[1] == bias.shape[-1]:
        return OnnxTensor(tf.nn.bias_add(y, as_tensor(bias.reshape(-1))))
    return OnnxTensor(y + as_tensor(bias))


ONNX_OPS: dict[str, OnnxOp] = (
    SHAPE_OPS
    | WINDOW_OPS
    | {
        "Abs": _each(tf.abs),
        "Add": _broadcast(tf.add),
        "Cast": _cast,
        "Ceil": _each(tf.math.ceil),
        "Clip": _clip,
        "Constant": _constant,
        "Div": _broadcast(_divide),
        "Dropout": _same,
        "Elu": _each(
            lambda x, alpha: tf.where(x < 0, alpha * tf.math.expm1(x), x) if alpha != 1 else tf.nn.elu(x), alpha=1.0
        ),
        "Equal": _broadcast(tf.equal),
        "Erf": _each(tf.math.erf),
        "Exp": _each(tf.exp),
        "Floor": _each(tf.floor),
        "Gelu": _gelu,
        "Gemm": _gemm,
        "HardSigmoid": _each(lambda x, alpha, beta: tf.clip_by_value(x * alpha + beta, 0, 1), alpha=0.2, beta=0.5),
        "HardSwish": _each(lambda x: x * tf.nn.relu6(x + 3) / 6),
        "Identity": _same,
        "LayerNormalization": _layer_normalization,
        "LeakyRelu": _each(tf.nn.leaky_relu, alpha=0.01),
        "Log": _each(tf.math.log),
        "LogSoftmax": _softmax(tf.nn.log_softmax),
        "MatMul": lambda node: OnnxTensor(_product(node.plain(0), node.plain(1))),
        "Max": _broadcast(tf.maximum),
        "Min": _broadcast(tf.minimum),
        "Mod": _broadcast(tf.math.floormod),
        "Mul": _broadcast(tf.multiply),
        "Neg": _each(tf.negative),
        "PRelu": _broadcast(lambda x, slope: tf.nn.relu(x) - slope * tf.nn.relu(-x)),
        "Pow": _broadcast(lambda x, y: tf.pow(x, tf.cast(y, x.dtype))),
        "Reciprocal": _each(tf.math.reciprocal),
        "Relu": _each(tf.nn.relu),
        "Resize": resize,
        "Sigmoid": _each(tf.sigmoid),
        "Softmax": _softmax(tf.nn.softmax),
        "Softplus": _each(tf.math.softplus),
        "Sqrt": _each(tf.sqrt),
        "Sub": _broadcast(tf.subtract),
        "Sum": _broadcast(tf.add),
        "Tanh": _each(tf.tanh),
        "Upsample": resize,
        "Where": _where,
    }
)
"""Translations by type of op."""
