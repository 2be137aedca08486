"""Training batches: every image once an epoch, and changed as the recipe says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnprof_lib.measure.images import pixels
from cnnprof_lib.measure.images.cache import DataSet
from cnnprof_lib.measure.training import batches
from cnnprof_lib.params.reading import load_recipe
from cnnprof_lib.params.settings import Augmentation, Teacher
from cnnprof_lib.params.variant import InputSpec

PARAMS = Path(__file__).parents[2] / "params"
SIZE = InputSpec(height=24, width=20, channels=3)
IMAGES = np.random.default_rng(3).integers(0, 256, (4, 32, 32, 3), np.uint8)


class Fixed:
    """In place of a generator: the same brightness and contrast for every image."""

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, {63.0: 17.5, 1.8: 1.37}[high])


def test_batches_go_through_every_image_once_an_epoch() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(100, dtype=np.int32)  # as many classes as images, to tell them apart
    data = DataSet("made up", "0" * 64, (), rng.integers(0, 256, (100, 32, 32, 3), np.uint8), labels, IMAGES, labels)
    recipe = load_recipe("short", PARAMS).model_copy(update={"batch_size": 16})
    keep = np.arange(96)  # six batches
    stream = batches.training_batches(data, keep, recipe, SIZE, first_step=0)
    drawn = [next(stream)[1] for _ in range(12)]
    assert sorted(np.concatenate(drawn[:6])) == sorted(np.concatenate(drawn[6:])) == list(range(96))
    assert np.concatenate(drawn[:6]).tolist() != np.concatenate(drawn[6:]).tolist()
    resumed = batches.training_batches(data, keep, recipe, SIZE, first_step=10)
    np.testing.assert_array_equal(next(resumed)[1], drawn[10])


def windows(image: np.ndarray) -> np.ndarray:
    """All crops of one image, (count, height, width, channels)."""
    view = np.lib.stride_tricks.sliding_window_view(image, (SIZE.height, SIZE.width), axis=(0, 1))
    return view.transpose(0, 1, 3, 4, 2).reshape(-1, SIZE.height, SIZE.width, 3)


def test_crops_are_windows_of_their_images_some_of_them_mirrored() -> None:
    for image, crop in zip(
        IMAGES, batches.random_crop(IMAGES, SIZE, Augmentation(), np.random.default_rng(0)), strict=True
    ):
        assert (windows(image) == crop).all(axis=(1, 2, 3)).any()
    straight = []
    for seed in range(8):
        crop = batches.random_crop(IMAGES, SIZE, Augmentation(flip=True), np.random.default_rng(seed))[0]
        straight.append(bool((windows(IMAGES[0]) == crop).all(axis=(1, 2, 3)).any()))
        assert straight[-1] or (windows(IMAGES[0]) == crop[:, ::-1]).all(axis=(1, 2, 3)).any()
    assert set(straight) == {True, False}


@pytest.mark.parametrize(("shift", "rows", "columns"), [(None, 9, 13), (2, 5, 5), (5, 9, 11), (0, 1, 1)])
def test_crops_lie_at_most_so_far_off_the_centre(shift: int | None, rows: int, columns: int) -> None:
    places = np.zeros((1000, 32, 32, 2), np.uint8)
    places[..., 0], places[..., 1] = np.indices((32, 32))
    crops = batches.random_crop(places, SIZE, Augmentation(shift=shift), np.random.default_rng(0))
    starts = crops[:, 0, 0].astype(int)
    assert sorted(set(starts[:, 0])) == list(range(4 - rows // 2, 4 - rows // 2 + rows))
    assert sorted(set(starts[:, 1])) == list(range(6 - columns // 2, 6 - columns // 2 + columns))


def test_beyond_the_image_a_crop_is_mirrored() -> None:
    options, size = Augmentation(shift=5, pad=3), InputSpec(height=32, width=28, channels=3)
    crops = batches.random_crop(np.repeat(IMAGES[:1], 2000, 0), size, options, np.random.default_rng(0))
    padded = np.pad(IMAGES[0], ((3, 3), (3, 3), (0, 0)), mode="reflect")
    allowed = {padded[i : i + 32, j : j + 28].tobytes() for i in range(7) for j in range(11)}
    assert {crop.tobytes() for crop in crops} == allowed


def test_batches_return_after_the_epochs_that_a_teacher_is_asked_for() -> None:
    labels = np.arange(100, dtype=np.int32)
    data = DataSet("made up", "0" * 64, (), np.repeat(IMAGES, 25, 0), labels, IMAGES, labels)
    teacher = Teacher(name="teacher", temperature=2.0, weight=0.5, epochs=2)
    recipe = load_recipe("short", PARAMS).model_copy(update={"batch_size": 32, "teacher": teacher})

    def ask(place: int, images: np.ndarray) -> np.ndarray:
        assert images.shape == (32, 24, 20, 3)
        return np.full((32, 100), place, np.float32)

    stream = batches.training_batches(data, np.arange(96), recipe, SIZE, 0, ask)
    drawn = [next(stream) for _ in range(12)]
    assert [answers[0, 0] for _, _, answers in drawn] == [0, 1, 2, 3, 4, 5] * 2
    for first, again in zip(drawn[:6], drawn[6:], strict=True):
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
    assert drawn[0][1].tolist() != drawn[3][1].tolist()


def test_colours_change_as_in_tensorflow() -> None:
    tf = pytest.importorskip("tensorflow")
    options = Augmentation(brightness=63.0, contrast=(0.2, 1.8))
    ours = batches.change_colours(IMAGES, options, Fixed())  # type: ignore[arg-type]
    theirs = tf.image.adjust_contrast(tf.image.adjust_brightness(tf.cast(IMAGES, tf.float32), 17.5), 1.37)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-3)


def test_colours_stay_where_nothing_is_said() -> None:
    np.testing.assert_array_equal(batches.change_colours(IMAGES, Augmentation(), np.random.default_rng(0)), IMAGES)


def test_standardised_after_colour_the_network_sees_no_brightness() -> None:
    rng = np.random.default_rng
    plain = batches.augment(IMAGES, Augmentation(), SIZE, rng(0))
    after = batches.augment(IMAGES, Augmentation(brightness=63.0), SIZE, rng(0))
    np.testing.assert_allclose(after, plain, atol=1e-4)
    before = batches.augment(IMAGES, Augmentation(brightness=63.0, standardize="before_colour"), SIZE, rng(0))
    difference = before - plain
    np.testing.assert_allclose(difference, difference[:, :1, :1, :1] * np.ones_like(difference), atol=1e-4)
    assert (np.abs(difference).max(axis=(1, 2, 3)) > 0.01).all()
    assert plain.shape == (4, 24, 20, 3)


def test_standardize_can_take_mean_and_deviation_from_elsewhere() -> None:
    np.testing.assert_array_equal(pixels.standardize(IMAGES, like=IMAGES), pixels.standardize(IMAGES))
    brighter = pixels.standardize(IMAGES.astype(np.float32) + 10, like=IMAGES)
    spread = IMAGES.astype(np.float64).std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(
        brighter - pixels.standardize(IMAGES), np.broadcast_to(10 / spread, IMAGES.shape), rtol=1e-3
    )
