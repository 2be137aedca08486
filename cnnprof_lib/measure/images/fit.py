"""Whether a data set is what a network takes and what its weights know: asked before TensorFlow is loaded."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path

from ...base.errors import DataError, StoreError, VariantError
from ...params.variant import VariantSpec
from ...records.store import Store
from ...records.training import TrainingRecord
from .official import CLASSES, class_positions
from .sources import DataSet

ORDER_UNKNOWN = "The weights' record names no classes: the labels are numbered in the data set's order"
_OF_CIFAR_10 = ("CIFAR-10", "CIFAR-10 (JPEG copy)", "CIFAR-10 (PNG copy)")


def check_images(dataset: DataSet, variant: VariantSpec, params: Path) -> None:
    """Refuses a network that takes other images, or tells apart another number of classes.

    Args:
        dataset: The images.
        variant: The network.
        params: The folder of its parameter file, for the message.

    Raises:
        VariantError: in one line with the file and the key.
    """
    rows, columns, channels = dataset.test_images.shape[1:]
    size, classes, have = variant.input, len(dataset.classes), f"as the images of {dataset.name} have"
    for holds, key, received, rule in (
        (size.channels == channels, "input.channels", size.channels, f"{channels}, {have}"),
        (size.height <= rows, "input.height", size.height, f"at most {rows}, {have}"),
        (size.width <= columns, "input.width", size.width, f"at most {columns}, {have}"),
        (variant.classes == classes, "classes", variant.classes, f"{classes}, as many as {dataset.name} has"),
    ):
        if not holds:
            raise VariantError(
                f"{params / variant.name}.yaml: `{key}` must be {rule}. Received: {received}. "
                "Change it, name other images, or time the network on generated images with --generated."
            )


def training_of(variant: VariantSpec, store: Store, weights: Path | None = None) -> TrainingRecord | None:
    """The record of a file of weights, or of the reference weights; None where there is none."""
    return store.read_training(variant.name) if weights is None else store.training_beside(weights)


def classes_of(training: TrainingRecord | None) -> tuple[str, ...]:
    """The classes that weights were trained on, in the order of their outputs; empty where no record tells."""
    if training is None:
        return ()
    return training.classes or (CLASSES if training.dataset in _OF_CIFAR_10 else ())


def in_order_of_weights(dataset: DataSet, variant: VariantSpec, store: Store, weights: Path | None = None) -> DataSet:
    """The data set with its labels numbered as the outputs of the weights are.

    The same classes are put in order whatever their capitals; ten called 0 to 9 are taken as CIFAR-10's in the order
    of its release. Where no record of the weights tells their classes, the data set is left as it is.

    Args:
        dataset: The images and labels.
        variant: The network.
        store: Where reference weights are.
        weights: A file of weights, in place of the reference.

    Raises:
        DataError: The weights were trained on other classes.
    """
    wanted: tuple[str, ...] = ()
    with suppress(StoreError):  # a damaged record is for `weights.load` to refuse, and for a training to replace
        wanted = classes_of(training_of(variant, store, weights))
    if not wanted or dataset.classes == wanted:
        return dataset
    positions = class_positions(dataset.classes, wanted)
    if positions is None:
        raise DataError(
            f"{weights or store.weights_path(variant.name)}: were trained on the classes {', '.join(wanted)}. "
            f"Received: {', '.join(dataset.classes)} in {dataset.name}. Name the folders so, or 0 to 9 in the order of "
            "CIFAR-10; to train on classes of your own, name another folder with --outputs."
        )
    return dataclasses.replace(
        dataset,
        classes=wanted,
        train_labels=positions[dataset.train_labels],
        test_labels=positions[dataset.test_labels],
    )
