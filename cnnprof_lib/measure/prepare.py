"""Images made ready to be fed: what every measurement begins with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.errors import DataError, MeasureError
from ..base.units import plural
from ..params.model import CROP
from ..params.network import Shape, Tensor
from ..params.settings import GENERATED
from ..params.variant import VariantSpec
from ..records.conditions import ImagesRecord
from .images import cache as data
from .images import official, pixels
from .images.fit import check_images

_MIN_QUEUE_EXAMPLES = 4000  # 0.4 x 10,000 images, as the tutorial has it
_QUEUE_BYTES = 256 << 20  # nine times the tutorial's queue of 24x24x3 images
_COUNTABLE_BYTES = 2**31  # ``TypedQueue::MemoryUsed`` (typed_queue.h) adds a queue's bytes up in 32 bits, with a sign
_CHANNELS = (1, 3, 4)
_HELD_OUT = 5_000  # as the recipes have it
Feeder = Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]
AUTOMATIC = ""
"""As the source of images: CNNPROF_DATA or the cache, else made-up ones."""


@dataclass(frozen=True)
class Images:
    """What is fed while timing, and the data set it is from, if any."""

    values: tuple[npt.NDArray[Any], ...]
    """Of each input, in order: (n, *shape of one image)."""
    labels: npt.NDArray[np.int32]
    dataset: data.DataSet | None
    prepare: Feeder | None = None
    """Makes an input of images of the data set."""

    def for_calibration(self, count: int) -> tuple[tuple[npt.NDArray[Any], ...], str]:
        """What to choose number formats by, and in words what it is: never test images.

        Args:
            count: Images wanted; fewer come where there are fewer.

        Returns:
            Values of each input, (n, *shape of one image).
        """
        if self.dataset is None or self.prepare is None:
            return tuple(values[:count] for values in self.values), "made-up images"
        held = held_out(self.dataset.train_labels)[:count]
        which = f"the first {len(held)} training images of {self.dataset.name} that are held out"
        return (self.prepare(self.dataset.train_images[held]),), which

    def record(self) -> ImagesRecord:
        """What a run's record says of them."""
        if self.dataset is None:
            return ImagesRecord(name=GENERATED, sha256=None, generated=True)
        found = self.dataset
        return ImagesRecord(name=found.name, sha256=found.sha256, generated=False, classes=found.classes)


def held_out(labels: official.Labels) -> npt.NDArray[np.int64]:
    """Indices of training images that no recipe trains on; all, where there are too few to hold any out."""
    classes, sizes = np.unique(labels, return_counts=True)
    each = min(_HELD_OUT // max(len(classes), 1), min(sizes, default=0) // 10)
    return pixels.held_out_split(labels, each * len(classes))[1] if each else np.arange(len(labels))


def load_dataset(source: str, params: Path, *variants: VariantSpec) -> data.DataSet | None:
    """Loads the images to use; None where made-up ones are to serve.

    Args:
        source: A folder or archive, `AUTOMATIC` or `GENERATED`.
        params: The folder of parameter files.
        variants: The networks that are to take them.

    Raises:
        DataError: the images named cannot be used.
        VariantError: a network takes other images.
    """
    if source == GENERATED:
        return None
    path = Path(source) if source else None
    if not data.locate(path).exists:
        return None  # nothing named and nothing downloaded: a run goes on with made-up images
    dataset = data.load(path)
    for variant in variants:
        check_images(dataset, variant, params)
    return dataset


def prepare_images(
    dataset: data.DataSet | None, inputs: Sequence[Tensor], batch_size: int, seed: int, preprocessing: str = CROP
) -> Images:
    """As many test images as the input queue holds, prepared as at evaluation; as many in a runtime without a queue.

    Args:
        dataset: Where they are from; None makes them up from ``seed``.
        inputs: Of the network.
        batch_size: Images per step.
        seed: Seed of made-up values.
        preprocessing: See `pixels.preprocessor`; but for that of variants, images are resized.

    Raises:
        DataError: images are named and the network takes none, or of other channels, or ``preprocessing`` is unknown.
    """
    pixels.preprocessor(preprocessing)  # refuses what is none
    count = queue_capacity([(batch_size, *tensor.shape) for tensor in inputs])
    if dataset is None:
        return Images(tuple(_made_up(tensor, count, seed) for tensor in inputs), np.zeros(count, np.int32), None)
    as_fed, raw = feeder(dataset, inputs, preprocessing), dataset.test_images[:count]
    return Images((as_fed(raw),), dataset.test_labels[:count].astype(np.int32), dataset, as_fed)


def feeder(dataset: data.DataSet, inputs: Sequence[Tensor], preprocessing: str) -> Feeder:
    """What makes an input of images of a data set.

    Args:
        dataset: Where they are from.
        inputs: Of the network.
        preprocessing: As for `prepare_images`.

    Raises:
        DataError: as `prepare_images`.
    """
    prepare = pixels.preprocessor(preprocessing)
    height, width, channels = image_shape(inputs)
    found = dataset.test_images.shape[3]
    if channels != found:
        raise DataError(
            f"images: must have {channels} channels, as the network takes. Received: {found} in {dataset.name}. "
            "Name others, or --generated."
        )
    fit = pixels.central_crop if preprocessing == CROP else pixels.fitted

    def as_fed(images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        fed = as_input(prepare(fit(images, height, width)), inputs[0].shape)
        return fed.astype(np.dtype(inputs[0].dtype), copy=False)

    return as_fed


def image_shape(inputs: Sequence[Tensor]) -> tuple[int, int, int]:
    """Height, width and channels of the images that a network takes.

    Raises:
        DataError: it takes something else.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 3:
        taken = " and ".join("x".join(map(str, tensor.shape)) for tensor in inputs)
        raise DataError(f"images: the network takes {taken}, not images. Time it on made-up values: --generated.")
    first, second, third = inputs[0].shape
    return (second, third, first) if _channels_first(inputs[0].shape) else (first, second, third)


def as_input(values: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Images with channels last as an input of this shape takes them."""
    return np.ascontiguousarray(np.moveaxis(values, 3, 1)) if _channels_first(shape) else values


def _channels_first(shape: Shape) -> bool:
    return len(shape) == 3 and shape[0] in _CHANNELS and shape[2] not in _CHANNELS


def _made_up(tensor: Tensor, count: int, seed: int) -> npt.NDArray[Any]:
    """Values for one input: noise where they are real, 0 and 1 where they are whole, for they may number anything."""
    kind, rng = np.dtype(tensor.dtype), np.random.default_rng(seed)
    if kind == np.float32 and len(tensor.shape) == 3:
        return as_input(pixels.generated_images(count, *image_shape([tensor]), seed), tensor.shape)
    if np.issubdtype(kind, np.floating):
        return rng.standard_normal((count, *tensor.shape), np.float32).astype(kind)
    return rng.integers(0, 2, (count, *tensor.shape)).astype(kind)


def queue_capacity(shapes: Sequence[tuple[int, ...]]) -> int:
    """Examples in the input queue, and images to lay out for a feed.

    They are as many as in the tutorial's ``_generate_image_and_label_batch`` (4,384 for batches of 128), but no more
    than 256 MiB hold, and at least a batch.

    Args:
        shapes: Of a batch of each input.

    Raises:
        MeasureError: a batch has more bytes than TensorFlow counts right.
    """
    batch_size = shapes[0][0]
    image_bytes = sum(4 * math.prod(shape[1:]) for shape in shapes) + 4  # float32 values, and an int32 label
    if batch_size * image_bytes >= _COUNTABLE_BYTES:
        sides = " and ".join("x".join(map(str, shape[1:])) for shape in shapes)
        images = f"{batch_size} {plural(batch_size, 'image')} of {sides}"
        raise MeasureError(
            f"batch size: a batch must have less than {_COUNTABLE_BYTES:,} bytes, because TensorFlow cannot count more "
            f"in a queue. Received: {batch_size * image_bytes:,}, {images}. "
            f"Choose at most {(_COUNTABLE_BYTES - 1) // image_bytes} with --batch-size."
        )
    return max(batch_size, min(_MIN_QUEUE_EXAMPLES + 3 * batch_size, _QUEUE_BYTES // image_bytes))
