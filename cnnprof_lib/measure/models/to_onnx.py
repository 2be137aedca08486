"""A frozen graph as an ONNX model, whose nodes are still called after their layers; tf2onnx converts."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import tensorflow as tf

from ...base.errors import MeasureError
from .graph import FrozenGraph

OPSET = 17
"""Of the model. Later ones bring nothing that these networks use."""


def onnx_of(frozen: FrozenGraph) -> Any:
    """Converts a frozen graph.

    Returns:
        An ``onnx.ModelProto`` with the graph's feeds as inputs, the logits as its only output, and a fixed batch.

    Raises:
        MeasureError: tf2onnx cannot convert it, in one line.
    """
    import onnx
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what it says is said below, in one line
    try:
        with tf.Graph().as_default():
            model, _ = tf2onnx.convert.from_graph_def(
                _inlinable(frozen.graph_def),
                input_names=[f"{feed.node}:0" for feed in frozen.feeds],
                output_names=[f"{frozen.logits_name}:0"],
                opset=OPSET,
                custom_op_handlers={"Erfc": (_convert_erfc, [])},
            )
    except Exception as error:  # tf2onnx names no class of its own
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise MeasureError(f"network: tf2onnx cannot convert it ({reason[0]}). Use another runtime.") from error
    # It keeps an op that it does not know as it is.
    if unknown := sorted({node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)}):
        raise MeasureError(f"network: tf2onnx cannot convert {' and '.join(unknown)}. Use another runtime.")
    return model


def _inlinable(graph_def: Any) -> Any:
    """A graph whose calls TensorFlow inlines, as tf2onnx needs it: it keeps those that XLA is to compile."""
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    for holder in (*copy.node, *copy.library.function):
        for hindrance in ("_XlaMustCompile", "_noinline"):
            holder.attr.pop(hindrance, None)
    return copy


def _convert_erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """1 - erf(x), for a GELU, since ONNX has no erfc. As tf2onnx calls its own converters."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    one = graph.make_const(f"{name}/one", np.ones((), np.float32))
    graph.remove_node(name)
    erf = graph.make_node("Erf", node.input, name=f"{name}/Erf", shapes=shapes, dtypes=dtypes)
    graph.make_node("Sub", [one.output[0], erf.output[0]], name=name, outputs=node.output, shapes=shapes, dtypes=dtypes)
