"""Trains a variant by a recipe: resumable, and the same from start to end whether interrupted or not.

Batch order and augmentation depend on the recipe's seed and the step alone, and a checkpoint holds
weights, averages, optimiser state and step, so that a resumed training repeats nothing and skips nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from ...base.errors import TrainingError
from ...base.files import try_writing, writing
from ...base.locks import only_process
from ...base.stamps import utc_now
from ...params.settings import RecipeSpec
from ...params.variant import VariantSpec
from ...records.store import Store
from ...records.trained_store import WEIGHTS
from ...records.training import HistoryRow, TrainingRecord, TrialRecord
from .. import machine
from ..images.cache import DataSet
from ..images.fit import in_order_of_weights
from ..images.official import Labels
from ..images.pixels import HELD_OUT_SEED, held_out_split
from ..models import build as models
from ..models.evaluate import EVALUATION_BATCH, Classifier, accuracy
from ..private import onednn_is_on
from ..runtimes.memory import require_memory
from .batches import Batch, training_batches
from .checkpoint import Checkpoint, identity
from .optimize import Trainer
from .teaching import teaching_of

OnRow = Callable[[HistoryRow], None]


def train(
    variant: VariantSpec,
    recipe: RecipeSpec,
    data: DataSet,
    store: Store,
    *on_row: OnRow,
    reference: bool = True,
) -> TrainingRecord:
    """Trains a variant and stores weights, outcomes and record; resumes where a checkpoint is.

    Args:
        variant: The network.
        recipe: How to train it.
        data: The images; the held-out part of the training images is never trained on, and the test
            images are read once, at the end.
        store: Where checkpoint, weights, outcomes and record go.
        on_row: Each called with each new row of the history.
        reference: Whether the result becomes the variant's reference, or stands beside it under the recipe's key.

    Raises:
        DataError: there are reference weights, trained on other classes.
        TrainingError: another process trains the same, the checkpoint belongs to another network, recipe or teacher,
            the teacher does not fit, a batch is larger than the data, or the loss is no longer a number.
        StoreError: something cannot be written. Older results are intact.
        MeasureError: memory cannot hold the network.
    """
    with _under_way(variant, recipe, data, store, store.reference_dir(variant.name)) as training:
        training.go_on(on_row)
        return training.finish(store, reference)


def try_out(variant: VariantSpec, recipe: RecipeSpec, data: DataSet, store: Store, *on_row: OnRow) -> TrialRecord:
    """Trains a variant to compare it with others by the images held out; resumes where a checkpoint is.

    It stores nothing that lasts, and hands no test image on.

    Args:
        variant: The network.
        recipe: How to train it.
        data: The images.
        store: Where the checkpoint goes, and where a teacher's weights are.
        on_row: Each called with each new row of the history.

    Raises:
        CnnprofError: as `train`; also where the recipe holds no images out.
    """
    if not recipe.held_out:
        raise TrainingError(
            f"recipe {recipe.name}, `held_out`: must be at least 1, for networks are compared by those images. "
            "Received: 0. Hold some out, 5000 for example."
        )
    without_test = dataclasses.replace(data, test_images=data.test_images[:0], test_labels=data.test_labels[:0])
    with _under_way(variant, recipe, without_test, store, store.training_dir(variant.name, recipe.key)) as training:
        training.go_on(on_row)
        return training.trial()


@contextlib.contextmanager
def _under_way(
    variant: VariantSpec, recipe: RecipeSpec, data: DataSet, store: Store, home: Path
) -> Iterator[_Training]:
    """A training that no other process makes; its checkpoint goes when the block ends without an error.

    Args:
        variant: The network.
        recipe: How to train it.
        data: The images.
        store: Where the checkpoint is.
        home: Where the result goes, to find out beforehand whether it can be written.
    """
    scored_at_once = min(EVALUATION_BATCH, max(len(data.test_labels), recipe.held_out))
    require_memory(variant.network, max(scored_at_once, recipe.batch_size // 2))  # bfloat16 takes half of float32
    data = in_order_of_weights(data, variant, store)
    try_writing(home)
    with only_process(store.training_dir(variant.name, recipe.key), "is training the same", TrainingError):
        training = _Training(variant, recipe, data, store)
        yield training
        training.checkpoint.remove()


class _Training:
    """One training, from its checkpoint to its record."""

    def __init__(self, variant: VariantSpec, recipe: RecipeSpec, data: DataSet, store: Store) -> None:
        self.variant, self.recipe, self.data = variant, recipe, data
        self.keep, self.held_out = held_out_split(data.train_labels, recipe.held_out)
        if len(self.keep) < recipe.batch_size:
            raise TrainingError(
                f"recipe {recipe.name}, batch_size: must be at most {len(self.keep):,}, the training images of "
                f"{data.name} that are not held out. Received: {recipe.batch_size:,}. Choose a smaller batch."
            )
        self.teaching = teaching_of(variant, recipe, data, store, len(self.keep) // recipe.batch_size)
        taught_by = [self.teaching.sha256] if self.teaching else []
        path = store.training_dir(variant.name, recipe.key) / "checkpoint.npz"
        self.checkpoint = Checkpoint(path, identity(variant, recipe, data.sha256, *taught_by))
        self.scored = Classifier(models.build(variant, recipe.seed))
        self.trainer = Trainer(models.build(variant, recipe.seed, recipe.precision), recipe)
        self.progress = self.checkpoint.restore(self.trainer.state)

    def go_on(self, on_row: Sequence[OnRow]) -> None:
        """The loop, up to the last step."""
        recipe, progress = self.recipe, self.progress
        ask = self.teaching.ask if self.teaching else None
        batches = training_batches(self.data, self.keep, recipe, self.variant.input, progress.step, ask)
        while progress.step < recipe.steps:
            row = self._advance(min(progress.step + recipe.checkpoint_every, recipe.steps), batches)
            progress.history.append(row)
            self.checkpoint.save(progress, self.trainer.state)
            for tell in on_row:
                tell(row)

    def _advance(self, until: int, batches: Iterator[Batch]) -> HistoryRow:
        """Trains up to step ``until`` and returns the row that sums it up.

        Raises:
            TrainingError: a loss or a variable is no longer a number.
        """
        losses, accuracies, steps_s = [], [], []
        for step in range(self.progress.step + 1, until + 1):
            start = time.perf_counter()
            loss, share = self.trainer.step(*next(batches))
            losses.append(float(loss))
            accuracies.append(float(share))
            steps_s.append(time.perf_counter() - start)
            if not np.isfinite(losses[-1]):
                self._stop(step, f"the loss is {losses[-1]}")
        if not all(np.isfinite(variable.numpy()).all() for variable in self.trainer.state):
            self._stop(until, "a weight is not a number")  # to which the next loss would testify too late
        self.progress.step = until
        self.progress.seconds += sum(steps_s)
        return HistoryRow(
            step=until,
            loss=statistics.fmean(losses),
            accuracy=statistics.fmean(accuracies),
            learning_rate=self.trainer.learning_rate,
            images_per_s=self.recipe.batch_size * len(steps_s) / sum(steps_s),
            step_s=statistics.median(steps_s),
            held_out_accuracy=self._held_out_accuracy(),
        )

    def _stop(self, step: int, what: str) -> None:
        raise TrainingError(
            f"{self.variant.name}: {what} in step {step}. {self.checkpoint.describe(self.progress.step)}; "
            f"lower the rate in `schedule` of recipe {self.recipe.name}."
        )

    def _held_out_accuracy(self) -> float | None:
        """Of the weights as they would be kept now."""
        if not len(self.held_out):
            return None
        self.scored.model.set_weights(self.trainer.weights())
        predicted, labels = self._held_out_outcomes()
        return float((predicted == labels).mean())

    def _held_out_outcomes(self) -> tuple[Labels, Labels]:
        images, labels = self.data.train_images[self.held_out], self.data.train_labels[self.held_out]
        return self.scored.predicted(images, labels), labels

    def trial(self) -> TrialRecord:
        """Scores the weights on the held-out images alone."""
        self.scored.model.set_weights(self.trainer.weights())
        sha256 = hashlib.sha256(_weights_file(self.scored.model)).hexdigest()
        return TrialRecord(
            created=utc_now(),
            machine=machine.describe(onednn=onednn_is_on()),
            dataset=self.data.name,
            dataset_sha256=self.data.sha256,
            held_out=accuracy(*self._held_out_outcomes(), self.data.name, sha256),
            seconds=self.progress.seconds,
            step_s=self._step_s(),
            history=tuple(self.progress.history),
        )

    def finish(self, store: Store, reference: bool) -> TrainingRecord:
        """Scores the weights on the held-out and the test images, and stores all there is to keep."""
        recipe, data, progress = self.recipe, self.data, self.progress
        self.scored.model.set_weights(self.trainer.weights())
        predicted = self.scored.predicted(data.test_images, data.test_labels)
        weights = _weights_file(self.scored.model)
        sha256 = hashlib.sha256(weights).hexdigest()
        record = TrainingRecord(
            variant=self.variant,
            recipe=recipe.name,
            settings=recipe,
            teacher_sha256=self.teaching.sha256 if self.teaching else None,
            created=utc_now(),
            machine=machine.describe(onednn=onednn_is_on()),
            steps=recipe.steps,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            held_out_seed=HELD_OUT_SEED,
            dataset=data.name,
            dataset_sha256=data.sha256,
            classes=data.classes,
            seconds=progress.seconds,
            step_s=self._step_s(),
            held_out=accuracy(*self._held_out_outcomes(), data.name, sha256) if len(self.held_out) else None,
            test=accuracy(predicted, data.test_labels, data.name, sha256),
            weights_sha256=sha256,
            history=tuple(progress.history),
        )
        key = None if reference else recipe.key
        store.write_training(record, weights, predicted, data.test_labels, key)
        return record

    def _step_s(self) -> float:
        return statistics.median(row.step_s for row in self.progress.history if row.step_s)


def _weights_file(model: keras.Model) -> bytes:
    """The model's weights as Keras writes them."""
    with tempfile.TemporaryDirectory() as folder, writing(Path(folder)):
        path = Path(folder) / WEIGHTS
        model.save_weights(path)
        return path.read_bytes()
