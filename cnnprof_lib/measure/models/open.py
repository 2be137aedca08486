"""Opens models of somebody's own: Keras files, SavedModels, ONNX files, and functions that build one.

Nothing that a file brings along is executed unless the model is trusted: Keras loads in its safe mode, a SavedModel and
an ONNX file hold no Python.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import tensorflow as tf

from ...base.errors import MeasureError
from ...params.model import SAVED_MODEL, ModelSpec
from ..private import freeze_variables
from . import build, weights
from .describe import LayerFacts, facts_of_graph
from .graph import FrozenGraph, freeze_function
from .keras_calls import is_graph, layer_of_call, trace_calls
from .onnx_file import onnx_function, onnx_inputs
from .scopes import layers_by_scope

Frozen = tuple[FrozenGraph, list[LayerFacts]]


@dataclass(frozen=True)
class OpenModel:
    """A model that was opened.

    Attributes:
        inputs: Names of its inputs.
        sha256: Of its file's content, or of its weights where there is no file.
        freeze: Makes its graph for a batch size, with what is known of its layers.
        model: As Keras has it, if it is Keras'.
    """

    inputs: tuple[str, ...]
    sha256: str
    freeze: Callable[[int], Frozen]
    model: keras.Model | None = None


def open_model(spec: ModelSpec, seed: int) -> OpenModel:
    """Opens a model.

    Args:
        spec: Which, and how.
        seed: Of initial weights.

    Raises:
        MeasureError: it cannot be opened, in one line.
    """
    if not spec.is_file:
        model = _built(spec, seed)
        weights.fill_zero_weights(model)
        return of_keras(spec, model, weights.content_sha256(model))
    path = Path(spec.model)
    if path.is_dir() and (path / SAVED_MODEL).is_file():
        return _of_saved_model(spec, path)
    if not path.is_file():
        raise MeasureError(f"{path}: no such model. Name a .keras, .h5 or .onnx file, or a SavedModel folder.")
    if path.suffix == ".onnx":
        return _of_onnx(spec, path)
    return of_keras(spec, _loaded(spec, path), weights.file_sha256(path))


# Keras


def _loaded(spec: ModelSpec, path: Path) -> keras.Model:
    """A Keras file as a model, in Keras' safe mode unless it is trusted."""
    is_whole = zipfile.is_zipfile(path) if path.suffix == ".keras" else h5py.is_hdf5(path)
    if not is_whole:
        raise MeasureError(f"{path}: is no {path.suffix} file, or a damaged one. Name one that was saved to its end.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not spec.trusted)
    except Exception as error:  # Keras raises whatever its parts do
        raise MeasureError(f"{path}: {_why_not(str(error), path)}") from None


def _why_not(text: str, path: Path) -> str:
    """Keras' reason in one line, with the remedy."""
    if "ambda" in text:
        named = ", ".join(f"`{name}`" for name in _lambdas(path))
        return f"holds Lambda layer {named}, whose code would be run. If you trust the file, say --trust."
    if found := re.search(r"Could not locate (?:class|function) '(\w+)'|Unknown layer: '?(\w+)'?", text):
        name = found[1] or found[2]
        return (
            f"holds `{name}`, a class that is not registered with Keras. Register it by "
            "@keras.saving.register_keras_serializable, and name a function that loads the model instead."
        )
    received_text = " ".join(text.split())[:120]
    return f"is no model that Keras {keras.__version__} can load. Received: {received_text} Save it again by that one."


def _lambdas(path: Path) -> list[str]:
    """Names of the Lambda layers in a Keras file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            config = archive.read("config.json").decode()
    else:
        with h5py.File(path) as file:
            config = str(file.attrs["model_config"])
    found: list[str] = []

    def look(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("class_name") == "Lambda":
                found.append(str(part["config"]["name"]))
            part = list(part.values())
        if isinstance(part, list):
            for inner in part:
                look(inner)

    look(json.loads(config))
    return list(dict.fromkeys(found))


def _built(spec: ModelSpec, seed: int) -> keras.Model:
    """What a function of a dotted name builds, with initial weights where it has a choice."""
    module, _, name = spec.model.rpartition(".")
    try:
        function = getattr(_imported(module), name)
    except (ImportError, AttributeError) as error:
        raise MeasureError(
            f"{spec.model}: cannot be imported ({error}). Name a function that builds a model."
        ) from None
    keras.utils.set_random_seed(seed)
    options: dict[str, Any] = {}
    if callable(function):
        known = inspect.signature(function).parameters
        options = {"weights": None} if "weights" in known else {}
        if spec.input_shape and "input_shape" in known:
            options["input_shape"] = spec.input_shape
    try:
        model = function(**options)
    except Exception as error:
        raise MeasureError(f"{spec.model}: building failed: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(model, keras.Model):
        raise MeasureError(f"{spec.model}: must build a Keras model. Received: {type(model).__name__}.")
    return model


def _imported(module: str) -> Any:
    """A module by its dotted name, or what an importable package has under it (``keras.applications``)."""
    try:
        return importlib.import_module(module)
    except ImportError:
        first, *rest = module.split(".")
        found = importlib.import_module(first)
        for name in rest:
            found = getattr(found, name)
        return found


def of_keras(spec: ModelSpec, model: keras.Model, sha256: str) -> OpenModel:
    """A Keras model that is loaded already.

    Raises:
        MeasureError: its layers cannot be told apart, or it leaves sizes open.
    """
    if not is_graph(model):
        raise MeasureError(
            f"{spec.model}: its layers cannot be told apart, for it is no functional or sequential model. "
            "Export it as a SavedModel, model.export(FOLDER), and name that."
        )
    shapes = [_sizes(spec, tensor.name, tuple(tensor.shape[1:]), len(model.inputs)) for tensor in model.inputs]

    names = tuple(tensor.name for tensor in model.inputs)
    return OpenModel(names, sha256, lambda batch_size: freeze_keras(model, shapes, batch_size), model)


def freeze_keras(model: keras.Model, shapes: Sequence[tuple[int, ...]], batch_size: int) -> Frozen:
    """Freezes the inference of a functional or sequential model.

    Args:
        model: The model.
        shapes: Of its inputs, without the batch.
        batch_size: Images per step.
    """
    feeds = zip(shapes, model.inputs, strict=True)
    specs = [tf.TensorSpec((batch_size, *shape), tensor.dtype) for shape, tensor in feeds]
    function, calls = trace_calls(model, specs)
    frozen = freeze_function(function, layer_of_call(calls, build.FLATTEN_SUFFIX), batch_size)
    facts = [LayerFacts(call.layer, call.type, call.reads, call.output_shape) for call in calls]
    return frozen, [fact for fact in facts if not fact.layer.endswith(build.FLATTEN_SUFFIX)]


def _sizes(spec: ModelSpec, name: str, shape: Sequence[int | None], inputs: int) -> tuple[int, ...]:
    """The shape of an input without the batch, its open sizes from what was named."""
    named = spec.input_shape if inputs == 1 else None
    if named and (len(named) != len(shape) or any(s not in (None, n) for s, n in zip(shape, named, strict=False))):
        asked = ",".join("any" if side is None else str(side) for side in shape)
        raise MeasureError(
            f"{spec.model}: its input `{name}` takes {asked}. Received: --input-shape {','.join(map(str, named))}."
        )
    filled = tuple(named or shape)
    if any(side is None for side in filled):
        asked = ",".join("?" if side is None else str(side) for side in filled)
        raise MeasureError(
            f"{spec.model}: its input `{name}` is {asked}, with open sizes. Name them: --input-shape H,W,C."
        )
    return tuple(int(side) for side in filled if side is not None)


# SavedModel


def _of_saved_model(spec: ModelSpec, path: Path) -> OpenModel:
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise MeasureError(f"{path}: is no SavedModel that can be loaded. Received: {_short(error)}") from None
    signatures = dict(loaded.signatures)
    if not signatures:
        raise MeasureError(f"{path}: has no signature to run. Export it again by model.export(FOLDER).")
    if spec.signature is None and len(signatures) > 1:
        raise MeasureError(f"{path}: has several signatures. Name one: --signature {' or '.join(sorted(signatures))}.")
    name = spec.signature or next(iter(signatures))
    if name not in signatures:
        raise MeasureError(f"{path}: has no signature `{name}`. Known: {', '.join(sorted(signatures))}.")
    function = signatures[name]
    arguments = function.structured_input_signature[1]
    shapes = {key: _sizes(spec, key, tuple(tensor.shape[1:]), len(arguments)) for key, tensor in arguments.items()}

    def freeze(batch_size: int) -> Frozen:
        keys = list(arguments)
        specs = [tf.TensorSpec((batch_size, *shapes[key]), arguments[key].dtype) for key in keys]
        call = tf.function(lambda *values: function(**dict(zip(keys, values, strict=True))))
        concrete = call.get_concrete_function(*specs)
        concrete._saved = loaded  # keeps its variables
        return _by_scopes(concrete, batch_size)

    return OpenModel(tuple(arguments), _folder_sha256(path), freeze)


def _by_scopes(concrete: Any, batch_size: int) -> Frozen:
    ops = {node.name: node.op for node in freeze_variables(concrete).graph.as_graph_def().node}
    frozen = freeze_function(concrete, layers_by_scope(ops), batch_size)
    return frozen, facts_of_graph(frozen)


def _folder_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(str(file.relative_to(path)).encode() + file.read_bytes())
    return digest.hexdigest()


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


# ONNX


def _of_onnx(spec: ModelSpec, path: Path) -> OpenModel:
    def freeze(batch_size: int) -> Frozen:
        made = onnx_function(path, batch_size, spec.input_shape)

        def layer_of(node: str) -> tuple[str, str]:
            scope, _, own = node.partition("/")
            return (made.layers[int(scope[1:])].name, own) if re.fullmatch(r"\.\d+", scope) else ("", node)

        frozen = freeze_function(made.function, layer_of, batch_size, lambda node: node.endswith("/resource"))
        return frozen, [LayerFacts(each.name, each.type, each.inputs, each.output_shape) for each in made.layers]

    return OpenModel(onnx_inputs(path), weights.file_sha256(path), freeze)
