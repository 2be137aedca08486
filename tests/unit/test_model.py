"""Variants as Keras models, and those as frozen graphs."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnprof_lib.base.errors import CnnprofError, MeasureError
from cnnprof_lib.measure import prepare
from cnnprof_lib.measure.models import build as model
from cnnprof_lib.measure.models import graph, weights
from cnnprof_lib.measure.models.load import freeze
from cnnprof_lib.measure.prepare import queue_capacity
from cnnprof_lib.params.reading import load_variant, load_variants
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.store import Store
from tests.builders import open_session

PARAMS = Path(__file__).parents[2] / "params"
BATCH = 4
EVERY_LAYER = {
    "name": "every",
    "title": "Every kind of layer",
    "input": {"height": 16, "width": 16, "channels": 3},
    "classes": 10,
    "layers": [
        {"name": "conv1", "type": "conv", "filters": 8, "kernel": 3, "padding": "valid", "use_bias": False},
        {"name": "bn1", "type": "batch_norm"},
        {"name": "relu1", "type": "relu"},
        {"name": "depth", "type": "depthwise_conv", "kernel": 3, "depth_multiplier": 2, "activation": "relu"},
        {"name": "sep", "type": "separable_conv", "filters": 12, "kernel": 3, "stride": 2, "weights_stddev": 0.1},
        {"name": "norm", "type": "lrn", "depth_radius": 2, "bias": 1.0, "alpha": 0.1, "beta": 0.75},
        {"name": "peak", "type": "max_pool", "window": 3, "stride": 1},
        {"name": "mean1", "type": "avg_pool", "window": 2, "stride": 2},
        {"name": "drop", "type": "dropout", "rate": 0.5},
        {"name": "wide", "type": "conv", "filters": 6, "kernel": [1, 3], "stride": [2, 1], "activation": "gelu"},
        {"name": "less", "type": "max_pool", "inputs": ["drop"], "window": [2, 1], "stride": [2, 1]},
        {"name": "all", "type": "concat", "inputs": ["wide", "less"]},
        {"name": "relu2", "type": "relu6"},
        {"name": "deep", "type": "depthwise_conv", "kernel": [3, 1], "activation": "swish"},
        {"name": "sum", "type": "add", "inputs": ["deep", "relu2"]},
        {"name": "gelu1", "type": "gelu"},
        {"name": "swish1", "type": "swish"},
        {"name": "mean2", "type": "global_avg_pool"},
        {"name": "flat", "type": "flatten"},
        {"name": "logits", "type": "dense", "units": 10, "l2": 0.5},
    ],
}


@pytest.fixture(scope="module")
def every() -> VariantSpec:
    return VariantSpec.model_validate(EVERY_LAYER)


@pytest.fixture(scope="module")
def smoke() -> VariantSpec:
    return load_variant("smoke", PARAMS)


def images_for(variant: VariantSpec, count: int = BATCH) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *variant.input.shape)).astype(np.float32)


def test_models_have_the_shapes_and_parameters_of_their_variants(every: VariantSpec) -> None:
    for variant in [*load_variants(PARAMS)[0], every]:
        built = model.build(variant, seed=1)
        assert built.output_shape == (None, variant.classes)
        assert built.count_params() == variant.network.parameters
        shapes = {layer.name: layer.output.shape[1:] for layer in built.layers}
        assert {row.name: shapes[row.name] for row in variant.network.layers} == {
            row.name: row.output_shape for row in variant.network.layers
        }


def test_resnet8_is_as_large_as_published() -> None:
    variant = load_variant("resnet8", PARAMS)
    built = model.build(variant, seed=1)
    assert (built.count_params(), variant.network.parameters) == (78_666, 78_666)
    counted = sum(
        math.prod(layer.output.shape[1:]) * math.prod(layer.kernel.shape[:-1])
        for layer in built.layers
        if hasattr(layer, "kernel")
    )
    assert (counted, variant.network.macs_per_image) == (12_501_632, 12_501_632)


def test_groups_of_channels_are_convolved_apart() -> None:
    layers = [
        {"name": "groups", "type": "conv", "filters": 8, "kernel": [3, 1], "groups": 4},
        {"name": "logits", "type": "dense", "units": 10},
    ]
    size = {"height": 4, "width": 4, "channels": 12}
    keys = {"name": "groups", "title": "Groups", "input": size, "classes": 10, "layers": layers}
    variant = VariantSpec.model_validate(keys)
    built = model.build(variant, seed=1)
    assert built.get_layer("groups").kernel.shape == (3, 1, 3, 8)
    assert built.count_params() == variant.network.parameters


@pytest.mark.parametrize("name", ["input_layer", "images", "functional", "args_0"])
def test_layers_may_be_called_what_keras_calls_its_own(name: str) -> None:
    layers = [{"name": name, "type": "conv", "filters": 8, "kernel": 1}, {"name": "b", "type": "dense", "units": 10}]
    size = {"height": 4, "width": 4, "channels": 3}
    keys = {"name": "a", "title": "A", "input": size, "classes": 10, "layers": layers}
    built = model.build(VariantSpec.model_validate(keys), seed=1)
    assert [layer.name for layer in built.layers] == ["(images)", name, "b.flatten", "b"]
    assert set(freeze(built, BATCH).owners.values()) == {name, "b"}


def test_activations_are_those_of_their_papers() -> None:
    x = np.linspace(-4, 8, 49, dtype=np.float32)
    erf = np.array([math.erf(value / math.sqrt(2)) for value in x])
    expected = {
        "relu": np.maximum(x, 0), "relu6": np.clip(x, 0, 6), "gelu": x * (1 + erf) / 2, "swish": x / (1 + np.exp(-x))
    }  # fmt: skip
    for kind, values in expected.items():
        layers = [{"name": "a", "type": kind}, {"name": "flat", "type": "flatten"}]
        size = {"height": 1, "width": 1, "channels": 49}
        keys = {"name": kind, "title": kind, "input": size, "classes": 49, "layers": layers}
        built = model.build(VariantSpec.model_validate(keys), seed=1)
        np.testing.assert_allclose(built(x.reshape(1, 1, 1, 49))[0], values, rtol=1e-5, atol=1e-6)


def test_a_saved_model_loads_in_safe_mode(every: VariantSpec, tmp_path: Path) -> None:
    built = model.build(every, seed=1)
    built.save(tmp_path / "every.keras")
    loaded = keras.models.load_model(tmp_path / "every.keras", safe_mode=True)
    images = images_for(every)
    np.testing.assert_array_equal(loaded(images), built(images))


def test_initial_weights_are_those_of_the_tutorial() -> None:
    built = model.build(load_variant("baseline", PARAMS), seed=1)
    stddevs = {"conv1": 0.05, "conv2": 0.05, "local3": 0.04, "local4": 0.04, "softmax_linear": 1 / 192}
    biases = {"conv1": 0.0, "conv2": 0.1, "local3": 0.1, "local4": 0.1, "softmax_linear": 0.0}
    for name, stddev in stddevs.items():
        kernel, bias = built.get_layer(name).get_weights()
        # Truncated at two standard deviations, a normal has 0.88 of its standard deviation; Keras cuts the same way.
        assert np.std(kernel) == pytest.approx(0.88 * stddev, rel=0.05)
        assert np.abs(kernel).max() <= 2 * stddev + 1e-7
        assert set(bias) == {np.float32(biases[name])}


def test_l2_is_half_the_sum_of_squares() -> None:
    built = model.build(load_variant("baseline", PARAMS), seed=1)
    expected = sum(0.004 * tf.nn.l2_loss(built.get_layer(name).kernel).numpy() for name in ("local3", "local4"))
    assert sum(float(loss) for loss in built.losses) == pytest.approx(expected, rel=1e-6)


def test_lrn_is_tensorflows() -> None:
    layer = model.LocalResponseNormalization(4, 1.0, 0.001 / 9, 0.75)
    images = np.random.default_rng(0).normal(size=(2, 3, 3, 16)).astype(np.float32)
    squares = np.stack(
        [(images[..., max(0, c - 4) : c + 5] ** 2).sum(axis=-1) for c in range(images.shape[-1])], axis=-1
    )
    np.testing.assert_allclose(layer(images), images / (1 + 0.001 / 9 * squares) ** 0.75, rtol=1e-5)


@pytest.mark.parametrize("channels", [16, 3])  # more and fewer than the radius
def test_the_gradient_of_lrn_in_training_is_tensorflows(channels: int) -> None:
    layer = model.LocalResponseNormalization(4, 1.0, 0.1, 0.75)  # a large alpha, so that the second term counts
    images, upstream = tf.constant(np.random.default_rng(0).normal(size=(2, 2, 3, 3, channels)).astype(np.float32))
    gradients = []
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(images)
            result = layer(images, training=training)
        gradients.append(tape.gradient(result, images, upstream))
    assert np.abs(gradients[0] - upstream).max() > 0.1
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["baseline", "every"])
@pytest.mark.parametrize("runtime", ["unfused", "stock"])
def test_both_runtimes_compute_what_keras_computes(name: str, runtime: str, every: VariantSpec) -> None:
    variant = every if name == "every" else load_variant(name, PARAMS)
    built = model.build(variant, seed=1)
    weights.fill_zero_weights(built)
    images = images_for(variant)
    logits = np.asarray(built(images))
    labels = np.array([logits[0].argmax(), logits[1].argmin(), logits[2].argmax(), logits[3].argmin()], np.int32)
    session = open_session(freeze(built, BATCH), runtime, images, labels)
    session.prepare()
    result = session.results()
    session.close()
    if runtime == "stock":
        np.testing.assert_allclose(result, logits, rtol=1e-4, atol=1e-5)
    else:
        assert result.tolist() == [True, False, True, False]


def test_nodes_are_named_and_booked_by_layer(smoke: VariantSpec) -> None:
    frozen = freeze(model.build(smoke, seed=1), BATCH)
    assert [name for name in frozen.owners if name.endswith(("convolution", "MaxPool2d", "Reshape", "MatMul"))] == [
        *("conv1/convolution", "conv1/Reshape", "pool1/MaxPool2d", "logits/Reshape", "logits/MatMul")
    ]
    assert all(name.startswith(f"{layer}/") for name, layer in frozen.owners.items())
    names = {node.name for node in frozen.graph_def.node}
    assert names - frozen.owners.keys() == {frozen.feeds[0].node, frozen.outputs[0].partition(":")[0]}
    assert sum(value.size for value in frozen.weights.values()) == smoke.network.parameters


def test_the_thesis_graph_has_the_ops_of_the_tutorial() -> None:
    frozen = freeze(model.build(load_variant("baseline", PARAMS), seed=1), BATCH)
    ops = [node.op for node in graph.as_thesis_graph(frozen).node]
    assert {op: ops.count(op) for op in set(ops) - {"Const", "Identity", "Placeholder"}} == {
        "VariableV2": 10,
        "Conv2D": 2,
        "BiasAdd": 2,
        "Relu": 4,
        "MaxPool": 2,
        "LRN": 2,
        "Reshape": 1,
        "MatMul": 3,
        "Add": 3,
    }


def test_the_queue_feeds_images_and_labels_in_turn(smoke: VariantSpec) -> None:
    built = model.build(smoke, seed=1)
    images = images_for(smoke, 10)
    labels = np.asarray(built(images)).argmax(axis=1).astype(np.int32)
    labels[7] = (labels[7] + 1) % 10
    session = open_session(freeze(built, BATCH), "unfused", images, labels)
    right = []
    for _ in range(5):
        session.prepare()
        right.extend(session.results().tolist())
    session.close()
    assert right == [i % 10 != 7 for i in range(5 * BATCH)]


@pytest.mark.parametrize(
    ("shape", "capacity"),
    [
        ((128, 24, 24, 3), 4_384),  # the tutorial's
        ((1, 24, 24, 3), 4_003),
        ((4_096, 24, 24, 3), 16_288),
        ((128, 32, 32, 3), 4_384),
        ((128, 224, 224, 3), 445),  # 256 MiB of 602,112 bytes and a label
        ((1_024, 224, 224, 3), 1_024),  # a batch
        ((1, 8_192, 8_192, 3), 1),
    ],
)
def test_the_queue_is_the_tutorials_as_far_as_256_mib_hold_it(shape: tuple[int, ...], capacity: int) -> None:
    assert queue_capacity([shape]) == capacity
    assert capacity * (4 * math.prod(shape[1:]) + 4) < 2**31


def test_a_batch_of_more_bytes_than_tensorflow_counts_is_refused() -> None:
    assert queue_capacity([(3_566, 224, 224, 3)]) == 3_566
    with pytest.raises(MeasureError) as caught:
        queue_capacity([(3_567, 224, 224, 3)])
    assert str(caught.value) == (
        "batch size: a batch must have less than 2,147,483,648 bytes, because TensorFlow cannot count more in a queue. "
        "Received: 2,147,747,772, 3567 images of 224x224x3. Choose at most 3566 with --batch-size."
    )
    with pytest.raises(MeasureError, match=r"Received: 3,600,000,004, 1 image of 30000x30000x1\. "):
        queue_capacity([(1, 30_000, 30_000, 1)])


def test_large_images_fill_the_queue_and_are_fed_in_turn(monkeypatch: pytest.MonkeyPatch, smoke: VariantSpec) -> None:
    monkeypatch.setattr(prepare, "_QUEUE_BYTES", 1)  # every image is large
    built = model.build(smoke, seed=1)
    images = images_for(smoke, BATCH)
    labels = np.asarray(built(images)).argmax(axis=1).astype(np.int32)
    labels[1] = (labels[1] + 1) % 10
    stepped = open_session(freeze(built, BATCH), "unfused", images, labels)
    for _ in range(3):
        stepped.prepare()
        assert stepped.results().tolist() == [True, False, True, True]
    stepped.close()


# Weights


def trained_elsewhere(variant: VariantSpec, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    model.build(variant, seed=9).save_weights(path)
    return path


def test_without_trained_weights_the_initial_ones_serve_without_zeros(smoke: VariantSpec, tmp_path: Path) -> None:
    built = model.build(smoke, seed=1)
    record = weights.load(built, smoke, Store(tmp_path))
    assert (record.origin, record.recipe) == ("initial", None)
    assert all(np.any(weight.numpy()) for weight in built.trainable_weights)


def test_a_file_of_weights_is_loaded(smoke: VariantSpec, tmp_path: Path) -> None:
    path = trained_elsewhere(smoke, tmp_path / "w.weights.h5")
    built = model.build(smoke, seed=1)
    record = weights.load(built, smoke, Store(tmp_path), path)
    assert (record.origin, record.sha256) == ("file", weights.file_sha256(path))
    np.testing.assert_array_equal(built.get_weights()[0], model.build(smoke, seed=9).get_weights()[0])


def test_wrong_weights_are_one_line(
    smoke: VariantSpec,
    every: VariantSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    monkeypatch.chdir(tmp_path)
    built = model.build(smoke, seed=1)

    def refused(path: Path) -> str:
        with pytest.raises(MeasureError) as caught:
            weights.load(built, smoke, Store(Path("outputs")), path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert refused(Path("no.weights.h5")) == "no.weights.h5: no such weights. Train them: cnnprof train smoke"
    Path("model.pb").write_bytes(b"")
    assert refused(Path("model.pb")) == "model.pb: weights must be a .weights.h5 file as Keras writes them."
    other = trained_elsewhere(every, Path("other.weights.h5"))
    assert refused(other) == (
        "other.weights.h5: does not fit smoke; it holds weights of another network. Name another file."
    )
    assert not [warning for warning in recwarn if warning.category is UserWarning]
    cut = trained_elsewhere(smoke, Path("cut.weights.h5"))
    cut.write_bytes(cut.read_bytes()[:1000])
    assert refused(cut) == "cut.weights.h5: is damaged. Restore it, for example from Git, or name another file."


def test_half_a_reference_is_told_by_the_file_that_is_missing(
    smoke: VariantSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store, built = Store(Path("outputs")), model.build(smoke, seed=1)
    folder = store.reference_dir("smoke")
    shutil.copytree(PARAMS.parent / folder, folder, ignore=shutil.ignore_patterns("*-seed*"))
    restore = (
        "Restore it, for example from Git, or move outputs/reference/smoke aside and train again: cnnprof train smoke"
    )

    def refused() -> str:
        with pytest.raises(CnnprofError) as caught:
            weights.load(built, smoke, store)
        return str(caught.value)

    training = (folder / "training.json").read_text()
    (folder / "training.json").unlink()
    assert refused() == f"outputs/reference/smoke/training.json: is missing. {restore}"
    (folder / "training.json").write_text(training[:100])
    assert refused().startswith("outputs/reference/smoke/training.json: `record`: invalid json: ")
    assert refused().endswith(f"Received: see the file. {restore}")
    (folder / "training.json").write_text(training)
    weights.load(built, smoke, store)
    (folder / "model.weights.h5").unlink()
    assert refused() == f"outputs/reference/smoke/model.weights.h5: is missing beside its training.json. {restore}"


def test_weights_of_another_variant_are_known_by_the_record_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PARAMS.parent)
    store = Store(Path("outputs"))
    variants = {name: load_variant(name, PARAMS) for name in ("stride3", "stride5")}
    built = model.build(variants["stride5"], seed=1)  # whose weights have the same shapes as those of stride3
    record = weights.load(built, variants["stride5"], store, store.weights_path("stride5"))
    assert (record.origin, record.recipe) == ("file", "fast")
    with pytest.raises(MeasureError) as caught:
        weights.load(built, variants["stride5"], store, store.weights_path("stride3"))
    assert str(caught.value) == (
        "outputs/reference/stride3/model.weights.h5: are weights of stride3, as training.json beside them says. "
        "Received: stride5 as the network. Name the variant or the file that belong together."
    )
