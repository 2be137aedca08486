"""Images and networks made ready to be stepped: what every measurement begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from ..params.settings import GENERATED, Runtime
from ..params.variant import InputSpec, VariantSpec
from ..records.run import ImagesRecord, WeightsRecord
from ..records.store import Store
from .images import cache as data
from .images import pixels
from .images.fit import check_images
from .models import build as model
from .models import weights
from .models.graph import FrozenGraph, freeze
from .runtimes.session import NetworkSession, queue_capacity

AUTOMATIC = ""
"""As the source of images: CNNPROF_DATA or the cache, else made-up ones."""


@dataclass(frozen=True)
class Images:
    """What is fed while timing, and the data set it is from, if any."""

    pixels: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    dataset: data.DataSet | None

    def record(self) -> ImagesRecord:
        """What a run's record says of them."""
        if self.dataset is None:
            return ImagesRecord(name=GENERATED, sha256=None, generated=True)
        found = self.dataset
        return ImagesRecord(name=found.name, sha256=found.sha256, generated=False, classes=found.classes)


@dataclass(frozen=True)
class Network:
    """A variant with its weights, ready to be stepped."""

    model: keras.Model
    weights: WeightsRecord
    frozen: FrozenGraph
    session: NetworkSession


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


def prepare_images(dataset: data.DataSet | None, size: InputSpec, batch_size: int, seed: int) -> Images:
    """As many test images as the input queue holds, prepared as at evaluation; as many in a runtime without a queue.

    Args:
        dataset: Where they are from; None makes them up from ``seed``.
        size: The network's input.
        batch_size: Images per step.
        seed: Seed of made-up images.
    """
    count = queue_capacity((batch_size, size.height, size.width, size.channels))
    if dataset is None:
        made_up = pixels.generated_images(count, size.height, size.width, size.channels, seed)
        return Images(made_up, np.zeros(count, np.int32), None)
    raw = pixels.central_crop(dataset.test_images[:count], size.height, size.width)
    return Images(pixels.standardize(raw), dataset.test_labels[:count].astype(np.int32), dataset)


def prepare_network(
    variant: VariantSpec,
    runtime: Runtime,
    images: Images,
    store: Store,
    *,
    batch_size: int,
    seed: int,
) -> Network:
    """Builds a variant with its reference weights, or initial ones from ``seed``, in a session of its own.

    Args:
        variant: The network.
        runtime: In which form to run it.
        images: What to feed it.
        store: Where reference weights are.
        batch_size: Images per step.
        seed: Seed of initial weights.
    """
    built = model.build(variant, seed)
    loaded = weights.load(built, variant, store)
    frozen = freeze(built, batch_size)
    session = NetworkSession(frozen, runtime, images.pixels, images.labels)
    return Network(built, loaded, frozen, session)
