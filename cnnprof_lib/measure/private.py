"""The private names of TensorFlow, Keras and OpenVINO that cnnprof cannot do without: here alone, behind one error."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ..base.errors import MeasureError

KNOWN_TO_WORK = "tensorflow==2.21.* keras==3.15.*"
"""What the names were last found in, as pip takes it."""


def private(owner: Any, name: str, known_to_work: str = KNOWN_TO_WORK) -> Any:
    """A name that its owner promises nobody.

    Args:
        owner: An object, or the path of a module.
        name: The attribute.
        known_to_work: What it was last found in, as pip takes it.

    Raises:
        MeasureError: it is gone.
    """
    try:
        return getattr(importlib.import_module(owner) if isinstance(owner, str) else owner, name)
    except (ImportError, AttributeError):
        where = owner if isinstance(owner, str) else type(owner).__module__
        raise MeasureError(
            f"{where}: has no `{name}`, which cnnprof needs and these versions do not promise. "
            f"Install versions known to work: pip install {known_to_work}"
        ) from None


def freeze_variables(function: Any) -> Any:
    """A concrete function with its variables as constants."""
    module = "tensorflow.python.framework.convert_to_constants"
    return private(module, "convert_variables_to_constants_v2")(function)


def run_through_graph(function: Any, inputs: Any, operation_fn: Callable[[Any], Callable[..., Any]]) -> Any:
    """Calls the operations of a `keras.Function`, each as ``operation_fn`` of it."""
    return private(function, "_run_through_graph")(inputs, operation_fn=operation_fn)


def prepared_step(session: Any, options: Any) -> Callable[..., Any]:
    """A step of a session by ``CallableOptions``, which costs less per call than ``Session.run``."""
    return private(session, "_make_callable_from_options")(options)


def onednn_is_on() -> bool:
    """Whether this process may use TensorFlow's oneDNN kernels, which it does by itself on x86 since 2.9."""
    return bool(private("tensorflow.python.util._pywrap_util_port", "IsMklEnabled")())


def function_graph(graph: Any, operation: Any) -> Any:
    """The graph of the function that a node calls, with the shapes that the node hands to it."""
    name = operation.get_attr("f").name
    definition = next(f for f in graph.as_graph_def().library.function if f.signature.name == name)
    to_graph = private("tensorflow.python.framework.function_def_to_graph", "function_def_to_graph")
    return to_graph(definition, input_shapes=[tensor.shape for tensor in operation.inputs])


def simplify_openvino(model: Any) -> None:
    """Folds and fuses what can be in an ``openvino.Model``, as ``openvino.convert_model`` does; `read_model` does not.

    Without it the weights of a depthwise convolution stand behind a reshape, and NNCF cannot quantise them. The public
    function takes files alone, and tells its makers over the network that it was called.
    """
    module = "openvino._offline_transformations"
    private(module, "apply_moc_transformations", "openvino==2026.*")(model, cf=False, smart_reshape=False)
