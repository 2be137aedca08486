"""Methods that make a trained network cheaper: what they keep, what they cost, and when they are kept themselves."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cnnprof_lib.analysis.accuracy.numbers import paired_loss
from cnnprof_lib.analysis.optimizing import numbers, shown
from cnnprof_lib.app import optimizing, terminal_optimize
from cnnprof_lib.app.optimizing import Optimizer, Wish
from cnnprof_lib.base.errors import CnnprofError, DataError
from cnnprof_lib.measure.images.cache import DataSet
from cnnprof_lib.measure.models import build
from cnnprof_lib.measure.models.build import LocalResponseNormalization
from cnnprof_lib.measure.optimizing import methods, norms, prune, split
from cnnprof_lib.measure.optimizing.channels import Channels, without_channels
from cnnprof_lib.measure.optimizing.rebuild import logits_of, network_of_model, rebuilt, released
from cnnprof_lib.measure.optimizing.subject import Subject
from cnnprof_lib.measure.optimizing.tune import Tuner
from cnnprof_lib.params.costs import cost_on_paper
from cnnprof_lib.params.model import ModelSpec
from cnnprof_lib.params.network import Tensor
from cnnprof_lib.params.reading import load_recipe, load_variant
from cnnprof_lib.records.optimized import OptimizedRecord, PairedRecord, TriedRecord
from cnnprof_lib.records.store import Store
from tests.builders import PARAMS, make_machine

layers = keras.layers
IMAGES = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)
LABELS = np.arange(40, dtype=np.int32) % 10
RECIPE = load_recipe("tune", PARAMS).model_copy(update={"steps": 3, "batch_size": 16})


def filled(model: keras.Model) -> keras.Model:
    """Weights that leave no bias, mean or variance as it was made."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "seed" not in weight.path:
            drawn = rng.normal(0, 0.2, weight.shape)
            weight.assign(np.abs(drawn) + 0.5 if "variance" in weight.path else drawn)
    return model


def branching() -> keras.Model:
    """Everything that channels go through: a sum, a concatenation, a depthwise layer, a flattening."""
    start = layers.Input((8, 8, 3), name="start")
    a = layers.Conv2D(16, 3, padding="same", use_bias=False, name="a")(start)
    a = layers.ReLU(name="a_relu")(layers.BatchNormalization(name="a_bn")(a))
    b = layers.Conv2D(16, 3, padding="same", name="b")(a)
    added = layers.Add(name="add")([a, b])
    c = layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, use_bias=False, name="c")(added)
    c = layers.BatchNormalization(name="c_bn")(c)
    d = layers.SeparableConv2D(8, 3, strides=2, padding="same", activation="relu", name="d")(added)
    both = layers.Concatenate(name="both")([c, d])
    e = layers.MaxPooling2D(2, name="e")(both)
    flat = layers.Dropout(0.5, name="drop")(layers.Flatten(name="flat")(e))
    hidden = layers.Dense(24, activation="relu", name="hidden")(flat)
    return filled(keras.Model(start, layers.Dense(10, name="logits")(hidden), name="branching"))


def subject_of(model: keras.Model, share: float = 0.7, images: Any = IMAGES) -> Subject:
    network = network_of_model(model)
    return Subject(model, network, cost_on_paper, share * cost_on_paper(network), images, LABELS)


def close(one: keras.Model, other: keras.Model, images: Any = IMAGES) -> None:
    expected = one(images).numpy()
    np.testing.assert_allclose(other(images).numpy(), expected, atol=1e-4 * np.abs(expected).max())


# Rebuilding


def test_a_model_made_anew_is_the_same_and_shares_no_weight() -> None:
    sequential = filled(keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten()]))
    inner = filled(keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(5, 3)], name="inner"))
    start = layers.Input((8, 8, 3))
    nested = keras.Model(start, keras.ops.mean(inner(start) * 2.0, axis=(1, 2)))
    residual = filled(build.build(load_variant("residual-3", PARAMS), seed=1))
    for model, images in ((sequential, IMAGES), (nested, IMAGES), (branching(), IMAGES), (residual, None)):
        shown_images = np.zeros((2, *model.input_shape[1:]), np.float32) + 0.5 if images is None else images
        new = rebuilt(model)
        close(model, new, shown_images)
        assert {id(weight) for weight in new.weights} & {id(weight) for weight in model.weights} == set()


def test_sizes_that_a_model_leaves_open_are_given_to_it() -> None:
    model = keras.Sequential([layers.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])
    assert rebuilt(model, shape=(8, 8, 3)).input_shape == (None, 8, 8, 3)


class Odd(keras.layers.Layer):
    """A layer that does not say what it is made of."""

    def __init__(self, factor: float) -> None:
        super().__init__(name="odd")
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor


def test_a_layer_that_cannot_be_made_anew_is_named_in_one_line() -> None:
    start = layers.Input((8, 8, 3))
    with pytest.raises(CnnprofError) as caught:
        rebuilt(keras.Model(start, Odd(2.0)(start)))
    assert str(caught.value).startswith("odd: Odd cannot be made anew from its configuration (")
    assert str(caught.value).endswith("Give the class a get_config() that holds all its arguments.")
    assert "\n" not in str(caught.value)


def test_probabilities_become_logits_and_logits_stay() -> None:
    start = layers.Input((8, 8, 3))
    logits = layers.Dense(10, name="logits")(layers.Flatten()(start))
    raw = filled(keras.Model(start, logits))
    for last in (layers.Softmax(), layers.Activation("softmax")):
        found = logits_of(keras.Model(start, last(logits)))(IMAGES / 10).numpy()
        expected = raw(IMAGES / 10).numpy()
        differences = found - expected  # a constant for each image
        np.testing.assert_allclose(differences, differences[:, :1] + np.zeros_like(differences), atol=1e-3)
    assert logits_of(raw) is raw


# Normalisations


def test_folding_leaves_what_a_network_computes() -> None:
    start = layers.Input((8, 8, 3))
    x = layers.BatchNormalization(name="kept_first")(start)
    x = layers.BatchNormalization(name="after_conv")(layers.Conv2D(6, 3, use_bias=False, name="conv")(x))
    x = layers.BatchNormalization(name="after_depth")(layers.DepthwiseConv2D(3, depth_multiplier=2, name="depth")(x))
    x = layers.BatchNormalization(name="after_both", scale=False)(layers.SeparableConv2D(6, 3, name="both")(x))
    x = layers.BatchNormalization(name="kept")(layers.Conv2D(6, 1, activation="relu", name="bent")(x))
    x = layers.BatchNormalization(name="after_dense", center=False)(layers.Dense(5, name="dense")(layers.Flatten()(x)))
    model = filled(keras.Model(start, x))
    found = norms.folded_norms(subject_of(model))
    assert found is not None
    close(model, found)
    left = {layer.name for layer in found.layers if isinstance(layer, layers.BatchNormalization)}
    assert left == {"kept_first", "kept"}
    assert norms.folded_norms(subject_of(found)) is None


def test_what_something_else_reads_too_is_not_folded() -> None:
    start = layers.Input((8, 8, 3))
    conv = layers.Conv2D(3, 3, padding="same")(start)
    model = filled(keras.Model(start, layers.Add()([conv, layers.BatchNormalization()(conv)])))
    assert norms.folded_norms(subject_of(model)) is None


def test_what_lrn_did_to_a_channel_goes_into_its_filter() -> None:
    start = layers.Input((8, 8, 3))
    x = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu", name="conv")(start))
    x = LocalResponseNormalization(0, 4.0, 0.0, 0.5, name="lrn")(x)  # halves whatever it reads
    x = layers.Conv2D(4, 1, activation="gelu", name="bent")(x)
    x = LocalResponseNormalization(0, 4.0, 0.0, 0.5, name="stays_away")(x)
    model = filled(keras.Model(start, x))
    found = norms.without_lrn(subject_of(model))
    assert found is not None
    half, whole = (found.get_layer("conv").get_weights(), model.get_layer("conv").get_weights())
    for one, other in zip(half, whole, strict=True):
        np.testing.assert_allclose(one, other / 2, rtol=1e-5)
    np.testing.assert_allclose(found(IMAGES).numpy(), 2 * model(IMAGES).numpy(), rtol=1e-4, atol=1e-5)


def with_lrn() -> keras.Model:
    start = layers.Input((8, 8, 3))
    x = layers.Conv2D(12, 3, activation="relu", name="conv")(start)
    x = LocalResponseNormalization(4, 1.0, 0.01, 0.75, name="lrn")(x)
    return filled(keras.Model(start, layers.Dense(10, name="logits")(layers.Flatten(name="flat")(x))))


def test_lrn_goes_or_becomes_the_nearest_batch_norm() -> None:
    model = with_lrn()
    without = norms.without_lrn(subject_of(model))
    assert without is not None
    assert [layer.name for layer in without.layers[1:]] == ["conv", "flat", "logits"]
    replaced = norms.lrn_to_batch_norm(subject_of(model))
    assert replaced is not None
    assert [type(layer).__name__ for layer in replaced.layers[2:3]] == ["FusedBatchNormalization"]
    expected = model(IMAGES).numpy()
    missed = [float(np.square(other(IMAGES).numpy() - expected).mean()) for other in (without, replaced)]
    assert missed[1] < missed[0]
    kept = released(replaced, "kept")
    assert (kept.name, type(kept.layers[2]).__name__) == ("kept", "BatchNormalization")
    close(replaced, kept)
    for method in (norms.without_lrn, norms.lrn_to_batch_norm):
        assert method(subject_of(kept)) is None


# Filters


def kill(model: keras.Model, numbers: dict[str, list[int]]) -> None:
    """Makes filters give nothing, whatever they read."""
    for name, filters in numbers.items():
        layer = model.get_layer(name)
        weights = layer.get_weights()
        for weight in weights[1:] if isinstance(layer, layers.SeparableConv2D) else weights:
            weight[..., filters] = 0
        layer.set_weights(weights)


def test_filters_that_give_nothing_go_and_nothing_changes() -> None:
    model = branching()
    dead = {"a": [1, 2, 3, 4, 9, 10, 11, 12], "b": [1, 2, 3, 4, 9, 10, 11, 12], "d": [0, 5], "hidden": [*range(12)]}
    kill(model, dead)
    for name, spread in (("a_bn", 1), ("c_bn", 2)):
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        gone = np.repeat(np.isin(np.arange(16), dead["a"]), spread)
        beta[gone] = mean[gone] = 0
        model.get_layer(name).set_weights([gamma, beta, mean, variance])
    channels = Channels(model)
    assert {group: len(ids) for group, ids in channels.groups.items()} == {("a", "b"): 16, ("d",): 8, ("hidden",): 24}
    scores = prune.importance(model, channels, IMAGES, LABELS)
    tied, of_d, of_hidden = (scores[channels.gives[name]] for name in ("a", "d", "hidden"))
    assert np.flatnonzero(tied == 0).tolist() == dead["a"]
    assert np.flatnonzero(of_d == 0).tolist() == dead["d"]
    assert set(np.flatnonzero(of_hidden == 0)) >= set(dead["hidden"])
    alive = channels.all_alive
    for name, filters in dead.items():
        alive[channels.gives[name][filters]] = False
    pruned = without_channels(model, channels, alive)
    close(model, pruned)
    made = {layer.name: layer.output.shape[-1] for layer in pruned.layers}
    assert {name: made[name] for name in ("a", "b", "c", "d", "both", "hidden", "logits")} == {
        **{"a": 8, "b": 8, "c": 16, "d": 6, "both": 22, "hidden": 12, "logits": 10}
    }
    record, found = channels.narrowed(network_of_model(model), alive), network_of_model(pruned)
    assert [(layer.name, layer.output_shape) for layer in record.layers] == [
        (layer.name, layer.output_shape) for layer in found.layers
    ]
    exact = [layer for layer in found.layers if layer.name != "d"]  # two products in one layer
    assert [layer.macs for layer in record.layers if layer.name != "d"] == [layer.macs for layer in exact]


def test_pruning_stops_where_the_target_is_reached() -> None:
    subject = subject_of(branching(), 0.6)
    pruned = prune.prune(subject)
    assert pruned is not None
    assert cost_on_paper(network_of_model(pruned)) == pytest.approx(subject.target, rel=0.15)
    assert cost_on_paper(network_of_model(pruned)) <= subject.target * 1.02
    alone = dataclasses.replace(subject, target=2 * subject.target)
    assert prune.prune(alone) is None  # it costs no more than it may


def test_filters_that_cost_most_for_what_they_do_go_first() -> None:
    start = layers.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same", name="dear")(start)
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(4)(layers.Conv2D(16, 3, padding="same", name="also")(x)))
    x = layers.Dense(16, name="cheap")(x)
    model = filled(keras.Model(start, layers.Dense(10)(x)))
    channels, network = Channels(model), network_of_model(model)
    scores, spent = np.ones(len(channels.all_alive)), cost_on_paper(network)
    alive = prune.fewer(channels, scores, network, cost_on_paper, 0.5 * spent)
    left = {name: int(alive[channels.gives[name]].sum()) for name in ("dear", "also", "cheap")}
    assert left["cheap"] == 16
    assert min(left["dear"], left["also"]) < 16
    fewest = prune.fewer(channels, scores, network, cost_on_paper, 0.0)
    assert {int(fewest[ids].sum()) for ids in channels.groups.values()} == {4}


def test_channels_around_what_is_not_known_stay() -> None:
    start = layers.Input((8, 8, 3))
    shared = layers.Conv2D(3, 1, name="shared")
    x = layers.Conv2D(8, 3, name="before")(shared(shared(start)))
    x = layers.Permute((3, 1, 2))(x)
    x = layers.Conv2D(8, 3, name="grouped", groups=2, padding="same")(x) if x.shape[-1] % 2 == 0 else x
    model = filled(keras.Model(start, layers.Dense(10, name="logits")(layers.Flatten()(x))))
    assert Channels(model).groups == {}
    assert prune.prune(subject_of(model)) is None


# Layers as two


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kind", ["channels", "lines", "depthwise"])
def test_a_convolution_of_full_rank_as_two_is_the_same(kind: split.FormKind, strides: int) -> None:
    start = layers.Input((8, 8, 3))
    conv = layers.Conv2D(6, (3, 5), strides=strides, padding="same", activation="relu", name="conv")
    model = filled(keras.Model(start, conv(start)))
    (form,) = split.forms_of(model.get_layer("conv"), [kind])
    assert form.rank(1.0) <= form.full_rank == {"channels": 6, "lines": 9, "depthwise": 6}[kind]
    two = rebuilt(model, lambda layer: form.parts(form.full_rank) if layer.name == "conv" else None)
    close(model, two)
    (row,) = network_of_model(model).layers[-1:]
    found = [layer for layer in network_of_model(two).layers if layer.macs]
    assert [(each.name, each.output_shape, each.macs, each.parameters) for each in form.rows(row, form.full_rank)] == [
        (each.name, each.output_shape, each.macs, each.parameters) for each in found
    ]


def test_a_dense_layer_as_two_keeps_its_largest_part() -> None:
    model = filled(keras.Sequential([layers.Input((20,)), layers.Dense(12, name="dense")]))
    layer = model.get_layer("dense")
    kernel, bias = layer.get_weights()
    left, values, right = np.linalg.svd(kernel, full_matrices=False)
    (form,) = split.forms_of(layer, ["dense"])
    share = (values[:3] ** 2).sum() / (values**2).sum()
    assert form.rank(share - 1e-4) == 3
    first, second = form.kernels(3)
    np.testing.assert_allclose(first @ second, (left[:, :3] * values[:3]) @ right[:3], atol=1e-5)
    begins, ends = form.parts(3)
    assert (begins.layer.units, begins.layer.use_bias, ends.layer.units) == (3, False, 12)
    np.testing.assert_array_equal(ends.weights[1], bias)


def test_splitting_goes_no_further_than_the_target_and_costs_less() -> None:
    rng = np.random.default_rng(3)
    start = layers.Input((8, 8, 3))
    x = layers.Conv2D(32, 5, padding="same", name="one")(start)
    x = layers.Conv2D(32, 5, padding="same", name="two")(x)
    model = filled(keras.Model(start, layers.Dense(10)(layers.Flatten()(x))))
    two = model.get_layer("two")
    low = np.einsum("ird,rjo->ijdo", rng.normal(size=(5, 4, 32)), rng.normal(size=(4, 5, 32))).astype(np.float32)
    two.set_weights([low, two.get_weights()[1]])
    subject = subject_of(model, 0.95)
    found = split.low_rank(subject)
    assert found is not None
    assert {layer.name for layer in found.layers} - {layer.name for layer in model.layers} >= {"two_in"}
    assert "one_in" not in {layer.name for layer in found.layers}
    assert cost_on_paper(network_of_model(found)) <= subject.target
    close(model, found)
    assert split.separable(subject_of(keras.Sequential([layers.Input((4,)), layers.Dense(2)]))) is None


# One after the other


@pytest.fixture(scope="module")
def data() -> DataSet:
    """Made-up images, a part of which is bright: those of class 0."""
    rng = np.random.default_rng(0)
    labels = np.arange(400, dtype=np.int32) % 2
    pixels = rng.integers(0, 100, (400, 8, 8, 3), dtype=np.uint8) + (100 * (1 - labels))[:, None, None, None].astype(
        np.uint8
    )
    return DataSet("made up", "0" * 64, ("bright", "dark"), pixels[:300], labels[:300], pixels[300:], labels[300:])


SPEC = ModelSpec(name="mine", title="mine", model="mine.keras", preprocessing="scale")
TENSOR = Tensor(name="images", shape=(8, 8, 3))


def knowing() -> keras.Model:
    """A model that knows bright from dark, whose filters are alike."""
    start = layers.Input((8, 8, 3), name="images")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv")(start)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(layers.ReLU(name="relu")(x))
    model = keras.Model(start, layers.Dense(2, activation="softmax", name="classes")(x), name="mine")
    conv, dense = model.get_layer("conv"), model.get_layer("classes")
    conv.set_weights([np.full((3, 3, 3, 16), 1 / 27, np.float32)])
    kernel = np.zeros((16, 2), np.float32)
    kernel[:, 0] = 10 / 16
    dense.set_weights([kernel, np.array([0, 3.9], np.float32)])
    return model


def test_images_are_laid_out_as_a_network_takes_them(data: DataSet) -> None:
    tuner = Tuner.of(SPEC, TENSOR, data)
    assert (len(tuner.train), len(tuner.held_out)) == (270, 30)
    assert set(tuner.train) & set(tuner.held_out) == set()
    images, labels = tuner.sample()
    assert images.shape == (270, 8, 8, 3)
    assert 0 <= images.min() < images.max() <= 1
    np.testing.assert_array_equal(images.mean(axis=(1, 2, 3)) < 0.4, labels == 1)
    assert tuner.right(knowing()).mean() == tuner.right_of_test(knowing()).mean() == 1
    few = dataclasses.replace(data, train_images=data.train_images[:9], train_labels=data.train_labels[:9])
    with pytest.raises(CnnprofError) as caught:
        Tuner.of(SPEC, TENSOR, few)
    assert str(caught.value) == (
        "made up: must have at least 10 training images of each class, of which one is held out to choose by. "
        "Received: 4. Add images."
    )
    with pytest.raises(DataError):
        Tuner.of(SPEC, Tensor(name="images", shape=(8, 8, 1)), data)


def test_a_recipe_for_trainings_from_the_start_is_refused(data: DataSet) -> None:
    recipe = load_recipe("distil", PARAMS)
    with pytest.raises(CnnprofError) as caught:
        Tuner.of(SPEC, TENSOR, data).tune(knowing(), recipe, knowing())
    assert str(caught.value) == (
        "recipe distil: must be in float32, and without a teacher or with `itself`, to train on what was changed. "
        "Name another: --recipe tune"
    )


def test_training_on_changes_the_model_and_not_its_teacher(data: DataSet) -> None:
    model, teacher = knowing(), knowing()
    before = teacher.get_weights()
    steps: list[int] = []
    Tuner.of(SPEC, TENSOR, data).tune(model, RECIPE, teacher, lambda step, _: steps.append(step))
    assert steps == [3]
    assert all((one == other).all() for one, other in zip(before, teacher.get_weights(), strict=True))
    assert not all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))


def tried(optimizer: Optimizer) -> list[tuple[str, str]]:
    return [(each.method, each.outcome) for each in optimizer.tried]


def make_optimizer(data: DataSet, *names: Any, limit: float = 100.0) -> Optimizer:
    wish = Wish(names, limit, 0.7, RECIPE)
    optimizer = Optimizer(rebuilt(knowing()), Tuner.of(SPEC, TENSOR, data), cost_on_paper, wish)
    optimizer.run()
    return optimizer


def test_all_methods_are_tried_in_order_of_their_gain(data: DataSet) -> None:
    optimizer = make_optimizer(data)
    assert tried(optimizer)[0] == ("low-rank", "kept")  # all filters are alike
    assert not any(each.tuned for each in optimizer.tried)
    assert ("fold", "kept") in tried(optimizer)
    assert {("no-lrn", "nothing to change"), ("lrn-to-bn", "nothing to change")} <= set(tried(optimizer))
    kept = [each.gain for each in optimizer.tried if each.outcome == "kept" and each.gain]
    assert math.prod(kept) == pytest.approx(optimizer.best.cost / optimizer.first.cost)
    assert all(gain < 1 for gain in kept)
    record, content = optimizing.result(
        optimizer,
        "mine-optimized",
        source="mine.keras",
        source_sha256="1" * 64,
        runtime="stock",
        batch_size=128,
        is_predicted=False,
    )
    assert (record.lost.images, record.preprocessing, record.gain) == (100, "scale", pytest.approx(math.prod(kept)))
    assert content[:2] == b"PK"


def test_what_loses_too_much_for_so_few_images_is_dropped_but_not_what_changes_nothing(data: DataSet) -> None:
    optimizer = make_optimizer(data, "fold", "prune", limit=0.5)
    assert tried(optimizer) == [("fold", "kept"), ("prune", "dropped")]
    fold, pruned = optimizer.tried
    assert (fold.changed, fold.tuned, pruned.tuned) == ("without bn", False, True)
    assert pruned.lost is not None
    alike = np.ones(30, bool)
    assert pruned.lost.high >= paired_loss(alike, alike).high > 0.005
    assert [layer.name for layer in optimizer.best.model.layers] == ["images", "conv", "relu", "mean", "classes"]


def test_changes_are_told_in_words() -> None:
    before = network_of_model(with_lrn())
    subject = subject_of(with_lrn(), 0.6)
    for made, text in (
        (norms.without_lrn(subject), "without lrn"),
        (norms.lrn_to_batch_norm(subject), "lrn LocalResponseNormalization to FusedBatchNormalization"),
        (prune.prune(subject), "conv 12 to "),
    ):
        assert made is not None
        assert methods.changes(before, network_of_model(made)).startswith(text)


# Stored and shown


def make_optimized(**changes: Any) -> OptimizedRecord:
    lost = PairedRecord(images=5000, loss=0.001, low=-0.002, high=0.004)
    fields: dict[str, Any] = {
        "created": "2026-11-24T00:00:00+00:00",
        "name": "baseline-optimized",
        "source": "baseline",
        "source_sha256": "0" * 64,
        "model_sha256": "1" * 64,
        "preprocessing": "crop",
        "machine": make_machine(),
        "runtime": "stock",
        "batch_size": 128,
        "is_predicted": True,
        "limit_points": 0.5,
        "recipe": "tune",
        "dataset": "CIFAR-10",
        "dataset_sha256": "2" * 64,
        "tried": (
            TriedRecord(method="no-lrn", outcome="kept", changed="without norm1", gain=0.6, lost=lost, seconds=90.0),
            TriedRecord(method="fold", outcome="nothing to change", seconds=0.1),
        ),
        "gain": 0.6,
        "lost": lost.model_copy(update={"images": 10_000}),
    }
    return OptimizedRecord(**{**fields, **changes})


def test_a_record_is_stored_and_a_damaged_one_is_told_of(tmp_path: Path) -> None:
    store, record = Store(tmp_path), make_optimized()
    assert store.write_optimized(record, b"model") == tmp_path / "optimized" / "baseline-optimized.keras"
    assert store.optimizations() == [record]
    path = tmp_path / "optimized" / "baseline-optimized.json"
    path.write_text("{}")
    assert store.optimizations() == []
    assert list(store.unreadable()) == [path]


def test_the_report_has_a_row_for_each_method_and_one_for_all() -> None:
    table = numbers.tried_methods([make_optimized()])
    assert table[["method", "outcome", "gain", "images"]].to_dict("list") == {
        "method": ["no-lrn", "fold", "all together"],
        "outcome": ["kept", "nothing to change", "baseline-optimized"],
        "gain": [0.6, pytest.approx(math.nan, nan_ok=True), 0.6],
        "images": [5000, pytest.approx(math.nan, nan_ok=True), 10_000],
    }
    html = shown.tried_methods_table(table).to_html()
    assert "-0.20 – 0.40" in html
    assert "`baseline-optimized` has 0.600 of the latency predicted in `stock` for 128 images of `baseline`" in (
        shown.optimized_text([make_optimized()])
    )


def test_the_command_says_what_was_written_and_how_to_measure_it() -> None:
    record = make_optimized()
    assert terminal_optimize.tried_text(record.tried[0]) == (
        "no-lrn: kept, 0.600 of the cost before, loses 0.10 points (95%: -0.20 to 0.40, 5,000 images); without norm1"
    )
    assert terminal_optimize.tried_text(record.tried[1]) == "fold: nothing to change"
    assert terminal_optimize.written_text(record, "a.keras") == (
        "a.keras: 0.600 of the predicted latency in stock of baseline; on the test images of CIFAR-10 it loses "
        "0.10 points (95%: -0.20 to 0.40, 10,000 images)."
    )
    assert terminal_optimize.measure_text(record, "a.keras", "photos") == (
        "Measure it: cnnprof run a.keras --preprocessing crop --baseline baseline --data photos --runtime stock\n"
        "In int8: cnnprof run a.keras --preprocessing crop --baseline baseline --data photos --runtime openvino-int8"
    )
