"""ONNX files as TensorFlow functions: what they compute, in which layout and layers, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra cnnprof[onnx] is not installed")

import tensorflow as tf  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from cnnprof_lib.base.errors import MeasureError  # noqa: E402
from cnnprof_lib.measure.models.describe import network_of  # noqa: E402
from cnnprof_lib.measure.models.onnx_file import OnnxLayer, onnx_function  # noqa: E402
from cnnprof_lib.measure.models.open import open_model  # noqa: E402
from cnnprof_lib.params.model import model_of as model_of_name  # noqa: E402
from cnnprof_lib.params.network import Tensor  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def ints(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


def node(op: str, reads: str, gives: str, **settings: Any) -> Any:
    return helper.make_node(op, reads.split(" "), gives.split(), **settings)


def model_of(nodes: list[Any], shape: tuple[Any, ...], weights: dict[str, np.ndarray] | None = None, opset: int = 17):
    """A model from `x` to the outputs of the last node."""
    constants = [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in nodes[-1].output]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "network", [x], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(model: Any, folder: Path) -> Path:
    path = folder / "network.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def assert_same(model: Any, folder: Path, input_shape: tuple[int, ...] | None = None, atol: float = 1e-4) -> Any:
    """Compares all outputs with those of ONNX's own reference."""
    read = onnx_function(saved(model, folder), 2, input_shape)
    x = floats(2, *read.inputs[0].shape)
    ours = read.function(tf.constant(x))
    theirs = ReferenceEvaluator(model).run(None, {"x": x})
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert our.shape == their.shape
        np.testing.assert_allclose(our, their, rtol=1e-4, atol=atol)
    return read


def ops_of(read: Any) -> list[str]:
    return [node.op for node in read.function.graph.as_graph_def().node]


# Ops

CONVOLUTIONS = {
    "plain": ((4, 9, 8), (6, 4, 3, 3), {}),
    "same upper": ((4, 9, 8), (6, 4, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same lower": ((4, 9, 8), (6, 4, 3, 2), {"auto_pad": "SAME_LOWER", "strides": [2, 1]}),
    "pads as same": ((4, 9, 8), (6, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
    "asymmetric pads": ((4, 9, 8), (6, 4, 3, 3), {"pads": [0, 1, 2, 3], "strides": [2, 3]}),
    "dilated": ((4, 9, 8), (6, 4, 3, 3), {"dilations": [2, 1], "pads": [2, 1, 2, 1]}),
    "grouped": ((4, 9, 8), (6, 2, 3, 3), {"group": 2, "pads": [1, 0, 1, 0]}),
    "depthwise": ((4, 9, 8), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "depthwise strided": ((4, 9, 8), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "depthwise doubled": ((4, 9, 9), (8, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "depthwise strided unevenly": ((4, 9, 8), (4, 1, 3, 3), {"group": 4, "strides": [2, 1], "pads": [1, 1, 1, 1]}),
    "depthwise dilated": ((4, 9, 8), (4, 1, 3, 3), {"group": 4, "dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    "line": ((4, 9), (6, 4, 3), {"pads": [1, 2], "strides": [2]}),
    "line depthwise": ((4, 9), (4, 1, 3), {"group": 4, "dilations": [2]}),
    "volume": ((4, 5, 6, 7), (6, 4, 3, 2, 3), {"pads": [1, 0, 1, 1, 0, 2], "strides": [1, 2, 1]}),
    "volume grouped": ((4, 5, 6, 7), (6, 2, 3, 2, 3), {"group": 2, "dilations": [2, 1, 1]}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case, tmp_path):
    shape, kernels, settings = CONVOLUTIONS[case]
    weights = {"w": floats(*kernels), "b": floats(kernels[0])}
    assert_same(model_of([node("Conv", "x w b", "y", **settings)], ("n", *shape), weights), tmp_path)


@pytest.mark.parametrize("case", [name for name in CONVOLUTIONS if not name.startswith("volume")])
def test_convolutions_that_tensorflow_fuses(case, tmp_path):
    """Its fused kernels do not know all that its plain ones do, and at a sum of three it asks for their shapes."""
    shape, kernels, settings = CONVOLUTIONS[case]
    weights = {name: floats(*kernels) for name in ("w1", "w2", "w3")} | {"b": floats(kernels[0])}
    nodes = [node("Conv", f"x w{i} b", f"c{i}", **settings) for i in (1, 2, 3)]
    nodes += [node("Relu", f"c{i}", f"r{i}") for i in (1, 2, 3)]
    assert_same(model_of([*nodes, node("Sum", "r1 r2 r3", "y")], ("n", *shape), weights), tmp_path)


def test_a_padded_depthwise_convolution_with_onednn(tmp_path):
    """TensorFlow 2.21 ends the process when it plans the memory of such a network, unless the padding is an op."""
    settings = {"pads": [1, 1, 1, 1], "strides": [2, 2]}
    nodes = [
        node("Conv", "x w b", "c", group=4, **settings),
        node("MaxPool", "x", "p", kernel_shape=[3, 3], **settings),
        node("Relu", "p", "r"),
        node("Sum", "c p r", "y"),
    ]
    path = saved(model_of(nodes, ("n", 4, 8, 8), {"w": floats(4, 1, 3, 3), "b": floats(4)}), tmp_path)
    code = (
        "import pathlib, tensorflow, cnnprof_lib.measure.models.onnx_file as onnx_file\n"
        f"read = onnx_file.onnx_function(pathlib.Path({str(path)!r}), 2)\n"
        "read.function(tensorflow.ones((2, 4, 8, 8)))"
    )
    run = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1"}, cwd=ROOT)
    assert run.returncode == 0


TRANSPOSED = {
    "plain": ((4, 5, 4), (4, 6, 3, 3), {}),
    "strided": ((4, 5, 4), (4, 6, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    "asymmetric": ((4, 5, 4), (4, 6, 3, 4), {"strides": [3, 2], "pads": [0, 1, 2, 1]}),
    "dilated": ((4, 5, 4), (4, 6, 3, 3), {"dilations": [2, 2]}),
    "same upper": ((4, 5, 4), (4, 6, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "line": ((4, 5), (4, 6, 3), {"strides": [2]}),
    "volume": ((4, 3, 4, 3), (4, 2, 3, 2, 2), {"strides": [2, 1, 2], "pads": [1, 0, 0, 1, 1, 0]}),
}


@pytest.mark.parametrize("case", TRANSPOSED)
def test_transposed_convolutions(case, tmp_path):
    shape, kernels, settings = TRANSPOSED[case]
    weights = {"w": floats(*kernels), "b": floats(kernels[1])}
    assert_same(model_of([node("ConvTranspose", "x w b", "y", **settings)], ("n", *shape), weights), tmp_path)


@pytest.mark.parametrize("size", [(5, 4), (3, 4, 3)])
def test_a_grouped_transposed_convolution_is_one_of_each_group(size, tmp_path):
    w, x = floats(4, 3, *[2] * len(size)), floats(2, 4, *size)
    nodes = [node("ConvTranspose", "x w", "y", strides=[2] * len(size), group=2)]
    (y,) = onnx_function(saved(model_of(nodes, ("n", 4, *size), {"w": w}), tmp_path), 2).function(tf.constant(x))
    nodes = [node("ConvTranspose", "x w", "y", strides=[2] * len(size))]
    parts = [slice(0, 2), slice(2, 4)]
    models = [model_of(nodes, ("n", 2, *size), {"w": w[part]}) for part in parts]
    each = [ReferenceEvaluator(own).run(None, {"x": x[:, part]})[0] for own, part in zip(models, parts, strict=True)]
    np.testing.assert_allclose(y, np.concatenate(each, 1), atol=1e-4)


POOLINGS = {
    "plain": ((4, 9, 8), {"kernel_shape": [3, 2]}),
    "strided": ((4, 9, 8), {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "padded": ((4, 9, 9), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "padded unevenly": ((4, 9, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 2, 1]}),
    "rounded up": ((4, 10, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "rounded up and padded": (
        (4, 10, 8),
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    ),
    "same upper": ((4, 9, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same lower": ((4, 9, 8), {"kernel_shape": [2, 3], "auto_pad": "SAME_LOWER"}),
    "line": ((4, 9), {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}),
    "volume": ((4, 5, 6, 5), {"kernel_shape": [2, 3, 2], "strides": [1, 2, 2], "pads": [0, 1, 0, 1, 1, 0]}),
}


@pytest.mark.parametrize("case", POOLINGS)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "AveragePool with padding"])
def test_poolings(op, case, tmp_path):
    shape, settings = POOLINGS[case]
    op, _, counts = op.partition(" with ")
    more = {"count_include_pad": 1} if counts else {}
    assert_same(model_of([node(op, "x", "y", **settings, **more)], ("n", *shape), opset=19), tmp_path)


def test_dilated_max_pooling(tmp_path):
    nodes = [node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 3])]
    assert_same(model_of(nodes, ("n", 4, 9, 8)), tmp_path)


def test_a_window_of_padding_alone_is_left_out(tmp_path):
    nodes = [node("AveragePool", "x", "y", kernel_shape=[1], strides=[2], ceil_mode=1, pads=[0, 1])]
    read = onnx_function(saved(model_of(nodes, (2, 1, 4)), tmp_path), 2)
    assert read.outputs[0].shape == (1, 2)


VALUE_BY_VALUE = [
    node("Relu", "x", "y"), node("Sigmoid", "x", "y"), node("Tanh", "x", "y"), node("Erf", "x", "y"),
    node("Elu", "x", "y"), node("Elu", "x", "y", alpha=0.3), node("LeakyRelu", "x", "y", alpha=0.2),
    node("HardSigmoid", "x", "y"), node("HardSigmoid", "x", "y", alpha=0.3, beta=0.4), node("HardSwish", "x", "y"),
    node("Abs", "x", "y"), node("Neg", "x", "y"), node("Exp", "x", "y"), node("Floor", "x", "y"),
    node("Ceil", "x", "y"), node("Softplus", "x", "y"), node("Reciprocal", "x", "y"), node("Identity", "x", "y"),
    node("Clip", "x zero six", "y"), node("Clip", "x zero", "y"), node("Clip", "x low high", "y"),
    node("Clip", "x  high", "y"), node("Clip", "x", "y"), node("Dropout", "x", "y"), node("PRelu", "x slope", "y"),
    node("Add", "x channel", "y"), node("Sub", "channel x", "y"), node("Mul", "x line", "y"), node("Div", "x low", "y"),
    node("Pow", "x two", "y"), node("Add", "x whole", "y"), node("Add", "x deep", "y"), node("Sum", "x channel x", "y"),
    node("Max", "x channel zero", "y"), node("Min", "x channel", "y"), node("Sum", "x", "y"),
    node("Softmax", "x", "y", axis=1), node("Softmax", "x", "y"), node("LogSoftmax", "x", "y", axis=-3),
    node("Cast", "x", "y", to=TensorProto.FLOAT), node("Mod", "whole_numbers sevens", "y"),
]  # fmt: skip
CONSTANTS = {
    "zero": np.float32(0), "six": np.float32(6), "low": np.float32(-0.5), "high": np.float32(0.7), "two": ints(2),
    "slope": floats(4, 1, 1), "channel": floats(4, 1, 1), "line": floats(6), "whole": floats(1, 4, 5, 6),
    "deep": floats(3, 1, 4, 1, 1), "whole_numbers": ints(-8, 8), "sevens": ints(7, -7),
}  # fmt: skip


@pytest.mark.parametrize("layout", ["as the file", "channels last"])
@pytest.mark.parametrize("last", VALUE_BY_VALUE, ids=lambda node: " ".join([node.op_type, *node.input]))
def test_ops_value_by_value(last, layout, tmp_path):
    """With and without a pooling before it, which leaves channels last."""
    if last.op_type == "Mod":
        last = node("Gather", "x mod", "y", axis=1)
        nodes = [node("Mod", "whole_numbers sevens", "mod"), last]
        constants = CONSTANTS | {"sevens": ints(3, 2)}
    elif layout == "channels last":
        moved = helper.make_node(last.op_type, ["p" if name == "x" else name for name in last.input], last.output)
        moved.attribute.extend(last.attribute)
        nodes, constants = [node("MaxPool", "x", "p", kernel_shape=[1, 1]), moved], CONSTANTS
    else:
        nodes, constants = [last], CONSTANTS
    read_names = {name for each in nodes for name in each.input}
    used = {name: np.asarray(value) for name, value in constants.items() if name in read_names}
    read = assert_same(model_of(nodes, ("n", 4, 5, 6), used), tmp_path)
    if layout == "channels last" and last.op_type not in ("Mod", "Gather", "Softmax"):
        assert ops_of(read).count("Transpose") == 2, "in and out"


AXES = [
    [node("Concat", "p p", "y", axis=1)],
    [node("Concat", "p x", "y", axis=-1)],
    [node("Concat", "p whole", "y", axis=0)],
    [node("Split", "p one_and_rest", "a b", axis=1)],
    [node("Split", "p", "a b", axis=2, num_outputs=2)],
    [node("Slice", "p starts ends", "y")],
    [node("Slice", "p starts ends axes steps", "y")],
    [node("Slice", "p last before_first channels back", "y")],
    [node("Pad", "p pads", "y")],
    [node("Pad", "p pads low", "y")],
    [node("Pad", "p pads", "y", mode="edge")],
    [node("Pad", "p pads", "y", mode="reflect")],
    [node("Slice", "p starts ends axes", "y")],
    [node("Pad", "p two_pads  channels_too", "y")],
    [node("ReduceMean", "p height_width", "y")],
    [node("ReduceMean", "p height_width", "y", keepdims=0)],
    [node("ReduceMean", "p channels", "y", keepdims=0)],
    [node("ReduceSum", "p height", "y", keepdims=0)],
    [node("ReduceSum", "p", "y")],
    [node("ReduceMax", "p batch", "y", keepdims=0)],
    [node("ReduceMin", "p", "y", noop_with_empty_axes=1)],
    [node("Flatten", "p", "y")],
    [node("Flatten", "p", "y", axis=-1)],
    [node("Reshape", "p shape", "y")],
    [node("Transpose", "p", "y")],
    [node("Transpose", "p", "y", perm=[0, 2, 3, 1])],
    [node("Transpose", "p", "y", perm=[0, 3, 1, 2])],
    [node("Gather", "p picks", "y", axis=1)],
    [node("Unsqueeze", "p ends_axes", "y")],
    [node("Expand", "p wide", "y")],
    [node("Equal", "p p", "e"), node("Where", "e p low", "y")],
    [node("GlobalAveragePool", "p", "g"), node("Squeeze", "g height_width", "y")],
    [node("GlobalMaxPool", "p", "g"), node("Squeeze", "g height", "y")],
    [node("GlobalAveragePool", "p", "g"), node("Flatten", "g", "y")],
    [
        node("Shape", "p", "s"),
        node("Gather", "s zeroth", "n"),
        node("Unsqueeze", "n batch", "m"),
        node("Concat", "m rest", "t", axis=0),
        node("Reshape", "p t", "y"),
    ],
]
AXES_CONSTANTS = {
    "whole": floats(1, 4, 5, 6), "one_and_rest": ints(1, 3), "starts": ints(0, 1), "ends": ints(1, 2**62),
    "axes": ints(2, -1), "steps": ints(1, 2), "last": ints(-1), "before_first": ints(-(2**62)), "channels": ints(1),
    "back": ints(-1), "pads": ints(0, 1, 2, 0, 0, 0, 1, 3), "low": np.float32(-0.5), 
    "two_pads": ints(1, 2, 3, 4), "channels_too": ints(1, 3), "height_width": ints(2, 3), "height": ints(2),
    "batch": ints(0), "shape": ints(0, -1, 3), "picks": ints([0, -1], [2, 2]), "ends_axes": ints(0, -1),
    "wide": ints(3, 1, 1, 1, 1), "zeroth": np.int64(0), "rest": ints(-1),
}  # fmt: skip


@pytest.mark.parametrize("nodes", AXES, ids=lambda nodes: " ".join([nodes[-1].op_type, *nodes[-1].input]))
def test_ops_along_axes(nodes, tmp_path):
    nodes = [node("MaxPool", "x", "p", kernel_shape=[1, 1]), *nodes]
    read_names = {name for each in nodes for name in each.input}
    constants = {name: np.asarray(value) for name, value in AXES_CONSTANTS.items() if name in read_names}
    assert_same(model_of(nodes, ("n", 4, 5, 6), constants, opset=18), tmp_path)


OLD = [
    [node("Squeeze", "g", "y", axes=[2, 3])], [node("Unsqueeze", "g", "y", axes=[1])],
    [node("ReduceMean", "x", "y", axes=[2, 3], keepdims=0)], [node("Split", "x", "a b", axis=1, split=[1, 3])],
    [node("Slice", "x", "y", starts=[1, 0], ends=[3, -1], axes=[1, 3])], [node("Clip", "x", "y", min=0.0, max=6.0)],
    [node("Pad", "x", "y", pads=[0, 0, 1, 1, 0, 0, 2, 0], value=3.0)], [node("Softmax", "x", "y", axis=1)],
]  # fmt: skip


@pytest.mark.parametrize("nodes", OLD, ids=lambda nodes: nodes[-1].op_type)
def test_opset_9_has_attributes_for_inputs(nodes, tmp_path):
    path = saved(model_of([node("GlobalAveragePool", "x", "g"), *nodes], ("n", 4, 5, 6), opset=9), tmp_path)
    x = floats(2, 4, 5, 6)
    ours = onnx_function(path, 2).function(tf.constant(x))[0].numpy()
    expected = {
        "Squeeze": lambda: x.mean((2, 3)),
        "Unsqueeze": lambda: x.mean((2, 3), keepdims=True)[:, None],
        "ReduceMean": lambda: x.mean((2, 3)),
        "Split": lambda: x[:, :1],
        "Slice": lambda: x[:, 1:3, :, :-1],
        "Clip": lambda: x.clip(0, 6),
        "Pad": lambda: np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 0)), constant_values=3),
        "Softmax": lambda: np.exp(x) / np.exp(x).sum((1, 2, 3), keepdims=True),
    }[nodes[-1].op_type]()
    np.testing.assert_allclose(ours, expected, atol=1e-5)


PRODUCTS = [
    ((5,), (5, 3), node("MatMul", "x w", "y")), ((4, 5), (5, 3), node("MatMul", "x w", "y")),
    ((4, 5), (5,), node("MatMul", "x w", "y")), ((4, 5), (2, 5, 3), node("MatMul", "x w", "y")),
    ((5,), (5, 3), node("Gemm", "x w b", "y")),
    ((5,), (3, 5), node("Gemm", "x w b", "y", transB=1, alpha=0.5, beta=2.0)),
    ((5,), (2, 3), node("Gemm", "x w", "y", transA=1)),
]  # fmt: skip


@pytest.mark.parametrize("shape, weights, last", PRODUCTS)
def test_products(shape, weights, last, tmp_path):
    constants = {"w": floats(*weights), "b": floats(3)}
    used = {name: value for name, value in constants.items() if name in last.input}
    assert_same(model_of([last], ("n", *shape), used), tmp_path)


@pytest.mark.parametrize("shape", [(4,), (4, 5), (4, 5, 6), (4, 3, 5, 6)])
def test_batch_normalization(shape, tmp_path):
    constants = {"s": floats(4), "b": floats(4), "m": floats(4), "v": abs(floats(4)) + 0.1}
    nodes = [node("BatchNormalization", "x s b m v", "y", epsilon=1e-3)]
    assert_same(model_of(nodes, ("n", *shape), constants), tmp_path)


def test_other_normalizations(tmp_path):
    constants = {"s": floats(4), "b": floats(4), "s2": floats(6), "b2": floats(6)}
    nodes = [node("InstanceNormalization", "x s b", "i"), node("LayerNormalization", "i s2 b2", "y", epsilon=1e-3)]
    assert_same(model_of(nodes, ("n", 4, 5, 6), constants), tmp_path)


@pytest.mark.parametrize("shape", [(8, 3, 4), (8, 5)])
@pytest.mark.parametrize("size, bias", [(3, 1.0), (5, 2.0)])
def test_lrn(size, bias, shape, tmp_path):
    """By its definition: ONNX's reference computes as many channels as there are images."""
    nodes = [node("LRN", "x", "y", size=size, alpha=0.3, beta=0.6, bias=bias)]
    x = floats(2, *shape)
    around = [x[:, max(c - size // 2, 0) : c + size // 2 + 1] for c in range(8)]
    squares = np.stack([(part**2).sum(1) for part in around], 1)
    (y,) = onnx_function(saved(model_of(nodes, ("n", *shape)), tmp_path), 2).function(tf.constant(x))
    np.testing.assert_allclose(y, x / (bias + 0.3 / size * squares) ** 0.6, rtol=1e-5)


def test_negative_padding_cuts_off(tmp_path):
    pads = {"pads": ints(0, -1, 1, 0, 0, 0, 0, -2)}
    x = floats(2, 4, 5, 6)
    (y,) = onnx_function(saved(model_of([node("Pad", "x pads", "y")], ("n", 4, 5, 6), pads), tmp_path), 2).function(x)
    np.testing.assert_array_equal(y, np.pad(x[:, 1:, :, :-2], ((0, 0), (0, 0), (1, 0), (0, 0))))


def test_lrn_divides_alpha_by_its_size(tmp_path):
    nodes = [node("LRN", "x", "y", size=9, alpha=0.001, beta=0.75, bias=1.0)]
    read = onnx_function(saved(model_of(nodes, ("n", 64, 2, 2)), tmp_path), 1)
    (y,) = read.function(tf.fill((1, 64, 2, 2), 100.0))
    np.testing.assert_allclose(y[0, 4:60], np.full((56, 2, 2), 16.56), atol=5e-3)
    np.testing.assert_allclose(y[0, 0], 100 / (1 + 0.001 / 9 * 5 * 100**2) ** 0.75, rtol=1e-5)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate, tmp_path):
    assert_same(model_of([node("Gelu", "x", "y", approximate=approximate)], ("n", 7), opset=20), tmp_path)


RESIZES = [
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    {"mode": "nearest"},
    {"mode": "nearest", "nearest_mode": "ceil"},
    {"mode": "linear"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
    {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
]


@pytest.mark.parametrize("shape, scales", [((3, 4, 5), (2, 3)), ((3, 4, 6), (1.5, 0.5)), ((3, 4), (2,))])
@pytest.mark.parametrize("settings", RESIZES, ids=lambda settings: " ".join(settings.values()))
def test_resizing_by_scales(settings, shape, scales, tmp_path):
    constants = {"scales": np.array([1, 1, *scales], np.float32)}
    assert_same(model_of([node("Resize", "x  scales", "y", **settings)], ("n", *shape), constants), tmp_path)


def test_resizing_to_sizes(tmp_path):
    constants = {"sizes": ints(2, 3, 7, 9)}
    assert_same(model_of([node("Resize", "x   sizes", "y", mode="linear")], ("n", 3, 4, 5), constants), tmp_path)


def test_upsample_of_opset_9(tmp_path):
    constants = {"scales": np.array([1, 1, 2, 2], np.float32)}
    path = saved(model_of([node("Upsample", "x scales", "y")], ("n", 3, 4, 5), constants, opset=9), tmp_path)
    x = floats(2, 3, 4, 5)
    np.testing.assert_array_equal(onnx_function(path, 2).function(tf.constant(x))[0], x.repeat(2, 2).repeat(2, 3))


# Layers and layout


def classifier(batch: Any = "n", size: Any = 8) -> Any:
    weights = {
        "w1": floats(6, 3, 3, 3), "b1": floats(6), "s": floats(6), "o": floats(6), "m": floats(6),
        "v": abs(floats(6)) + 0.1, "w2": floats(6, 6, 1, 1), "w3": floats(6, 4), "b3": floats(4),
    }  # fmt: skip
    nodes = [
        node("Conv", "x w1 b1", "c", name="/stem/Conv", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c s o m v", "bn", name="/stem/bn"),
        node("Relu", "bn", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "p w2", "c2", name="/stem/Conv"),
        node("Add", "c2 p", "sum"),
        node("GlobalAveragePool", "sum", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f w3 b3", "logits", name="head"),
    ]
    return model_of(nodes, (batch, 3, size, size), weights)


def test_layers_are_the_nodes_of_the_file(tmp_path):
    read = assert_same(classifier(), tmp_path)
    assert read.layers == (
        OnnxLayer("stem/Conv", "Conv", ("x",), (8, 8, 6)),
        OnnxLayer("stem/bn", "BatchNormalization", ("stem/Conv",), (8, 8, 6)),
        OnnxLayer("r", "Relu", ("stem/bn",), (8, 8, 6)),
        OnnxLayer("p", "MaxPool", ("r",), (4, 4, 6)),
        OnnxLayer("stem/Conv_2", "Conv", ("p",), (4, 4, 6)),
        OnnxLayer("sum", "Add", ("stem/Conv_2", "p"), (4, 4, 6)),
        OnnxLayer("g", "GlobalAveragePool", ("sum",), (1, 1, 6)),
        OnnxLayer("f", "Flatten", ("g",), (6,)),
        OnnxLayer("head", "Gemm", ("f",), (4,)),
    )
    assert read.inputs == (Tensor(name="x", shape=(3, 8, 8)),)
    assert read.outputs == (Tensor(name="logits", shape=(4,)),)


def test_nodes_and_weights_are_their_layers(tmp_path):
    path = saved(classifier(), tmp_path)
    opened = open_model(model_of_name(str(path)), seed=1)
    frozen, facts = opened.freeze(2)
    network = network_of(frozen, facts, opened.inputs, name="network", title="Network", file=str(path))
    nodes = frozen.graph_def.node
    by_op = {op: [frozen.owners.get(node.name) for node in nodes if node.op == op] for op in {n.op for n in nodes}}
    assert by_op["Conv2D"] == ["stem/Conv", "stem/Conv_2"]
    assert by_op["FusedBatchNormV3"] == ["stem/bn"]
    assert by_op["MatMul"] == by_op["BiasAdd"][1:] == ["head"]
    assert by_op["Transpose"] == ["stem/Conv"], "the input is turned around once, and nothing after it"
    assert {node.name for node in nodes} - frozen.owners.keys() == {"tensors_0", "Identity"}
    assert sum(value.size for value in frozen.weights.values()) == 6 * 3 * 9 + 6 * 5 + 36 + 24 + 4
    assert {layer.name: layer.macs for layer in network.layers if layer.macs} == {
        "stem/Conv": 8 * 8 * 6 * 3 * 9,
        "stem/Conv_2": 4 * 4 * 6 * 6,
        "head": 6 * 4,
    }
    assert network.parameters == sum(value.size for value in frozen.weights.values())


def test_a_convolution_has_channels_last_and_its_output_those_of_the_file(tmp_path):
    weights = {"w": floats(6, 3, 3, 3)}
    read = assert_same(model_of([node("Conv", "x w", "c"), node("Relu", "c", "y")], ("n", 3, 8, 7), weights), tmp_path)
    operations = {op.type: op for op in read.function.graph.get_operations()}
    assert operations["Conv2D"].get_attr("data_format") == b"NHWC"
    assert operations["Conv2D"].outputs[0].shape == (2, 6, 5, 6)
    assert operations["Relu"].outputs[0].shape == (2, 6, 5, 6)
    turned = [op for op in read.function.graph.get_operations() if op.type == "Transpose"]
    assert [op.name.partition("/")[0] for op in turned] == [".0", ".1"]
    assert read.outputs[0].shape == (6, 6, 5)
    assert read.layers[-1].output_shape == (6, 5, 6)


def test_a_transpose_to_channels_first_costs_nothing(tmp_path):
    nodes = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t w", "c"), node("GlobalMaxPool", "c", "y")]
    read = assert_same(model_of(nodes, ("n", 8, 7, 3), {"w": floats(6, 3, 3, 3)}), tmp_path)
    assert "Transpose" not in ops_of(read)


def test_what_constants_give_is_no_layer(tmp_path):
    nodes = [
        node("Constant", "", "k", value=numpy_helper.from_array(floats(2, 3, 3, 3))),
        node("Mul", "k k", "w"),
        node("Conv", "x w", "y"),
    ]
    nodes[0].input.pop()
    read = assert_same(model_of(nodes, ("n", 3, 5, 5)), tmp_path)
    assert [layer.name for layer in read.layers] == ["y"]


def test_free_sizes_are_given(tmp_path):
    read = assert_same(classifier(size="size"), tmp_path, (3, 8, 8))
    assert read.inputs[0].shape == (3, 8, 8)


def test_external_data_is_read(tmp_path):
    path = tmp_path / "network.onnx"
    model = classifier()
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (y,) = onnx_function(path, 2).function(tf.ones((2, 3, 8, 8)))
    expected = ReferenceEvaluator(onnx.load(path)).run(None, {"x": np.ones((2, 3, 8, 8), np.float32)})[0]
    np.testing.assert_allclose(y, expected, atol=1e-4)


# Errors


def error_of(path: Path, batch_size: int = 2, input_shape: tuple[int, ...] | None = None) -> str:
    with pytest.raises(MeasureError) as caught:
        onnx_function(path, batch_size, input_shape)
    return str(caught.value)


def test_a_missing_file(tmp_path):
    path = tmp_path / "network.onnx"
    assert error_of(path) == f"{path}: cannot be read (No such file or directory). Name an ONNX file"


@pytest.mark.parametrize("content", [b"\x08\x08\xff\xff", b"no model at all", "truncated"])
def test_a_damaged_file(content, tmp_path):
    path = saved(classifier(), tmp_path)
    path.write_bytes(path.read_bytes()[:-100] if content == "truncated" else content)
    assert error_of(path) == f"{path}: is no ONNX file, or a damaged one. Name one that was written to its end"


def test_an_empty_file(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"")
    assert error_of(path) == f"{path}: is no ONNX file: it holds no node. Name one that holds a network"


def test_missing_external_data(tmp_path):
    path = tmp_path / "network.onnx"
    onnx.save(classifier(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    message = error_of(path)
    assert message.startswith(f"{path}: its external data cannot be read (")
    assert "weights.bin" in message
    assert message.endswith("). Put the files written with it beside it")


def test_external_data_elsewhere_is_not_read(tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    model = classifier()
    onnx.save(model, folder / "network.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    model = onnx.load(folder / "network.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = "../weights.bin"
    path = saved(model, folder)
    assert error_of(path).startswith(f"{path}: its external data cannot be read (")


@pytest.mark.parametrize("opset", [6, 99])
def test_an_opset_not_covered(opset, tmp_path):
    path = saved(model_of([node("Relu", "x", "y")], ("n", 3), opset=opset), tmp_path)
    assert error_of(path) == (
        f"{path}: is written in an opset that is not covered. Received: {opset}. Export it with opset 7 to 27"
    )


def test_an_invalid_model(tmp_path):
    path = saved(model_of([node("Relu", "x x", "y")], ("n", 3)), tmp_path)
    message = error_of(path)
    assert message.startswith(f"{path}: is no valid ONNX model (")
    assert message.endswith("). Export it again")


def test_an_op_not_covered(tmp_path):
    path = saved(model_of([node("NonZero", "x", "y", name="where")], ("n", 3)), tmp_path)
    assert error_of(path) == (
        f"{path}: op NonZero of node `where` is not covered. Write the network as .keras or as a SavedModel"
    )


def test_an_op_of_another_domain(tmp_path):
    model = model_of([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], ("n", 3))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    path = saved(model, tmp_path)
    assert error_of(path) == (
        f"{path}: op com.microsoft.Gelu of node `y` is not covered. Write the network as .keras or as a SavedModel"
    )


def test_a_setting_not_covered(tmp_path):
    path = saved(model_of([node("LRN", "x", "y", size=4)], ("n", 3, 2, 2)), tmp_path)
    assert error_of(path) == (
        f"{path}: node `y` (LRN) cannot be translated: an even `size`, 4, is not covered. "
        "Write the network as .keras or as a SavedModel"
    )


def test_a_shape_that_depends_on_the_input(tmp_path):
    nodes = [node("Cast", "x", "shape", to=TensorProto.INT64), node("Reshape", "x shape", "y")]
    path = saved(model_of(nodes, (2,)), tmp_path)
    assert error_of(path) == (
        f"{path}: node `y` (Reshape) cannot be translated: `shape` depends on the network's input. "
        "Write the network as .keras or as a SavedModel"
    )


def test_an_output_that_no_node_gives(tmp_path):
    model = model_of([node("Relu", "x", "y")], ("n", 3))
    model.graph.output[0].name = "z"
    path = saved(model, tmp_path)
    assert error_of(path) == (
        f"{path}: is no valid ONNX model (Graph output 'z' is not an output of any node in graph). Export it again"
    )


def test_an_input_that_is_no_tensor(tmp_path):
    model = model_of([node("Relu", "x", "y")], ("n", 3))
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 3])
    model.graph.input.append(helper.make_value_info("s", helper.make_sequence_type_proto(element)))
    path = saved(model, tmp_path)
    assert error_of(path) == (
        f"{path}: input `s` is no tensor. Received: sequence_type. Write the network as .keras or as a SavedModel"
    )


def test_what_tensorflow_refuses_names_the_node(tmp_path):
    path = saved(model_of([node("Add", "x w", "y")], ("n", 3), {"w": floats(4)}), tmp_path)
    message = error_of(path)
    assert message.startswith(f"{path}: node `y` (Add) cannot be translated: Dimensions must be equal, but are 3 and 4")
    assert "\n" not in message


def test_another_batch_size_than_the_files(tmp_path):
    path = saved(classifier(batch=1), tmp_path)
    assert error_of(path, 32) == (
        f"{path}: input `x` is for batches of 1. Received: 32. Ask for --batch-size 1, or export it with a free batch"
    )


def test_free_sizes_not_given(tmp_path):
    path = saved(classifier(size="size"), tmp_path)
    assert error_of(path) == (
        f"{path}: input `x` leaves sizes free: (3, size, size) without the batch. "
        "Say which by --input-shape, in the file's order"
    )


@pytest.mark.parametrize("shape", [(8, 8, 3), (3, 8)])
def test_sizes_that_do_not_fit(shape, tmp_path):
    path = saved(classifier(size="size"), tmp_path)
    assert error_of(path, input_shape=shape) == (
        f"{path}: input `x` is of shape (3, size, size) without the batch. Received: {shape}. "
        "Give --input-shape in the file's order"
    )


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    path = tmp_path / "network.onnx"
    assert error_of(path) == f'{path}: needs onnx to be read. Install it: pip install "cnnprof[onnx]"'
