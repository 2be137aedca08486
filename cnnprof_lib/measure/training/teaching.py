"""What a teacher answers to the batches of a training: asked once for each, and kept in a file."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ...base.errors import TrainingError
from ...base.files import write_atomically
from ...params.settings import RecipeSpec
from ...params.variant import VariantSpec
from ...records.store import Store
from ..images.cache import DataSet
from ..images.fit import classes_of
from ..images.pixels import Pixels
from ..models import build as models
from ..models import weights


class Teaching:
    """A teacher and its answers so far.

    Args:
        model: The teacher, from standardised images to logits.
        sha256: Of its weights.
        path: The file of its answers; one that is there is gone on with.
        shape: Of all answers: (batches, batch size, classes).

    Raises:
        TrainingError: the file is damaged.
        StoreError: it cannot be written.
    """

    def __init__(self, model: keras.Model, sha256: str, path: Path, shape: tuple[int, int, int]) -> None:
        self.sha256 = sha256
        self._answer = tf.function(lambda images: tf.cast(model(images, training=False), tf.float32))
        if not path.is_file():
            buffer = io.BytesIO()
            np.save(buffer, np.full(shape, np.nan, np.float16))
            write_atomically(path, buffer.getvalue())
        try:
            self._answers = np.load(path, mmap_mode="r+", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise TrainingError(f"{path}: cannot be read ({error}). Remove it to ask the teacher again.") from None

    def ask(self, place: int, images: Pixels) -> npt.NDArray[np.float32]:
        """The teacher's logits for a batch.

        Args:
            place: Which batch it is of those that return.
            images: (batch, height, width, channels), standardised.

        Returns:
            (batch, classes).
        """
        if np.isnan(self._answers[place]).any():  # not asked yet, or stopped while it was written
            self._answers[place] = self._answer(images).numpy()  # rounded to float16 by NumPy: few CPUs' kernels can
        return self._answers[place].astype(np.float32)


def teaching_of(variant: VariantSpec, recipe: RecipeSpec, data: DataSet, store: Store, steps: int) -> Teaching | None:
    """The teacher that a recipe names, ready to be asked; None where it names none.

    All trainings that see the same batches share its answers.

    Args:
        variant: The network to be taught.
        recipe: With the teacher's name.
        data: The images, labels numbered as they will be learnt.
        store: Where the teacher's weights are, and where its answers go.
        steps: Batches of one epoch.

    Raises:
        TrainingError: the teacher was not trained, or not on what the network is to learn, or its answers are damaged.
        MeasureError: its weights are missing or damaged.
        StoreError: its record is damaged, or its answers cannot be written.
    """
    if recipe.teacher is None:
        return None
    name = recipe.teacher.name
    record = store.read_training(name)
    wrong = f"recipe {recipe.name}, `teacher.name`: must be a network"
    if record is None:
        raise TrainingError(
            f"{wrong} with reference weights. Received: {name}, which has none in {store.reference_dir(name)}. "
            f"Train it first: cnnprof train {name}"
        )
    teacher = record.variant
    if teacher.input != variant.input:
        wanted, received = ("x".join(map(str, one.input.shape)) for one in (variant, teacher))
        raise TrainingError(
            f"{wrong} that sees images of {wanted}, as {variant.name} does. Received: {name}, which sees {received}. "
            "Name another."
        )
    if classes_of(record) != data.classes:
        raise TrainingError(
            f"{wrong} trained on the classes {', '.join(data.classes)}, in this order. "
            f"Received: {name}, trained on {', '.join(classes_of(record))}. Name another."
        )
    held_out = record.held_out.images if record.held_out else 0
    if (record.dataset_sha256, held_out) != (data.sha256, recipe.held_out):
        raise TrainingError(
            f"{wrong} trained on the same images of {data.name} with the same {recipe.held_out:,} held out, which are "
            f"to choose by. Received: {name}, trained on {record.dataset} with {held_out:,} held out. Train it again."
        )
    model = models.build(teacher, recipe.seed, recipe.precision)
    sha256 = weights.load(model, teacher, store).sha256
    seen_alike = recipe.model_dump_json(include={"batch_size", "augmentation", "precision", "held_out", "seed"})
    shape = (recipe.teacher.epochs * steps, recipe.batch_size, variant.classes)
    key = hashlib.sha256("\n".join((sha256, data.sha256, seen_alike, str(shape))).encode()).hexdigest()[:12]
    return Teaching(model, sha256, store.answers_path(name, key), shape)
