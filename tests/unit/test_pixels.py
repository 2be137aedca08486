"""What a network is fed, from arrays of a data set."""

from __future__ import annotations

import numpy as np
import pytest
from test_sources import message_of

from cnnprof_lib.measure.images import pixels


def random_images(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, height, width, 3), np.uint8)


def test_central_crop_is_a_view_of_the_middle() -> None:
    images = random_images(2)
    crop = pixels.central_crop(images, 24, 30)
    assert np.array_equal(crop, images[:, 4:28, 1:31])
    assert np.shares_memory(crop, images)
    assert np.array_equal(pixels.central_crop(images, 31, 32), images[:, 0:31])
    assert np.array_equal(pixels.central_crop(images[0], 24, 24), images[0, 4:28, 4:28])


@pytest.mark.parametrize(("height", "width"), [(33, 24), (24, 0)])
def test_crop_that_does_not_fit(height: int, width: int) -> None:
    assert message_of(lambda: pixels.central_crop(random_images(1), height, width)) == (
        f"crop: must be 1x1 to 32x32. Received: {height}x{width}. Choose a smaller one."
    )


def test_standardize_is_tensorflows_definition() -> None:
    tf = pytest.importorskip("tensorflow")
    images = random_images(8, 24, 20)
    images[0] = 200  # of one colour
    images[1] = 0
    images[1, 0, 0, 0] = 1  # nearly so: the lower bound of the deviation decides
    expected = tf.image.per_image_standardization(images).numpy()
    assert pixels.standardize(images).dtype == np.float32
    np.testing.assert_allclose(pixels.standardize(images), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(pixels.standardize(images[5]), expected[5], rtol=1e-5, atol=1e-5)


def test_evaluation_covers_every_image() -> None:
    images, labels = random_images(10), np.arange(10, dtype=np.int32)
    batches = list(pixels.evaluation_batches(images, labels, 24, 24, 4))
    assert [len(batch) for batch, _ in batches] == [4, 4, 2]
    assert np.concatenate([found for _, found in batches]).tolist() == list(range(10))
    assert {(pixels.dtype, found.dtype) for pixels, found in batches} == {(np.dtype("float32"), np.dtype("int32"))}
    together = np.concatenate([batch for batch, _ in batches])
    np.testing.assert_array_equal(together, pixels.standardize(images[:, 4:28, 4:28]))
    assert [len(batch) for batch, _ in pixels.evaluation_batches(images, labels, 24, 24, 100)] == [10]


def test_evaluation_of_nonsense() -> None:
    images, labels = random_images(3), np.arange(2, dtype=np.int32)
    assert message_of(lambda: pixels.evaluation_batches(images, labels, 24, 24, 4)) == (
        "labels: must be 3, one per image. Received: 2. Pass both whole."
    )
    assert message_of(lambda: pixels.evaluation_batches(images[:2], labels, 24, 24, 0)) == (
        "batch_size: must be a positive integer. Received: 0. Choose 1 or more."
    )


def test_generated_images_are_standardized_and_repeatable() -> None:
    images = pixels.generated_images(5, 24, 20, 3, seed=1)
    assert (images.shape, images.dtype) == ((5, 24, 20, 3), np.float32)
    np.testing.assert_allclose(images.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std((1, 2, 3)), 1, atol=1e-5)
    assert np.array_equal(images, pixels.generated_images(5, 24, 20, 3, seed=1))
    assert not np.array_equal(images, pixels.generated_images(5, 24, 20, 3, seed=2))


def test_held_out_split_is_equal_per_class_and_fixed() -> None:
    labels = np.array([label for label in range(10) for _ in range(20 + label)], np.int32)
    train, held = pixels.held_out_split(labels, 50)
    assert np.bincount(labels[held]).tolist() == [5] * 10
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert held[:10].tolist() == [0, 5, 6, 9, 18, 20, 26, 27, 32, 39]
    assert np.array_equal(held, pixels.held_out_split(labels, 50)[1])
    assert not np.array_equal(held, pixels.held_out_split(labels, 50, seed=1)[1])
    assert [len(part) for part in pixels.held_out_split(labels, 0)] == [len(labels), 0]


@pytest.mark.parametrize(("count", "received"), [(55, "55"), (2_000, "2,000"), (-10, "-10")])
def test_held_out_split_that_cannot_be(count: int, received: str) -> None:
    labels = np.repeat(np.arange(10, dtype=np.int32), 200)
    assert message_of(lambda: pixels.held_out_split(labels, count)) == (
        "held-out images: must be a multiple of 10 and fewer than the 2,000 images allow. "
        f"Received: {received}. Choose another count."
    )


def test_images_are_fitted_by_their_middle() -> None:
    images = np.zeros((2, 4, 8, 3), np.uint8)
    images[:, :, 2:6] = 200
    assert pixels.fitted(images, 4, 8) is images
    fitted = pixels.fitted(images, 8, 8)
    assert (fitted.shape, fitted.dtype) == ((2, 8, 8, 3), np.uint8)
    assert (fitted[:, :, 1:-1] == 200).all()  # the edges are mixed with what is beside the middle
    assert pixels.fitted(images[..., :1], 2, 2).shape == (2, 2, 2, 1)


def test_images_are_prepared_as_a_model_wants_them() -> None:
    images = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3)
    assert pixels.preprocessor("none")(images).ravel().tolist() == [0, 51, 255]
    assert pixels.preprocessor("scale")(images).ravel().tolist() == pytest.approx([0, 0.2, 1])
    assert pixels.preprocessor("mobilenet_v2")(images).ravel().tolist() == pytest.approx([-1, -0.6, 1])
    caffe = [255 - 103.939, 51 - 116.779, -123.68]  # blue, green, red less ImageNet's means
    assert pixels.preprocessor("resnet50")(images).ravel().tolist() == pytest.approx(caffe)
    assert message_of(lambda: pixels.preprocessor("mobilnet")) == (
        "preprocessing: must be none, standardize, scale, crop, or a module of keras.applications. "
        "Received: 'mobilnet'. Name one: --preprocessing mobilenet_v2"
    )
