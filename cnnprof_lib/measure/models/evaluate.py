"""Scores weights: what class each image is given, and how many are right."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ...base.errors import MeasureError
from ...params.network import Network
from ...params.variant import VariantSpec
from ...records.run import AccuracyRecord
from ...records.store import Store
from ..images.cache import DataSet
from ..images.fit import in_order_of_weights
from ..images.official import Images, Labels
from ..images.pixels import evaluation_batches, fitted, preprocessor
from ..prepare import as_input, image_shape
from ..runtimes.memory import require_memory
from . import build as models
from . import weights
from .graph import FrozenGraph, function_of

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
    return top1(built, dataset, loaded.sha256)


def top1(model: keras.Model, dataset: DataSet, weights_sha256: str) -> AccuracyRecord:
    """Top-1 accuracy of a variant on all test images, as a record."""
    predicted = Classifier(model).predicted(dataset.test_images, dataset.test_labels)
    return accuracy(predicted, dataset.test_labels, dataset.name, weights_sha256)


def top1_of_graph(
    frozen: FrozenGraph, network: Network, dataset: DataSet, weights_sha256: str, preprocessing: str
) -> AccuracyRecord | None:
    """Top-1 accuracy of a frozen graph on all test images, resized; None where it gives no value for each class.

    Args:
        frozen: The graph, of any batch size.
        network: What it is.
        dataset: The images.
        weights_sha256: Of its weights.
        preprocessing: See `pixels.preprocessor`.
    """
    count = len(dataset.test_labels)
    if frozen.shapes.get(frozen.logits_name, ())[1:] != (len(dataset.classes),):
        return None
    height, width, _ = image_shape(network.inputs)
    prepare, (feed,) = preprocessor(preprocessing), frozen.feeds
    classify = function_of(frozen)
    predicted = []
    for start in range(0, count, frozen.batch_size):
        part = np.arange(start, start + frozen.batch_size) % count  # the last batch is filled up
        values = as_input(prepare(fitted(dataset.test_images[part], height, width)), feed.shape[1:])
        predicted.append(np.argmax(classify(tf.constant(values, feed.dtype)), axis=1))
    return accuracy(np.concatenate(predicted)[:count], dataset.test_labels, dataset.name, weights_sha256)
