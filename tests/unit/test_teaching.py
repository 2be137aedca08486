"""Distillation: what a teacher answers, what is learnt of it, and which teachers are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from cnnprof_lib.base.errors import CnnprofError
from cnnprof_lib.measure.images.cache import DataSet
from cnnprof_lib.measure.models import build as models
from cnnprof_lib.measure.training import optimize, train
from cnnprof_lib.measure.training.teaching import Teaching
from cnnprof_lib.params.reading import load_recipe, load_variant
from cnnprof_lib.params.settings import RecipeSpec, Teacher
from cnnprof_lib.params.variant import InputSpec, VariantSpec
from cnnprof_lib.records.store import Store
from cnnprof_lib.records.training import HistoryRow

PARAMS = Path(__file__).parents[2] / "params"
SMOKE = load_variant("smoke", PARAMS)
PUPIL = SMOKE.model_copy(update={"name": "pupil"})
RECIPE = load_recipe("short", PARAMS).model_copy(
    update={"steps": 12, "batch_size": 16, "held_out": 20, "checkpoint_every": 3}
)
TEACHER = Teacher(name="smoke", temperature=3.0, weight=0.7, epochs=1)
TAUGHT = RECIPE.model_copy(update={"name": "taught", "teacher": TEACHER})


class Killed(Exception):
    """Stands for the end of the process."""


def kill_at_9(row: HistoryRow) -> None:
    if row.step == 9:
        raise Killed


@pytest.fixture(scope="module")
def images() -> DataSet:
    """A few made-up images; what they show does not matter here."""
    rng = np.random.default_rng(0)
    labels = np.arange(120, dtype=np.int32) % 10
    pixels = rng.integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    return DataSet("made up", "0" * 64, tuple("abcdefghij"), pixels[:100], labels[:100], pixels[100:], labels[100:])


def test_the_loss_is_of_labels_and_of_the_teachers_answers() -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.normal(size=(8, 24, 24, 3)).astype(np.float32), np.arange(8, dtype=np.int32)
    answers = rng.normal(0, 4, (8, 10)).astype(np.float32)
    network = models.build(SMOKE, seed=1)
    logits = network(pixels).numpy()
    recipe = TAUGHT.model_copy(update={"label_smoothing": 0.2})
    loss, _ = optimize.Trainer(network, recipe).step(pixels, labels, answers)
    smooth = np.full((8, 10), 0.02) + 0.8 * np.eye(10)[labels]
    of_labels = -(smooth * log_softmax(logits, axis=1)).sum(axis=1)
    taught = answers.astype(np.float64) / 3
    gap = log_softmax(taught, axis=1) - log_softmax(logits / 3, axis=1)
    divergence = (softmax(taught, axis=1) * gap).sum(axis=1)
    l2 = float(sum(models.build(SMOKE, seed=1).losses))
    assert float(loss) == pytest.approx((0.3 * of_labels + 0.7 * 9 * divergence).mean() + l2, rel=1e-4)


def test_a_teacher_is_asked_once_for_each_batch(tmp_path: Path) -> None:
    model = models.build(SMOKE, seed=1)
    path, shape = tmp_path / "teacher" / "answers.npy", (3, 4, 10)
    pixels = np.random.default_rng(0).normal(size=(4, 24, 24, 3)).astype(np.float32)
    expected = model(pixels).numpy().astype(np.float16)
    np.testing.assert_allclose(Teaching(model, "sha", path, shape).ask(1, pixels), expected, rtol=1e-3)
    assert np.isnan(np.load(path)).all(axis=(1, 2)).tolist() == [True, False, True]
    model.set_weights([weight * 0 for weight in model.get_weights()])
    later = Teaching(model, "sha", path, shape)
    np.testing.assert_allclose(later.ask(1, pixels), expected, rtol=1e-3)
    assert later.ask(0, pixels).tolist() == np.zeros((4, 10)).tolist()
    torn = np.load(path, mmap_mode="r+")
    torn[1, 2:] = np.nan  # what a process that was stopped may leave
    assert later.ask(1, pixels).tolist() == np.zeros((4, 10)).tolist()
    path.write_bytes(b"")
    with pytest.raises(CnnprofError) as caught:
        Teaching(model, "sha", path, shape)
    assert str(caught.value) == f"{path}: cannot be read (No data left in file). Remove it to ask the teacher again."


def test_a_resumed_distillation_ends_in_the_same_weights_bit_for_bit(images: DataSet, tmp_path: Path) -> None:
    whole, parts = Store(tmp_path / "whole"), Store(tmp_path / "parts")
    teachers = [train.train(SMOKE, RECIPE, images, store) for store in (whole, parts)]
    uninterrupted = train.train(PUPIL, TAUGHT, images, whole)
    with pytest.raises(Killed):
        train.train(PUPIL, TAUGHT, images, parts, kill_at_9)
    resumed = train.train(PUPIL, TAUGHT, images, parts)
    assert resumed.weights_sha256 == uninterrupted.weights_sha256
    assert resumed.teacher_sha256 == teachers[1].weights_sha256
    alone = train.train(PUPIL, RECIPE, images, parts, reference=False)
    assert (alone.teacher_sha256, alone.weights_sha256 != resumed.weights_sha256) == (None, True)
    assert len(list(parts.training_dir("smoke", RECIPE.key).parent.glob("answers-*.npy"))) == 1


def refused(pupil: VariantSpec, recipe: RecipeSpec, images: DataSet, store: Store) -> str:
    with pytest.raises(CnnprofError) as caught:
        train.train(pupil, recipe, images, store)
    return str(caught.value)


def test_a_teacher_that_does_not_fit_is_refused(
    images: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("outputs"))
    assert refused(PUPIL, TAUGHT, images, store) == (
        "recipe taught, `teacher.name`: must be a network with reference weights. Received: smoke, which has none in "
        "outputs/reference/smoke. Train it first: cnnprof train smoke"
    )
    train.train(SMOKE, RECIPE, images, store)
    larger = PUPIL.model_copy(update={"input": InputSpec(height=32, width=28, channels=3)})
    assert refused(larger, TAUGHT, images, store) == (
        "recipe taught, `teacher.name`: must be a network that sees images of 32x28x3, as pupil does. "
        "Received: smoke, which sees 24x24x3. Name another."
    )
    others = dataclasses.replace(images, classes=tuple("klmnopqrst"))
    assert refused(PUPIL, TAUGHT, others, store) == (
        "recipe taught, `teacher.name`: must be a network trained on the classes k, l, m, n, o, p, q, r, s, t, in this "
        "order. Received: smoke, trained on a, b, c, d, e, f, g, h, i, j. Name another."
    )
    assert refused(PUPIL, TAUGHT.model_copy(update={"held_out": 30}), images, store) == (
        "recipe taught, `teacher.name`: must be a network trained on the same images of made up with the same 30 held "
        "out, which are to choose by. Received: smoke, trained on made up with 20 held out. Train it again."
    )
    store.weights_path("smoke").unlink()
    assert refused(PUPIL, TAUGHT, images, store) == (
        "outputs/reference/smoke/model.weights.h5: is missing beside its training.json. Restore it, for example from "
        "Git, or move outputs/reference/smoke aside and train again: cnnprof train smoke"
    )
