"""A frozen graph as an ONNX model, whose nodes are still called after their layers; tf2onnx converts."""

from __future__ import annotations

from typing import Any

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
    import tf2onnx

    try:
        with tf.Graph().as_default():
            model, _ = tf2onnx.convert.from_graph_def(
                frozen.graph_def,
                input_names=[f"{feed.node}:0" for feed in frozen.feeds],
                output_names=[f"{frozen.logits_name}:0"],
                opset=OPSET,
            )
    except Exception as error:  # tf2onnx names no class of its own
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise MeasureError(f"network: tf2onnx cannot convert it ({reason[0]}). Use another runtime.") from error
    return model
