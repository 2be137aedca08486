"""A network trained on after it was changed, and what it answers to images that it never learnt from."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ...base.errors import TrainingError
from ...params.model import CROP, NetworkSpec, preprocessing_of
from ...params.network import Tensor
from ...params.settings import ITSELF, RecipeSpec
from ...params.variant import InputSpec
from ..images import pixels
from ..images.cache import DataSet
from ..images.official import Images, Labels
from ..images.pixels import Pixels
from ..models.evaluate import EVALUATION_BATCH
from ..prepare import feeder, held_out, image_shape
from ..training.batches import training_batches
from ..training.optimize import Trainer
from .rebuild import logits_of

OnStep = Callable[[int, float], None]
"""Told the step and the loss."""
_TOLD_EVERY = 20
_MOST_SAMPLED, _SAMPLED_BYTES = 1024, 256 << 20


@dataclass(frozen=True)
class Tuner:
    """Images for one network: some to train on, others to choose by, and how it takes them.

    Attributes:
        data: All of them, labels numbered as the network gives them.
        size: Of the network's input.
        how: Its preprocessing, see `pixels.preprocessor`.
        feed: Makes an input of images, as when it is measured.
        train: Which of the training images are trained on.
        held_out: Which of them are chosen by.
    """

    data: DataSet
    size: InputSpec
    how: str
    feed: Callable[[Images], npt.NDArray[np.generic]]
    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]

    @classmethod
    def of(cls, spec: NetworkSpec, tensor: Tensor, data: DataSet) -> Tuner:
        """Lays the images out for a network.

        Args:
            spec: The network.
            tensor: Its input.
            data: The images.

        Raises:
            DataError: it takes no images, or those of other channels.
            TrainingError: there are too few of a class to hold any out.
        """
        held = held_out(data.train_labels)
        rest = np.setdiff1d(np.arange(len(data.train_labels)), held)
        if not len(rest):
            fewest = min(np.bincount(data.train_labels, minlength=len(data.classes)))
            raise TrainingError(
                f"{data.name}: must have at least 10 training images of each class, of which one is held out to choose "
                f"by. Received: {fewest}. Add images."
            )
        how = preprocessing_of(spec)
        height, width, channels = image_shape([tensor])
        size = InputSpec(height=height, width=width, channels=channels)
        return cls(data, size, how, feeder(data, [tensor], how), rest, held)

    def sample(self) -> tuple[Pixels, Labels]:
        """Some of the images trained on, as the network is fed, and their classes."""
        bytes_each = 4 * math.prod(self.size.shape)
        count = min(_MOST_SAMPLED, max(1, _SAMPLED_BYTES // bytes_each), len(self.train))
        some = np.sort(np.random.default_rng(0).permutation(self.train)[:count])
        return self.feed(self.data.train_images[some]).astype(np.float32), self.data.train_labels[some]

    def right(self, model: keras.Model) -> npt.NDArray[np.bool_]:
        """Of each image held out whether the model's most probable class is its own."""
        return self._predicted(model, self.data.train_images, self.held_out) == self.data.train_labels[self.held_out]

    def right_of_test(self, model: keras.Model) -> npt.NDArray[np.bool_]:
        """The same of each test image."""
        every = np.arange(len(self.data.test_labels))
        return self._predicted(model, self.data.test_images, every) == self.data.test_labels

    def _predicted(self, model: keras.Model, images: Images, which: npt.NDArray[np.int64]) -> Labels:
        classify = tf.function(lambda values: tf.argmax(model(values, training=False), axis=1), reduce_retracing=True)
        parts = [which[start : start + EVALUATION_BATCH] for start in range(0, len(which), EVALUATION_BATCH)]
        found = [classify(tf.constant(self.feed(images[part]))).numpy() for part in parts]
        return np.concatenate(found).astype(np.int32)

    def tune(
        self,
        model: keras.Model,
        recipe: RecipeSpec,
        as_it_was: keras.Model,
        on_step: OnStep = lambda step, loss: None,
    ) -> None:
        """Trains a model on, in place; a small data set gives smaller batches than the recipe has.

        Args:
            model: The model.
            recipe: How.
            as_it_was: Its teacher, if the recipe names `ITSELF`.
            on_step: Told some of the steps.

        Raises:
            TrainingError: the recipe is one for trainings from the start, or the loss is no number.
        """
        keras.utils.set_random_seed(recipe.seed)
        recipe = _for_tuning(recipe).model_copy(update={"batch_size": min(recipe.batch_size, len(self.train))})
        trainer, teacher = Trainer(logits_of(model), recipe), logits_of(as_it_was)
        answer = tf.function(lambda images: teacher(images, training=False), reduce_retracing=True)
        cropped = self.how == CROP
        batches = training_batches(
            self.data,
            self.train,
            recipe,
            self.size,
            0,
            ask=(lambda place, images: answer(images).numpy()) if recipe.teacher else None,
            fit=None if cropped else lambda images: pixels.fitted(images, self.size.height, self.size.width),
            finish=None if cropped else pixels.preprocessor(self.how),
        )
        with contextlib.closing(batches):
            for step in range(1, recipe.steps + 1):
                loss, _ = trainer.step(*next(batches))
                if step % _TOLD_EVERY and step < recipe.steps:
                    continue
                if not np.isfinite(float(loss)):
                    raise TrainingError(
                        f"{model.name}: the loss is {float(loss)} in step {step}. "
                        f"Lower the rate in `schedule` of recipe {recipe.name}."
                    )
                on_step(step, float(loss))
        trainer.model.set_weights(trainer.weights())


def _for_tuning(recipe: RecipeSpec) -> RecipeSpec:
    """Refuses a recipe by which no changed network can be trained on."""
    if recipe.precision != "float32" or (recipe.teacher and recipe.teacher.name != ITSELF):
        raise TrainingError(
            f"recipe {recipe.name}: must be in float32, and without a teacher or with `{ITSELF}`, to train on what was "
            "changed. Name another: --recipe tune"
        )
    return recipe
