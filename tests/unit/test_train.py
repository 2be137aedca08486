"""Training: the same whether interrupted or not, and refused where a checkpoint does not belong."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnprof_lib.base.errors import CnnprofError, DataError
from cnnprof_lib.measure.images.cache import DataSet
from cnnprof_lib.measure.models import build as model
from cnnprof_lib.measure.models import evaluate
from cnnprof_lib.measure.training import optimize, train
from cnnprof_lib.measure.training.tensorboard import EventsFile
from cnnprof_lib.params.reading import load_recipe, load_variant
from cnnprof_lib.params.settings import AdamW, Constant, Muon, OneCycle, RecipeSpec, Sgd, Staircase
from cnnprof_lib.records.store import Store
from cnnprof_lib.records.training import HistoryRow
from tests.builders import make_thesis_training

PARAMS = Path(__file__).parents[2] / "params"
SMOKE = load_variant("smoke", PARAMS)
BRIEF = {"steps": 12, "batch_size": 16, "held_out": 20, "checkpoint_every": 3}
RECIPE = load_recipe("short", PARAMS).model_copy(update=BRIEF)
THESIS = load_recipe("thesis", PARAMS).model_copy(update=BRIEF)
ADAMW = RECIPE.model_copy(update={"name": "adamw", "optimizer": AdamW(type="adamw", weight_decay=0.01)})
MUON = RECIPE.model_copy(update={"name": "muon", "optimizer": Muon(type="muon", weight_decay=0.01)})


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def images() -> DataSet:
    """A few made-up images; what they show does not matter here."""
    rng = np.random.default_rng(0)
    labels = np.arange(120, dtype=np.int32) % 10
    pixels = rng.integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    return DataSet("made up", "0" * 64, tuple("abcdefghij"), pixels[:100], labels[:100], pixels[100:], labels[100:])


def weights_of(store: Store) -> list[np.ndarray]:
    built = model.build(SMOKE, seed=0)
    built.load_weights(store.weights_path("smoke"))
    return [np.asarray(weight) for weight in built.get_weights()]


def kill_at(step: int) -> train.OnRow:
    def on_row(row: HistoryRow) -> None:
        if row.step == step:
            raise Killed

    return on_row


@pytest.mark.parametrize("recipe", [RECIPE, THESIS, ADAMW, MUON], ids=lambda recipe: recipe.name)
def test_a_resumed_training_ends_in_the_same_weights_bit_for_bit(
    recipe: RecipeSpec, images: DataSet, tmp_path: Path
) -> None:
    whole, parts = Store(tmp_path / "whole"), Store(tmp_path / "parts")
    uninterrupted = train.train(SMOKE, recipe, images, whole)
    for step in (3, 9):
        with pytest.raises(Killed):
            train.train(SMOKE, recipe, images, parts, kill_at(step))
        assert parts.read_training("smoke") is None
    resumed = train.train(SMOKE, recipe, images, parts)
    for ours, theirs in zip(weights_of(parts), weights_of(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert parts.read_outcomes("smoke").equals(whole.read_outcomes("smoke"))
    # Everything but the time it took, and when.
    times = {"seconds", "step_s", "created", "history"}
    assert resumed.model_dump(exclude=times) == uninterrupted.model_dump(exclude=times)
    timed = {"images_per_s", "step_s"}
    assert [row.model_dump(exclude=timed) for row in resumed.history] == [
        row.model_dump(exclude=timed) for row in uninterrupted.history
    ]
    assert [path.name for path in parts.training_dir("smoke", recipe.key).iterdir()] == ["lock"]


def test_muon_makes_the_step_of_every_kernel_but_the_last_orthogonal(images: DataSet) -> None:
    recipe = MUON.model_copy(
        update={"optimizer": Muon(type="muon"), "schedule": Constant(type="constant", rate=0.001), "batch_size": 64}
    )
    network = model.build(SMOKE, seed=1)
    trainer = optimize.Trainer(network, recipe)
    before = {variable.path: variable.numpy() for variable in network.trainable_variables}
    pixels = np.random.default_rng(0).normal(size=(64, 24, 24, 3)).astype(np.float32)
    trainer.step(pixels, np.arange(64, dtype=np.int32) % 10)
    steps = {variable.path: variable.numpy() - before[variable.path] for variable in network.trainable_variables}
    *kernels, last = [path for path in steps if path.endswith("kernel")]
    for path in kernels:
        matrix = steps[path].reshape(-1, steps[path].shape[-1])
        singular = np.linalg.svd(matrix, compute_uv=False) / (0.001 * 0.2 * np.sqrt(max(matrix.shape)))
        assert 0.5 < np.median(singular) < 1.3, path  # what five iterations leave of 1
    for path in [last, *(path for path in steps if path.endswith("bias"))]:
        changed = steps[path][steps[path] != 0]
        assert np.median(np.abs(changed)) == pytest.approx(0.001, rel=0.02), path  # the first step of Adam: its rate


def test_decay_of_the_l2_layers_replaces_their_l2() -> None:
    conv1, pool1, logits = SMOKE.layers
    variant = SMOKE.model_copy(update={"layers": (conv1.model_copy(update={"l2": 0.1}), pool1, logits)})
    pixels = np.random.default_rng(0).normal(size=(64, 24, 24, 3)).astype(np.float32)
    labels = np.arange(64, dtype=np.int32) % 10
    losses, weights = {}, {}
    for decay in (0.0, 0.5):
        muon = Muon(type="muon", weight_decay=decay, decayed="l2")
        recipe = MUON.model_copy(update={"optimizer": muon, "schedule": Constant(type="constant", rate=0.001)})
        network = model.build(variant, seed=1)
        before = {variable.path: variable.numpy() for variable in network.trainable_variables}
        cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, network(pixels))
        losses[decay], _ = optimize.Trainer(network, recipe).step(pixels, labels)
        weights[decay] = {variable.path: variable.numpy() for variable in network.trainable_variables}
        assert float(losses[decay]) == pytest.approx(float(cross_entropy), rel=1e-5)
    for path, initial in before.items():
        expected = 0.001 * 0.5 * initial * (path == "conv1/kernel")
        np.testing.assert_allclose(weights[0.0][path] - weights[0.5][path], expected, atol=1e-7, err_msg=path)


@pytest.mark.parametrize("shape", [(96, 24), (24, 96), (32, 32)])
def test_orthogonal_steps_are_those_of_keras(shape: tuple[int, int]) -> None:
    matrix = tf.constant(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    ours = optimize.ConvolutionalMuon().zeropower_via_newtonschulz5(matrix, 5)
    np.testing.assert_allclose(ours, keras.optimizers.Muon().zeropower_via_newtonschulz5(matrix, 5), atol=1e-5)


@pytest.mark.parametrize(("policy", "near"), [("float32", 1e-3), ("mixed_bfloat16", 5e-2)])
def test_the_fused_normalisation_is_that_of_keras(policy: str, near: float) -> None:
    x = tf.constant(np.random.default_rng(0).normal(3, 2, (8, 5, 5, 6)).astype(np.float32))
    found = []
    for layer in (model.FusedBatchNormalization(dtype=policy), keras.layers.BatchNormalization(dtype=policy)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(x, training=True), tf.float32)
            loss = tf.reduce_sum(y**3)
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        found.append([y, *gradients, *layer.non_trainable_variables, layer(x, training=False)])
    for ours, keras_own in zip(*found, strict=True):
        np.testing.assert_allclose(tf.cast(ours, tf.float32), tf.cast(keras_own, tf.float32), rtol=near, atol=near)


def test_the_record_says_where_the_weights_come_from(images: DataSet, tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = train.train(SMOKE, RECIPE, images, store)
    assert store.read_training("smoke") == record
    assert (record.recipe, record.seed, record.dataset, record.steps) == ("short", 1, "made up", 12)
    assert (record.settings, record.held_out_seed, record.classes) == (RECIPE, 2016, images.classes)
    assert record.held_out is not None
    assert (record.held_out.images, record.test.images) == (20, 20)
    assert [row.step for row in record.history] == [3, 6, 9, 12]
    assert record.history[-1].held_out_accuracy == record.held_out.top1
    outcomes = store.read_outcomes("smoke")
    assert outcomes["label"].tolist() == images.test_labels.tolist()
    assert (outcomes["predicted"] == outcomes["label"]).sum() == record.test.correct


def test_another_recipe_or_seed_can_stand_beside_the_reference(images: DataSet, tmp_path: Path) -> None:
    store = Store(tmp_path)
    reference = train.train(SMOKE, RECIPE, images, store)
    second = RECIPE.model_copy(update={"seed": 2})
    others = [train.train(SMOKE, recipe, images, store, reference=False) for recipe in (THESIS, second)]
    assert store.read_training("smoke") == reference
    assert store.trained_keys("smoke") == ["short-seed2", "thesis-seed1"]
    assert [store.read_training("smoke", key) for key in ("thesis-seed1", "short-seed2")] == others
    assert others[1].weights_sha256 != reference.weights_sha256
    assert store.trainings() == [reference, others[1], others[0]]


def test_a_training_numbers_its_labels_as_the_reference_does(images: DataSet, tmp_path: Path) -> None:
    store = Store(tmp_path)
    reference = train.train(SMOKE, RECIPE, images, store)
    backwards = dataclasses.replace(
        images,
        classes=tuple("JIHGFEDCBA"),
        train_labels=9 - images.train_labels,
        test_labels=9 - images.test_labels,
    )
    beside = train.train(SMOKE, RECIPE, backwards, store, reference=False)
    assert (beside.classes, beside.weights_sha256) == (reference.classes, reference.weights_sha256)
    assert store.read_outcomes("smoke", RECIPE.key).equals(store.read_outcomes("smoke"))
    scored = evaluate.evaluate(SMOKE, backwards, store)
    assert scored == reference.test
    others = dataclasses.replace(images, classes=tuple("klmnopqrst"))
    for call in (lambda: train.train(SMOKE, THESIS, others, store), lambda: evaluate.evaluate(SMOKE, others, store)):
        with pytest.raises(DataError) as caught:
            call()
        assert str(caught.value) == (
            f"{store.weights_path('smoke')}: were trained on the classes a, b, c, d, e, f, g, h, i, j. "
            "Received: k, l, m, n, o, p, q, r, s, t in made up. Name the folders so, or 0 to 9 in the order of "
            "CIFAR-10; to train on classes of your own, name another folder with --outputs."
        )
    assert store.read_training("smoke") == reference


def refused(recipe: RecipeSpec, images: DataSet, store: Store) -> str:
    with pytest.raises(CnnprofError) as caught:
        train.train(SMOKE, recipe, images, store)
    return str(caught.value)


def test_a_checkpoint_of_another_recipe_is_refused(
    images: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("outputs"))
    with pytest.raises(Killed):
        train.train(SMOKE, RECIPE, images, store, kill_at(3))
    other = RECIPE.model_copy(update={"schedule": Constant(type="constant", rate=0.1)})
    assert refused(other, images, store) == (
        "outputs/training/smoke/short-seed1/checkpoint.npz: belongs to another network, recipe, teacher or data "
        "set of the same name. Move it aside to start again."
    )
    checkpoint = Path("outputs/training/smoke/short-seed1/checkpoint.npz")
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    assert refused(RECIPE, images, store) == (
        "outputs/training/smoke/short-seed1/checkpoint.npz: cannot be read (File is not a zip file). "
        "Move it aside to start again."
    )


def test_a_batch_of_more_images_than_there_are_is_refused(images: DataSet, tmp_path: Path) -> None:
    assert refused(RECIPE.model_copy(update={"batch_size": 81}), images, Store(tmp_path)) == (
        "recipe short, batch_size: must be at most 80, the training images of made up that are not held out. "
        "Received: 81. Choose a smaller batch."
    )


def test_a_loss_that_is_no_number_stops_and_names_the_last_checkpoint(
    images: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("outputs"))
    wild = RECIPE.model_copy(update={"schedule": Constant(type="constant", rate=1e30)})
    assert refused(wild, images, store) == (
        "smoke: the loss is nan in step 2. There is no checkpoint yet; lower the rate in `schedule` of recipe short."
    )
    checkpoint = store.training_dir("smoke", RECIPE.key) / "checkpoint.npz"
    with pytest.raises(Killed):
        train.train(SMOKE, RECIPE, images, store, kill_at(6))
    before = checkpoint.read_bytes()
    nothing = np.full((16, 24, 24, 3), np.nan, np.float32), np.zeros(16, np.int32)
    monkeypatch.setattr(train, "training_batches", lambda *_: itertools.repeat(nothing))
    assert refused(RECIPE, images, store) == (
        "smoke: the loss is nan in step 7. "
        "The last good checkpoint is outputs/training/smoke/short-seed1/checkpoint.npz, of step 6; "
        "lower the rate in `schedule` of recipe short."
    )
    assert checkpoint.read_bytes() == before


def test_the_tutorials_schedule_is_a_staircase_that_stays_on_its_first_step() -> None:
    recipe = load_recipe("thesis", PARAMS)
    assert recipe.schedule == Staircase(type="staircase", rate=0.1, factor=0.1, every=350 * 50_000 // 128)
    assert recipe.optimizer == Sgd(type="sgd")


SCHEDULES = {
    Constant(type="constant", rate=0.3): [0.3] * 10,
    Staircase(type="staircase", rate=0.8, factor=0.5, every=4): [0.8] * 4 + [0.4] * 4 + [0.2] * 2,
    OneCycle(type="one_cycle", peak_rate=0.4, warmup_share=0.2): [
        0.0, 0.2, *(0.2 * (1 + np.cos(np.pi * n / 8)) for n in range(8))
    ],
}  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.type)
def test_schedules(schedule: Constant | Staircase | OneCycle) -> None:
    recipe = RECIPE.model_copy(update={"schedule": schedule, "steps": 10})
    trainer = optimize.Trainer(model.build(SMOKE, seed=1), recipe)
    rates = []
    for _ in range(10):
        rates.append(trainer.learning_rate)
        trainer.step(np.zeros((2, 24, 24, 3), np.float32), np.zeros(2, np.int32))
    np.testing.assert_allclose(rates, SCHEDULES[schedule], rtol=1e-5)


def test_averages_follow_the_weights_with_the_tutorials_ramp(images: DataSet) -> None:
    trainer = optimize.Trainer(model.build(SMOKE, seed=1), THESIS)
    live = [weight.numpy() for weight in trainer.model.weights]
    expected = [weight.astype(np.float64) for weight in live]
    rng = np.random.default_rng(0)
    for n in range(1, 6):
        trainer.step(rng.normal(size=(8, 24, 24, 3)).astype(np.float32), np.arange(8, dtype=np.int32))
        decay = (1 + n) / (10 + n)
        live = [weight.numpy() for weight in trainer.model.weights]
        expected = [decay * average + (1 - decay) * weight for average, weight in zip(expected, live, strict=True)]
    for average, weight, ours in zip(expected, live, trainer.weights(), strict=True):
        np.testing.assert_allclose(ours, average, rtol=1e-5, atol=1e-7)
        assert not np.array_equal(ours, weight)


def test_without_averaging_the_weights_themselves_are_kept() -> None:
    trainer = optimize.Trainer(model.build(SMOKE, seed=1), RECIPE)
    trainer.step(np.ones((2, 24, 24, 3), np.float32), np.zeros(2, np.int32))
    for ours, weight in zip(trainer.weights(), trainer.model.weights, strict=True):
        np.testing.assert_array_equal(ours, weight.numpy())


def test_in_mixed_precision_weights_stay_float32(images: DataSet, tmp_path: Path) -> None:
    mixed = RECIPE.model_copy(update={"precision": "mixed_bfloat16"})
    train.train(SMOKE, mixed, images, Store(tmp_path))
    assert {weight.dtype for weight in weights_of(Store(tmp_path))} == {np.dtype("float32")}
    assert model.build(SMOKE, seed=1).compute_dtype == "float32"


def test_mixed_precision_trains_networks_with_lrn() -> None:
    """TensorFlow has no kernel of it for bfloat16 on a CPU."""
    mixed = RECIPE.model_copy(update={"precision": "mixed_bfloat16"})
    trainer = optimize.Trainer(model.build(load_variant("stride5", PARAMS), 1, mixed.precision), mixed)
    loss, _ = trainer.step(np.ones((2, 24, 24, 3), np.float32), np.zeros(2, np.int32))
    assert np.isfinite(float(loss))


def test_outcomes_cover_every_image_in_order(images: DataSet) -> None:
    classifier = evaluate.Classifier(model.build(SMOKE, seed=1))
    predicted = classifier.predicted(images.train_images[:7], images.train_labels[:7])
    assert (predicted.shape, predicted.dtype) == ((7,), np.int32)
    for i in range(7):
        assert classifier.predicted(images.train_images[i : i + 1], images.train_labels[i : i + 1]) == predicted[i]


def test_a_class_beyond_255_is_itself(images: DataSet) -> None:
    inputs = keras.Input((24, 24, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    network = keras.Model(inputs, keras.layers.Dense(1_000)(mean))
    network.set_weights([np.zeros((3, 1_000)), np.arange(1_000)])
    predicted = evaluate.Classifier(network).predicted(images.test_images, images.test_labels)
    assert set(predicted.tolist()) == {999}


def test_a_full_disk_is_one_line_and_leaves_what_was_there(
    images: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("outputs"))
    reference = train.train(SMOKE, RECIPE, images, store)
    before = {path: path.read_bytes() for path in Path("outputs/reference").rglob("*.*")}
    intact = "What was there before is intact: make room and start the same command again."
    with files_no_larger_than(5_000):
        assert refused(THESIS, images, store) == (
            f"outputs/reference/smoke: cannot be written. Received: File too large. {intact}"
        )
        with monkeypatch.context() as patched:
            patched.setattr(train, "try_writing", lambda _: None)  # the disk becomes full only later
            assert refused(THESIS, images, store) == (
                "outputs/training/smoke/thesis-seed1/checkpoint.npz: cannot be written. Received: File too large. "
                f"{intact}"
            )
    with pytest.raises(Killed):
        train.train(SMOKE, THESIS, images, store, kill_at(12))
    write = Store.write_training

    def write_when_full(*arguments: Any) -> None:
        with files_no_larger_than(5_000):
            write(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write_training", write_when_full)
        assert refused(THESIS, images, store) == (
            f"outputs/reference/smoke: cannot be written. Received: File too large. {intact}"
        )
    assert {path: path.read_bytes() for path in Path("outputs/reference").rglob("*.*")} == before
    assert store.read_training("smoke") == reference
    assert train.train(SMOKE, THESIS, images, store).steps == 12


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Lets the system refuse to write more, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_two_trainings_of_the_same_at_once_are_refused(
    images: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("outputs"))
    lock = store.training_dir("smoke", RECIPE.key) / "lock"
    code = (
        "import sys, time; from pathlib import Path; from cnnprof_lib.base.locks import only_process\n"
        f"with only_process(Path({str(lock.parent)!r}), 'waits'): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(PARAMS.parent)}
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert refused(RECIPE, images, store) == (
            f"outputs/training/smoke/short-seed1/lock: held by process {other.pid}, which is training the same. "
            "Wait for it, or stop it."
        )
        other.kill()
    assert lock.read_text() == str(other.pid)  # what a killed process leaves holds nobody up
    assert train.train(SMOKE, RECIPE, images, store).steps == 12


def test_tensorboard_finds_every_number_of_the_history(tmp_path: Path) -> None:
    events = EventsFile(tmp_path / "logs")
    rows = make_thesis_training().history
    for row in rows:
        events.add(row)
    (path,) = (tmp_path / "logs").glob("events.out.tfevents.*")
    first, *rest = tf.compat.v1.train.summary_iterator(str(path))
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in rest] == [100, 200]
    assert {value.tag: value.simple_value for value in rest[1].summary.value} == pytest.approx(
        rows[1].model_dump(exclude={"step"})
    )


def test_a_trial_reads_no_test_image_and_leaves_no_weights(
    images: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, scored = Store(tmp_path), []
    fewer = dataclasses.replace(images, test_images=images.test_images[:13], test_labels=images.test_labels[:13])
    predicted = evaluate.Classifier.predicted

    def count(self: evaluate.Classifier, pixels: Any, labels: Any) -> Any:
        scored.append(len(pixels))
        return predicted(self, pixels, labels)

    monkeypatch.setattr(evaluate.Classifier, "predicted", count)
    with pytest.raises(Killed):
        train.try_out(SMOKE, RECIPE, fewer, store, kill_at(6))
    trial = train.try_out(SMOKE, RECIPE, fewer, store)
    assert set(scored) == {20}  # those held out
    assert [row.step for row in trial.history] == [3, 6, 9, 12]
    assert (trial.held_out.images, trial.held_out.top1) == (20, trial.history[-1].held_out_accuracy)
    assert (trial.dataset, trial.dataset_sha256) == ("made up", "0" * 64)
    assert store.trained_variants() == []
    assert [path.name for path in store.training_dir("smoke", RECIPE.key).iterdir()] == ["lock"]
    whole = train.train(SMOKE, RECIPE, fewer, store)
    assert (whole.held_out, whole.weights_sha256) == (trial.held_out, trial.held_out.weights_sha256)
    with pytest.raises(CnnprofError) as caught:
        train.try_out(SMOKE, RECIPE.model_copy(update={"held_out": 0}), fewer, store)
    assert str(caught.value) == (
        "recipe short, `held_out`: must be at least 1, for networks are compared by those images. Received: 0. "
        "Hold some out, 5000 for example."
    )
