"""Training batches: in an order and with random changes that depend on the recipe's seed and the step alone."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from ...params.settings import Augmentation, RecipeSpec
from ...params.variant import InputSpec
from ..images.cache import DataSet
from ..images.pixels import Pixels, standardize

Batch = tuple[npt.NDArray[Any], ...]
"""Standardised images, their labels, and a teacher's answers where there is one."""
Ask = Callable[[int, Pixels], npt.NDArray[np.float32]]
Fit = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]
Finish = Callable[[Any], Pixels]


def training_batches(
    data: DataSet,
    indices: npt.NDArray[np.int64],
    recipe: RecipeSpec,
    size: InputSpec,
    first_step: int,
    ask: Ask | None = None,
    fit: Fit | None = None,
    finish: Finish | None = None,
) -> Generator[Batch, None, None]:
    """Augmented batches from ``first_step`` on, each prepared in a thread while the one before is trained on.

    Args:
        data: The images.
        indices: Which of the training images to use; each comes once an epoch.
        recipe: Batch size, changes and seed.
        size: The network's input.
        first_step: Steps done before.
        ask: A teacher, told of a batch's place among those that return, and of its images.
        fit: Makes images as large as a model wants them that takes no crops.
        finish: What a model's images go through in the end, in place of being standardised.

    Yields:
        Standardised images (batch, height, width, channels), labels (batch,) and, of a teacher, logits (batch,
        classes), without end.
    """
    steps_per_epoch = len(indices) // recipe.batch_size  # the images left over at its end wait for another epoch

    @functools.lru_cache(maxsize=1)
    def order(epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng([recipe.seed, 0, epoch]).permutation(indices)

    def batch(step: int) -> Batch:
        if recipe.teacher:
            step %= recipe.teacher.epochs * steps_per_epoch
        epoch, place = divmod(step, steps_per_epoch)
        chosen = order(epoch)[place * recipe.batch_size : (place + 1) * recipe.batch_size]
        rng = np.random.default_rng([recipe.seed, 1, step])
        raw = data.train_images[chosen]
        images = augment(fit(raw) if fit else raw, recipe.augmentation, size, rng, finish)
        labels = data.train_labels[chosen].astype(np.int32)
        return (images, labels, ask(step, images)) if ask else (images, labels)

    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(batch, first_step)
        for step in itertools.count(first_step + 1):
            ready, upcoming = upcoming, pool.submit(batch, step)
            yield ready.result()


def augment(
    images: npt.NDArray[np.uint8],
    options: Augmentation,
    size: InputSpec,
    rng: np.random.Generator,
    finish: Finish | None = None,
) -> Pixels:
    """Crops, flips, colour changes and standardisation of a whole batch at once.

    Args:
        images: (batch, height, width, channels), 0 to 255.
        options: Which changes, and how large.
        size: The network's input.
        rng: The source of all randomness.
        finish: What comes last in place of the standardisation.

    Returns:
        Standardised images (batch, size.height, size.width, channels).
    """
    crop = random_crop(images, size, options, rng)
    coloured = change_colours(crop, options, rng)
    if finish:
        return finish(coloured)
    return standardize(coloured, like=crop if options.standardize == "before_colour" else None)


def random_crop(
    images: npt.NDArray[np.uint8], size: InputSpec, options: Augmentation, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """A window of each image, at a place drawn evenly from those allowed, and every other one mirrored if so asked."""
    count, height, width, channels = images.shape
    rows = _pixels(height, size.height, options, count, rng)
    columns = _pixels(width, size.width, options, count, rng)
    if options.flip:
        columns = np.where(rng.random((count, 1)) < 0.5, columns, columns[:, ::-1])
    places = (np.arange(count)[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
    return np.take(images.reshape(-1, channels), places, axis=0)  # a quarter of the time of indexing by three arrays


def _pixels(
    length: int, window: int, options: Augmentation, count: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Which pixels ``count`` windows take along one side of the images, mirrored at its ends; (count, window)."""
    room, pad = length - window, options.pad
    reach = room + pad if options.shift is None else options.shift
    low, high = max(-pad, room // 2 - reach), min(room + pad, room // 2 + reach)
    places = rng.integers(low, high + 1, (count, 1)) + np.arange(window)
    last = length - 1
    return np.abs((places + last) % max(1, 2 * last) - last)


def change_colours(crop: npt.NDArray[np.uint8], options: Augmentation, rng: np.random.Generator) -> Pixels:
    """Brightness, then contrast, as `tf.image.random_brightness` and `random_contrast`; 0 to 255, not clipped.

    Contrast f moves each channel of an image away from its own mean m, or towards it; together with brightness b
    that is (x + b - (m + b)) * f + m + b = f * x + (1 - f) * m + b.
    """
    count, height, width, channels = crop.shape
    pixels = crop.astype(np.float32)
    brightness = rng.uniform(-options.brightness, options.brightness, (count, 1, 1)).astype(np.float32)
    factor = rng.uniform(*(options.contrast or (1.0, 1.0)), (count, 1, 1)).astype(np.float32)
    ones = np.ones((1, height * width), np.float32)
    mean = ones @ pixels.reshape(count, -1, channels) / ones.size
    shift = (1 - factor) * mean + brightness
    rows = pixels.reshape(count, height, -1)  # one long inner loop instead of many over the channels
    rows *= factor
    rows += np.tile(shift, width)
    return pixels
