"""Scores weights: what class each image is given, and how many are right."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ...base.errors import MeasureError
from ...params.variant import VariantSpec
from ...records.run import AccuracyRecord
from ...records.store import Store
from ..images.cache import DataSet
from ..images.fit import in_order_of_weights
from ..images.official import Images, Labels
from ..images.pixels import evaluation_batches
from ..runtimes.memory import require_memory
from . import build as models
from . import weights

EVALUATION_BATCH = 500


class Classifier:
    """A model as it is at each call, asked for the most probable class.

    Args:
        model: From standardized images to logits.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._classify = tf.function(self._most_probable, reduce_retracing=True)  # traced once, not at every call

    def predicted(self, images: Images, labels: Labels) -> Labels:
        """The most probable class of every image.

        Args:
            images: (n, height, width, channels), uint8; the model sees the centre.
            labels: (n,).

        Returns:
            (n,), in the order of ``images``, the last partial batch included.
        """
        _, height, width, _ = self.model.input_shape
        batches = evaluation_batches(images, labels, height, width, EVALUATION_BATCH)
        return np.concatenate([self._classify(tf.constant(batch)).numpy() for batch, _ in batches]).astype(np.int32)

    def _most_probable(self, images: tf.Tensor) -> tf.Tensor:
        return tf.argmax(self.model(images, training=False), axis=1)


def accuracy(predicted: Labels, labels: Labels, dataset: str, weights_sha256: str) -> AccuracyRecord:
    """How many of the predicted classes are right, as a record."""
    correct = int((predicted == labels).sum())
    return AccuracyRecord(
        correct=correct, images=len(labels), dataset=dataset, measured=True, weights_sha256=weights_sha256
    )


def evaluate(variant: VariantSpec, dataset: DataSet, store: Store, path: Path | None = None) -> AccuracyRecord:
    """Top-1 accuracy on all test images of ``dataset``.

    Args:
        variant: The network.
        dataset: The images.
        store: Where reference weights are.
        path: A ``.weights.h5`` file to score in place of the reference weights.

    Raises:
        MeasureError: the weights are missing, damaged or another network's, or memory cannot hold the network.
        DataError: they were trained on other classes.
    """
    require_memory(variant.network, min(EVALUATION_BATCH, len(dataset.test_labels)))
    dataset = in_order_of_weights(dataset, variant, store, path)
    built = models.build(variant, seed=0)
    loaded = weights.load(built, variant, store, path)
    if loaded.origin == "initial":
        raise MeasureError(
            f"{store.weights_path(variant.name)}: no such weights. Train them: cnnprof train {variant.name}"
        )
    predicted = Classifier(built).predicted(dataset.test_images, dataset.test_labels)
    return accuracy(predicted, dataset.test_labels, dataset.name, loaded.sha256)
