"""From a data set's arrays to what a network is fed: crops, standardised pixels, batches, splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ...base.errors import DataError
from ...params.model import CROP
from .official import Images, Labels

HELD_OUT_SEED = 2016
BILINEAR = Image.Resampling.BILINEAR

Scalar = TypeVar("Scalar", bound=np.generic)
Pixels = npt.NDArray[np.float32]


def central_crop(images: npt.NDArray[Scalar], height: int, width: int) -> npt.NDArray[Scalar]:
    """The middle of images of shape `(..., rows, columns, channels)`, as a view; an odd margin is smaller before.

    Raises:
        DataError: If the crop is empty or larger than the images.
    """
    rows, columns = images.shape[-3:-1]
    if not (1 <= height <= rows and 1 <= width <= columns):
        raise DataError(f"crop: must be 1x1 to {rows}x{columns}. Received: {height}x{width}. Choose a smaller one.")
    top, left = (rows - height) // 2, (columns - width) // 2
    return images[..., top : top + height, left : left + width, :]


def standardize(images: npt.NDArray[Any], like: npt.NDArray[Any] | None = None) -> Pixels:
    """Gives each image of shape `(..., rows, columns, channels)` mean 0 and standard deviation 1.

    The definition is that of `tf.image.per_image_standardization`: `(x - mean) / max(std, 1 / sqrt(N))` with N the
    number of values of one image, so that an image of one colour becomes zeros.

    Args:
        images: The images.
        like: Images of the same shape whose mean and deviation to take instead.
    """
    axes = (-3, -2, -1)
    size = math.prod(images.shape[-3:])
    measured = (images if like is None else like).astype(np.float32)
    mean = measured.mean(axes, keepdims=True)
    measured -= mean
    values = measured.reshape(*measured.shape[:-3], size)
    spread = np.sqrt(np.vecdot(values, values) / np.float32(size))[..., None, None, None]
    pixels = measured if like is None else images.astype(np.float32) - mean
    pixels /= np.maximum(spread, np.float32(1 / math.sqrt(size)))  # by a float64 it would take 20 times as long
    return pixels


def evaluation_batches(
    images: Images, labels: Labels, height: int, width: int, batch_size: int
) -> Iterator[tuple[Pixels, Labels]]:
    """All images, cropped to the middle and standardized, in order; the last batch holds what is left.

    Raises:
        DataError: If images and labels differ in number, or `batch_size` is not positive.
    """
    if len(images) != len(labels):
        raise DataError(f"labels: must be {len(images):,}, one per image. Received: {len(labels):,}. Pass both whole.")
    if batch_size < 1:
        raise DataError(f"batch_size: must be a positive integer. Received: {batch_size}. Choose 1 or more.")
    middle = central_crop(images, height, width)
    parts = (slice(start, start + batch_size) for start in range(0, len(images), batch_size))
    return ((standardize(middle[part]), np.asarray(labels[part], np.int32)) for part in parts)


def fitted(images: Images, height: int, width: int) -> Images:
    """Images as large as a network wants them: the middle of the same proportions, resized.

    Args:
        images: (n, rows, columns, channels), of 1, 3 or 4 channels.
        height: Wanted.
        width: Wanted.
    """
    if images.shape[1:3] == (height, width):
        return images
    resized = [ImageOps.fit(Image.fromarray(image.squeeze()), (width, height), BILINEAR) for image in images]
    return np.stack([np.asarray(image) for image in resized]).reshape(len(images), height, width, images.shape[3])


def preprocessor(how: str) -> Callable[[Images], Pixels]:
    """How a network wants its images, uint8 of shape ``(n, height, width, channels)``.

    Args:
        how: ``none`` keeps 0 to 255, ``scale`` makes them 0 to 1, ``standardize`` and ``crop`` see `standardize`; a
            module of ``keras.applications``, such as ``mobilenet_v2``, as its networks were trained.

    Raises:
        DataError: it is none of these.
    """
    if how in ("standardize", CROP):
        return standardize
    if how in ("none", "scale"):
        divisor = np.float32(255 if how == "scale" else 1)
        return lambda images: images.astype(np.float32) / divisor
    import keras

    of_application = getattr(getattr(keras.applications, how, None), "preprocess_input", None)
    if of_application is None:
        raise DataError(
            "preprocessing: must be none, standardize, scale, crop, or a module of keras.applications. "
            f"Received: {how!r}. Name one: --preprocessing mobilenet_v2"
        )
    return lambda images: of_application(images.astype(np.float32))


def generated_images(count: int, height: int, width: int, channels: int, seed: int) -> Pixels:
    """Standardized noise of shape `(count, height, width, channels)`: for timing, where pixels do not matter."""
    noise = np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)
    return standardize(noise)


def held_out_split(
    labels: Labels, count: int = 5_000, seed: int = HELD_OUT_SEED
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sets images aside to choose settings by, equally many of each class, the same in every run.

    Args:
        labels: int32 of shape `(n,)`.
        count: Images to hold out, a multiple of the number of classes.
        seed: Another seed holds out others.

    Returns:
        Indices of the images to train on and of those held out, each ascending.

    Raises:
        DataError: If `count` cannot be shared out equally, or would leave a class without training images.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    each, rest = divmod(count, max(len(classes), 1))
    if rest or not 0 <= each < min(sizes, default=0):
        raise DataError(
            f"held-out images: must be a multiple of {len(classes)} and fewer than the {len(labels):,} images allow. "
            f"Received: {count:,}. Choose another count."
        )
    random = np.random.RandomState(seed)  # its numbers, unlike default_rng's, never change with NumPy's version
    held = np.sort(np.concatenate([random.permutation(np.flatnonzero(labels == label))[:each] for label in classes]))
    return np.setdiff1d(np.arange(len(labels)), held), held
