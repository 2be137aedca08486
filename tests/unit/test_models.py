"""Models of somebody's own: what is opened and what is refused, layers as their author sees them, their costs."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnprof_lib.base.errors import CnnprofError
from cnnprof_lib.measure.answers import answers
from cnnprof_lib.measure.images.cache import DataSet
from cnnprof_lib.measure.images.pixels import fitted, preprocessor
from cnnprof_lib.measure.models.describe import network_of
from cnnprof_lib.measure.models.open import OpenModel, freeze_keras, open_model
from cnnprof_lib.measure.prepare import prepare_images
from cnnprof_lib.measure.runtimes.session import ArrayFedSession
from cnnprof_lib.params.model import ModelSpec, model_of, network_name
from cnnprof_lib.params.network import Network
from tests.builders import open_session

BATCH = 2
layers = keras.layers
RANDOM_IMAGES = np.random.default_rng(0).integers(0, 256, (9, 9, 9, 3), np.uint8)
LABELS = np.arange(9, dtype=np.int32) % 2


def described(opened: OpenModel, batch_size: int = BATCH) -> Network:
    frozen, facts = opened.freeze(batch_size)
    return network_of(frozen, facts, opened.inputs, name="m", title="", file="")


def network(model: keras.Model, batch_size: int = BATCH) -> Network:
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    frozen, facts = freeze_keras(model, shapes, batch_size)
    return network_of(frozen, facts, [t.name for t in model.inputs], name="m", title="", file="")


def functional(shape: tuple[int, ...], *parts: Any) -> keras.Model:
    given = keras.Input(shape, name="image")
    value = given
    for part in parts:
        value = part(value)
    return keras.Model(given, value)


def nested() -> keras.Model:
    """A block that is called twice, a layer that is shared, an addition, and an operation that is no layer."""
    block = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="c"), layers.ReLU(name="r")], name="block"
    )
    image = keras.Input((8, 8, 3), name="image")
    shared = layers.Conv2D(3, 1, name="shared")
    first = shared(image)
    second = shared(first)
    added = layers.Add(name="plus")([block(second), block(first)]) * 2.0
    return keras.Model(image, layers.Dense(5, name="d")(layers.Flatten(name="f")(added)))


def counts(part: Any, shape: tuple[int, ...]) -> tuple[int | None, int | None, int]:
    """Multiply-adds by both conventions, and parameters."""
    whole = network(functional(shape, part))
    return whole.macs_per_image, whole.products(with_padding=False), whole.parameters


def test_layers_are_the_authors_with_what_they_read() -> None:
    whole = network(nested())
    assert {layer.name: (layer.type, layer.inputs, layer.output_shape) for layer in whole.layers} == {
        "shared": ("Conv2D", ("image",), (8, 8, 3)),
        "block/c": ("Conv2D", ("shared",), (6, 6, 4)),
        "block/r": ("ReLU", ("block/c",), (6, 6, 4)),
        "plus": ("Add", ("block/r",), (6, 6, 4)),
        "multiply": ("Multiply", ("plus",), (6, 6, 4)),
        "f": ("Flatten", ("multiply",), (144,)),
        "d": ("Dense", ("f",), (5,)),
    }


def test_every_call_of_a_shared_layer_counts_and_its_weights_once() -> None:
    by_name = {layer.name: layer for layer in network(nested()).layers}
    assert (by_name["shared"].macs, by_name["shared"].parameters) == (2 * 8 * 8 * 3 * 3, 12)
    assert (by_name["block/c"].macs, by_name["block/c"].parameters) == (2 * 6 * 6 * 9 * 3 * 4, 9 * 3 * 4 + 4)
    assert network(nested()).parameters == nested().count_params()


@pytest.mark.parametrize("runtime", ["unfused", "stock"])
def test_kernels_are_booked_under_the_layers_of_the_author(runtime: str) -> None:
    model = nested()
    frozen, facts = freeze_keras(model, [(8, 8, 3)], BATCH)
    images = np.random.default_rng(0).standard_normal((BATCH, 8, 8, 3)).astype(np.float32)
    session = open_session(frozen, runtime, (images,), np.zeros(BATCH, np.int32))
    session.prepare()
    rows = session.executions([session.traced_step()])
    assert rows["node"].map(session.executed.knows).all()
    macs = rows[rows["op"].isin(["Conv2D", "MatMul"])]
    assert sorted(macs["layer"]) == ["block/c", "block/c", "d", "shared", "shared"]
    assert set(rows["layer"]) - {""} | set(session.executed.fused_into) >= {fact.layer for fact in facts} - {"f"}
    if runtime == "stock":
        session.prepare()
        np.testing.assert_allclose(session.results(), model(images), atol=1e-4)
    session.close()


@pytest.mark.parametrize(
    ("part", "shape", "expected"),
    [
        (layers.Conv2D(10, 3), (32, 32, 3), (243_000, 243_000, 280)),
        (layers.DepthwiseConv2D(3, padding="same"), (13, 13, 512), (778_752, 37 * 37 * 512, 10 * 512)),
        (layers.DepthwiseConv2D(5, padding="same"), (13, 13, 512), (2_163_200, 59 * 59 * 512, 26 * 512)),
        (
            layers.Conv2D(8, (3, 5), groups=2, padding="same"),
            (6, 6, 4),
            (36 * 15 * 2 * 8, 16 * 24 * 2 * 8, 15 * 2 * 8 + 8),
        ),
        (layers.Conv2D(8, 3, dilation_rate=2, padding="same"), (6, 6, 4), (36 * 9 * 32, 36 * 9 * 32, 9 * 32 + 8)),
        (layers.SeparableConv2D(8, 3), (6, 6, 4), (16 * 9 * 4 + 16 * 4 * 8,) * 2 + (36 + 32 + 8,)),
        (layers.Conv2DTranspose(8, 3), (6, 6, 4), (36 * 9 * 4 * 8,) * 2 + (9 * 32 + 8,)),
        (layers.Conv1D(8, 3), (6, 4), (4 * 3 * 4 * 8,) * 2 + (3 * 32 + 8,)),
        (layers.Conv3D(8, 3), (6, 6, 6, 4), (64 * 27 * 4 * 8,) * 2 + (27 * 32 + 8,)),
        (layers.Dense(7), (5, 4), (5 * 4 * 7,) * 2 + (35,)),
        (layers.EinsumDense("abc,cd->abd", (5, 7)), (5, 4), (5 * 4 * 7,) * 2 + (28,)),
        (layers.BatchNormalization(), (6, 6, 4), (0, 0, 16)),
    ],
)
def test_multiply_adds_of_a_layer(part: Any, shape: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    assert counts(part, shape) == expected


def test_products_of_attention_count() -> None:
    query = keras.Input((5, 8))
    model = keras.Model(query, layers.MultiHeadAttention(2, 4)(query, query))
    projections, products = 4 * 5 * 8 * 8, 2 * 2 * 5 * 5 * 4
    assert network(model).macs_per_image == projections + products


def test_a_layer_that_cannot_be_counted_is_missing() -> None:
    whole = network(functional((5, 4), layers.LSTM(3, name="cells"), layers.Dense(2, name="d")))
    assert {layer.name: layer.macs for layer in whole.layers} == {"cells": None, "d": 6}


def test_counts_do_not_depend_on_the_batch() -> None:
    model = nested()
    assert network(model, 1) == network(model, 8)


def test_of_a_network_somebody_else_wrote() -> None:
    """Keras' own example for CIFAR-10."""
    parts = []
    for filters in (32, 64):
        parts += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.Conv2D(filters, 3)]
        parts += [layers.MaxPooling2D(2), layers.Dropout(0.25)]
    parts += [layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dropout(0.5), layers.Dense(10)]
    whole = network(functional((32, 32, 3), *parts))
    assert (whole.macs_per_image, whole.parameters) == (20_741_120, 1_250_858)


# Files


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return functional((6, 6, 3), layers.Conv2D(4, 3, name="conv"), layers.Flatten(name="f"), layers.Dense(5, name="d"))


SAVERS: dict[str, Callable[[keras.Model, Path], Any]] = {
    "m.keras": lambda model, path: model.save(path),
    "m.h5": lambda model, path: model.save(path),
    "m": lambda model, path: model.export(path, verbose=False),
}


@pytest.mark.parametrize("name", SAVERS)
def test_a_model_is_the_same_in_every_form(name: str, model: keras.Model, tmp_path: Path) -> None:
    SAVERS[name](model, tmp_path / name)
    spec = model_of(str(tmp_path / name), signature="serving_default" if name == "m" else None)
    opened = open_model(spec, 1)
    assert (spec.name, len(opened.sha256)) == ("m", 64)
    whole = described(opened)
    macs = {layer.name.rpartition("/")[2]: layer.macs for layer in whole.layers if layer.macs}
    assert macs == {"conv": 16 * 27 * 4, "d": 64 * 5}
    assert whole.parameters == model.count_params()
    images = np.random.default_rng(0).standard_normal((BATCH, 6, 6, 3)).astype(np.float32)
    session = open_session(opened.freeze(BATCH)[0], "stock", (images,), np.zeros(BATCH, np.int32))
    session.prepare()
    np.testing.assert_allclose(session.results(), model(images), atol=1e-4)
    rows = session.executions([session.traced_step()])
    kernels = rows.loc[rows["op"].isin(["Conv2D", "MatMul"]), "layer"].str.rpartition("/")[2]
    assert sorted(kernels) == ["conv", "d"]
    session.close()


def message(spec: ModelSpec) -> str:
    with pytest.raises(CnnprofError) as caught:
        open_model(spec, 1).freeze(BATCH)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("end", [".keras", ".h5"])
def test_the_code_of_a_lambda_is_not_run(end: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{end}"
    functional((4,), layers.Lambda(lambda x: x * 2, name="twice", output_shape=(4,))).save(path)
    assert message(model_of(str(path))) == (
        f"{path}: holds Lambda layer `twice`, whose code would be run. If you trust the file, say --trust."
    )
    assert described(open_model(model_of(str(path), trusted=True), 1)).layers[0].name == "twice"


def test_a_class_that_is_not_registered_is_named(tmp_path: Path) -> None:
    class Mine(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    path = tmp_path / "m.keras"
    functional((4,), Mine(name="own")).save(path)
    Mine.__module__ = "nowhere"
    text = message(model_of(str(path)))
    assert text.startswith(f"{path}: holds `Mine`, a class that is not registered with Keras. Register it by ")


@pytest.mark.parametrize(
    ("name", "content"), [("cut.keras", b"PK\x03\x04"), ("none.h5", b"text"), ("empty.keras", b"")]
)
def test_what_is_no_model_is_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    path = tmp_path / name
    assert message(model_of(str(path))) == (
        f"{path}: is no {path.suffix} file, or a damaged one. Name one that was saved to its end."
    )


def test_a_zip_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    assert message(model_of(str(path))).startswith(
        f"{path}: is no model that Keras {keras.__version__} can load. Received: "
    )


def test_a_file_that_is_not_there_is_one_line() -> None:
    with pytest.raises(CnnprofError) as caught:
        model_of("nets/none.keras")
    assert str(caught.value) == (
        "nets/none.keras: no such file. Name a model: .keras, .h5, .onnx or a SavedModel folder."
    )


def test_a_saved_model_with_several_signatures_wants_one_named(model: keras.Model, tmp_path: Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name in ("first", "second"):
        archive.add_endpoint(name, model.call, [tf.TensorSpec((None, 6, 6, 3))])
    archive.write_out(tmp_path / "m", verbose=False)
    path = str(tmp_path / "m")
    known = "first or second or serving_default" if "serving_default" in message(model_of(path)) else "first or second"
    assert message(model_of(path)) == f"{path}: has several signatures. Name one: --signature {known}."
    assert message(model_of(path, signature="third")).startswith(f"{path}: has no signature `third`. Known: first, ")
    assert described(open_model(model_of(path, signature="second"), 1)).macs_per_image == 16 * 27 * 4 + 64 * 5


def test_open_sizes_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    functional((None, None, 3), layers.Conv2D(10, 3), layers.GlobalAveragePooling2D()).save(path)
    assert message(model_of(str(path))) == (
        f"{path}: its input `image` is ?,?,3, with open sizes. Name them: --input-shape H,W,C."
    )
    assert message(model_of(str(path), input_shape=(8, 8, 1))) == (
        f"{path}: its input `image` takes any,any,3. Received: --input-shape 8,8,1."
    )
    assert described(open_model(model_of(str(path), input_shape=(32, 32, 3)), 1)).macs_per_image == 243_000


def test_a_function_builds_one() -> None:
    spec = model_of("keras.applications.MobileNetV2", input_shape=(32, 32, 3))
    opened = open_model(spec, 1)
    whole = described(opened)
    assert (spec.name, whole.parameters, opened.model is not None) == ("MobileNetV2", 3_538_984, True)
    text = message(model_of("keras.applications.NoSuchNet"))
    assert text.startswith("keras.applications.NoSuchNet: cannot be imported (")
    assert message(model_of("math.sqrt")).startswith("math.sqrt: building failed: ")
    assert message(model_of("os.getcwd")) == "os.getcwd: must build a Keras model. Received: str."


def test_models_are_called_by_their_stem() -> None:
    names = ["nets/mine.keras", "a.b.onnx", "keras.applications.ResNet50", "x.h5", "stride2"]
    assert [network_name(name) for name in names] == ["mine", "a.b", "ResNet50", "x", "stride2"]


def test_several_inputs_of_several_types_are_fed() -> None:
    image, word = keras.Input((4, 4, 3), name="image"), keras.Input((2,), dtype="int32", name="word")
    both = layers.Concatenate()([layers.Flatten()(image), layers.Flatten()(layers.Embedding(5, 3, name="e")(word))])
    model = keras.Model([image, word], layers.Dense(2, name="d")(both))
    whole = network(model)
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in whole.inputs] == [
        ("image", (4, 4, 3), "float32"),
        ("word", (2,), "int32"),
    ]
    fed = prepare_images(None, whole.inputs, BATCH, seed=1)
    assert [value.dtype.name for value in fed.values] == ["float32", "int32"]
    frozen, _ = freeze_keras(model, [(4, 4, 3), (2,)], BATCH)
    for runtime in ("unfused", "stock"):
        session = open_session(frozen, runtime, fed.values, fed.labels)
        session.prepare()
        session.step()
        session.close()
    assert math.prod(fed.values[0].shape[1:]) == 48


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_a_network_costs_the_same_in_both_layouts_and_gets_the_same_images(layout: str) -> None:
    last = layout == "channels_last"
    model = keras.Sequential(
        [
            keras.Input((8, 6, 3) if last else (3, 8, 6)),
            layers.Conv2D(4, (3, 2), strides=2, padding="same", data_format=layout, name="c"),
            layers.DepthwiseConv2D(3, data_format=layout, name="dw"),
            layers.GlobalAveragePooling2D(data_format=layout, name="g"),
            layers.Dense(2, name="d"),
        ]
    )
    whole = network(model)
    assert {layer.name: (layer.macs, layer.parameters) for layer in whole.layers if layer.parameters} == {
        "c": (4 * 3 * 4 * 6 * 3, 6 * 3 * 4 + 4),
        "dw": (2 * 1 * 9 * 4, 9 * 4 + 4),
        "d": (8, 10),
    }
    images = RANDOM_IMAGES[:, :8, :6]
    dataset = DataSet("drawn", "0" * 64, ("a", "b"), images, LABELS, images, LABELS)
    fed = prepare_images(dataset, whole.inputs, BATCH, seed=1, preprocessing="none").values[0]
    np.testing.assert_array_equal(fed if last else np.moveaxis(fed, 1, 3), images)
    with pytest.raises(CnnprofError, match=r"^images: must have 3 channels, as the network takes. Received: 1 "):
        prepare_images(replace(dataset, test_images=images[..., :1]), whole.inputs, BATCH, 1, "none")


def test_a_graph_is_scored_on_all_images_resized_and_by_batches() -> None:
    model = functional((6, 6, 3), layers.Flatten(), layers.Dense(2, name="d"))
    frozen, _ = freeze_keras(model, [(6, 6, 3)], 4)
    dataset = DataSet("drawn", "0" * 64, ("a", "b"), RANDOM_IMAGES, LABELS, RANDOM_IMAGES, LABELS)
    by_hand = np.argmax(model(preprocessor("scale")(fitted(RANDOM_IMAGES, 6, 6))), axis=1)
    whole = network(model)
    images = prepare_images(dataset, whole.inputs, 4, seed=1, preprocessing="scale")
    session, shift = ArrayFedSession(frozen, images.values, images.labels), [0.0, 0.25]
    found = answers(session, images, 4, lambda values: np.add(session.outputs([values]), shift))
    np.testing.assert_array_equal(found.predicted, by_hand)
    assert found.agreement is not None
    assert (found.agreement.images, found.agreement.max_abs) == (9, 0.25)
    shifted = np.argmax(np.add(model(preprocessor("scale")(fitted(RANDOM_IMAGES, 6, 6))), shift), axis=1)
    assert found.agreement.argmax_share == (shifted == by_hand).mean()
    others = replace(images, dataset=replace(dataset, classes=("a", "b", "c")))
    assert answers(session, others, 4, None) == (None, None)
