"""An ONNX file as a TensorFlow function whose layers are the file's nodes.

Each node becomes TensorFlow's ops for it in a scope of its own. What can be computed from constants alone is computed
here and is no layer; so are shapes, as all sizes are known.

**Layout.** The function takes and gives tensors as the file says, mostly (batch, channels, height, width). TensorFlow's
CPU kernels want channels last. The first op with windows turns its input around, and values stay so through
convolutions, poolings, normalisations and all that works value by value or along one axis; a node that needs ONNX's
order (a Reshape, a MatMul, the end of the network) turns them back. Those transpositions are the work of the node that
needs them, at the end of the network of the node that gives the output. A Transpose of the file that only says where
the channels are costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ...base.errors import MeasureError, received
from ...params.network import Shape, Tensor
from .onnx_ops import ONNX_OPS
from .onnx_values import OnnxNode, OnnxTensor, as_tensor

OLDEST_OPSET, NEWEST_OPSET = 7, 27
"""The versions of ONNX's ops that the translations were written for."""
_DEFAULT_DOMAINS = ("", "ai.onnx")
_REFUSALS = (
    ArithmeticError, AttributeError, LookupError, MemoryError, NotImplementedError, TypeError, ValueError,
    tf.errors.OpError,
)  # fmt: skip
"""What translations and TensorFlow raise at settings that make no sense, or none to them."""
_OTHER_FORMAT = "Write the network as .keras or as a SavedModel"


@dataclass(frozen=True)
class OnnxLayer:
    """A node of the file that computes something from the network's input.

    Attributes:
        name: The node's, or its first output's if it has none; numbered if that is taken.
        type: The type of ONNX's op.
        inputs: The layers or inputs of the network that it reads.
        output_shape: Of its first output for one image, as it lies in the graph: images have channels last.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    output_shape: Shape


@dataclass(frozen=True)
class OnnxFunction:
    """An ONNX file for batches of one size.

    Attributes:
        function: A concrete function of the inputs, with a list of the outputs. Nodes of layer i are named ``.i/...``;
            the Const nodes of weights end in ``/resource``.
        layers: In the order of the file.
        inputs: In the order and layout of the file, without the batch.
        outputs: Likewise.
    """

    function: Any
    layers: tuple[OnnxLayer, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def onnx_function(path: Path, batch_size: int, input_shape: Shape | None = None) -> OnnxFunction:
    """Reads an ONNX file; nothing of it is executed.

    Args:
        path: The file; external data lies beside it.
        batch_size: Images per step, where the file leaves the batch free.
        input_shape: Of one image in the file's layout, where the file leaves it free.

    Raises:
        MeasureError: it cannot be read, or something in it is not covered.
    """
    model = _read(path)
    graph = model.graph
    weights = {tensor.name: OnnxTensor(_array(tensor)) for tensor in graph.initializer}
    signature = _signature(graph)
    dtypes = [_dtype(path, value) for value in signature]
    shapes = _input_shapes(path, signature, batch_size, input_shape)
    translation = _Translation(path, _opset(path, model), weights, {value.name for value in signature})

    def network(*tensors: Any) -> list[Any]:
        for value, tensor in zip(signature, tensors, strict=True):
            translation.add(value.name, OnnxTensor(tensor), value.name)
        for node in graph.node:
            translation.translate(node)
        return [translation.output(value.name) for value in graph.output]

    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    function = tf.function(network, autograph=False).get_concrete_function(*specs)
    return OnnxFunction(
        function=function,
        layers=tuple(translation.layers),
        inputs=tuple(map(_as_record, signature, specs)),
        outputs=tuple(map(_as_record, graph.output, function.outputs)),
    )


def onnx_inputs(path: Path) -> tuple[str, ...]:
    """Names of the inputs of an ONNX file.

    Raises:
        MeasureError: it cannot be read.
    """
    return tuple(value.name for value in _signature(_read(path).graph))


def _signature(graph: Any) -> list[Any]:
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _as_record(value: Any, tensor: Any) -> Tensor:
    return Tensor(name=value.name, shape=tuple(tensor.shape[1:]), dtype=tensor.dtype.name)


def _read(path: Path) -> Any:
    """The file's ModelProto, checked, with its external data."""
    try:
        import onnx
        from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
    except ImportError:
        raise MeasureError(f'{path}: needs onnx to be read. Install it: pip install "cnnprof[onnx]"') from None
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise MeasureError(f"{path}: cannot be read ({error.strerror or error}). Name an ONNX file") from None
    except DecodeError:
        raise MeasureError(f"{path}: is no ONNX file, or a damaged one. Name one that was written to its end") from None
    if not model.graph.node:
        raise MeasureError(f"{path}: is no ONNX file: it holds no node. Name one that holds a network")
    _opset(path, model)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise MeasureError(
            f"{path}: its external data cannot be read ({_first_line(error)}). Put the files written with it beside it"
        ) from None
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, EncodeError) as error:
        raise MeasureError(f"{path}: is no valid ONNX model ({_first_line(error)}). Export it again") from None
    return model


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(". ")


def _opset(path: Path, model: Any) -> int:
    """The version of ONNX's ops that the file is written in."""
    versions = [entry.version for entry in model.opset_import if entry.domain in _DEFAULT_DOMAINS]
    if not versions or not OLDEST_OPSET <= versions[0] <= NEWEST_OPSET:
        raise MeasureError(
            f"{path}: is written in an opset that is not covered. {received(versions[0] if versions else None)} "
            f"Export it with opset {OLDEST_OPSET} to {NEWEST_OPSET}"
        )
    return int(versions[0])


def _array(tensor: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.to_array(tensor)


def _dtype(path: Path, value: Any) -> Any:
    from onnx import helper

    if value.type.WhichOneof("value") != "tensor_type":
        kind = value.type.WhichOneof("value")
        raise MeasureError(f"{path}: input `{value.name}` is no tensor. Received: {kind}. {_OTHER_FORMAT}")
    return tf.as_dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def _input_shapes(
    path: Path, signature: Sequence[Any], batch_size: int, input_shape: Shape | None
) -> list[tuple[int, ...]]:
    """The shapes of the inputs, with the batch."""
    wanted = {value.name: [_size(dim) for dim in value.type.tensor_type.shape.dim] for value in signature}
    if not wanted:
        raise MeasureError(f"{path}: has no input. {_OTHER_FORMAT}")
    batch_names = {dims[0] for dims in wanted.values() if dims and isinstance(dims[0], str)} - {""}
    wanted = {name: [batch_size if dim in batch_names else dim for dim in dims] for name, dims in wanted.items()}
    free = [name for name, dims in wanted.items() if not all(isinstance(dim, int) for dim in dims[1:])]
    shapes = []
    for name, dims in wanted.items():
        if dims and isinstance(dims[0], int) and dims[0] != batch_size:
            raise MeasureError(
                f"{path}: input `{name}` is for batches of {dims[0]}. {received(batch_size)} "
                f"Ask for --batch-size {dims[0]}, or export it with a free batch"
            )
        given = input_shape if len(wanted) == 1 or free == [name] else None
        shapes.append((*[batch_size][: len(dims)], *_sizes(f"{path}: input `{name}`", dims[1:], given)))
    return shapes


def _sizes(subject: str, dims: Sequence[int | str], given: Shape | None) -> Shape:
    """The sizes of an input without the batch, with those given for the ones left free."""
    sizes = tuple(dim for dim in dims if isinstance(dim, int))
    if given is None and len(sizes) == len(dims):
        return sizes
    shown = f"({', '.join(str(dim or '?') for dim in dims)})"
    if given is None:
        raise MeasureError(
            f"{subject} leaves sizes free: {shown} without the batch. Say which by --input-shape, in the file's order"
        )
    if len(given) != len(dims) or any(isinstance(d, int) and d != n for d, n in zip(dims, given, strict=True)):
        raise MeasureError(
            f"{subject} is of shape {shown} without the batch. {received(given)} Give --input-shape in the file's order"
        )
    return given


def _size(dim: Any) -> int | str:
    """A size of an input, or the name under which it is left free, which may be empty."""
    return int(dim.dim_value) if dim.dim_value > 0 else str(dim.dim_param)


class _Translation:
    """The tensors and layers of a graph, while TensorFlow's is made."""

    def __init__(self, path: Path, opset: int, weights: Mapping[str, OnnxTensor], inputs: set[str]) -> None:
        self._path = path
        self._opset = opset
        self._tensors = dict(weights)
        self._makers: dict[str, str] = {}
        self._taken = set(inputs)
        self.layers: list[OnnxLayer] = []

    def add(self, name: str, tensor: OnnxTensor, maker: str) -> None:
        """Adds a tensor that a layer makes, or the network gets."""
        self._tensors[name] = tensor
        self._makers[name] = maker

    def output(self, name: str) -> Any:
        """An output of the network, in the file's layout."""
        index = next((i for i, layer in enumerate(self.layers) if layer.name == self._makers.get(name)), None)
        with tf.name_scope("" if index is None else f".{index}/"):
            return as_tensor(self._tensors[name].in_order())

    def translate(self, proto: Any) -> None:
        """Adds a node's outputs, and the layer that it is unless they are known."""
        name = next(n for n in (proto.name, *proto.output) if n)
        op = proto.op_type if proto.domain in _DEFAULT_DOMAINS else f"{proto.domain}.{proto.op_type}"
        if op not in ONNX_OPS:
            raise MeasureError(f"{self._path}: op {op} of node `{name}` is not covered. {_OTHER_FORMAT}")
        inputs = [self._tensors.get(read) for read in proto.input]
        outputs = len([output for output in proto.output if output])
        node = OnnxNode(op, self._opset, _attributes(proto), inputs, outputs)
        try:
            if all(tensor is None or tensor.known for tensor in inputs):
                with tf.init_scope():
                    results = [OnnxTensor(np.asarray(result.in_order())) for result in _results(node)]
            else:
                with tf.name_scope(f".{len(self.layers)}/"):
                    results = _results(node)
        except _REFUSALS as error:
            raise MeasureError(
                f"{self._path}: node `{name}` ({op}) cannot be translated: {_first_line(error)}. {_OTHER_FORMAT}"
            ) from error
        layer = ""
        if not all(result.known for result in results):
            layer = self._free(name.strip("/") or name)
            reads = dict.fromkeys(self._makers[read] for read in proto.input if self._makers.get(read))
            self.layers.append(OnnxLayer(layer, op, tuple(reads), tuple(results[0].data.shape[1:])))
        for output, result in zip(proto.output, results, strict=False):
            self.add(output, result, layer)

    def _free(self, name: str) -> str:
        """A name that neither a layer nor an input has."""
        free, number = name, 1
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken.add(free)
        return free


def _results(node: OnnxNode) -> list[OnnxTensor]:
    results = ONNX_OPS[node.op](node)
    return results if isinstance(results, list) else [results]


def _attributes(proto: Any) -> dict[str, Any]:
    """A node's attributes as Python's values."""
    from onnx import TensorProto, helper

    found = {}
    for attribute in proto.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, TensorProto):
            value = _array(value)
        found[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return found
