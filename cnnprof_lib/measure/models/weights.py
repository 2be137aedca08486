"""Gives a model the weights to profile: those trained, a file's, or initial ones."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import keras
import numpy as np

from ...base.errors import MeasureError
from ...params.variant import VariantSpec
from ...records.conditions import WeightsRecord
from ...records.store import Store

INITIAL_BIAS_STDDEV = 0.01


def load(model: keras.Model, variant: VariantSpec, store: Store, path: Path | None = None) -> WeightsRecord:
    """Loads ``path``, else the reference weights, else leaves the initial ones; says which.

    Args:
        model: The variant's model; changed in place.
        variant: The network.
        store: Where reference weights are.
        path: A ``.weights.h5`` file.

    Raises:
        MeasureError: the weights are another network's, damaged, or not those their record speaks of.
    """
    if path is not None:
        beside = store.training_beside(path)
        if beside is not None and not variant.computes_as(beside.variant):
            raise MeasureError(
                f"{path}: are weights of {beside.variant.name}, as training.json beside them says. "
                f"Received: {variant.name} as the network. Name the variant or the file that belong together."
            )
        _load_file(model, path)
        recipe, dataset = (beside.recipe, beside.dataset) if beside else (None, None)
        return WeightsRecord(origin="file", sha256=file_sha256(path), recipe=recipe, dataset=dataset)
    training = store.read_training(variant.name)
    if training is None:
        fill_zero_weights(model)
        return WeightsRecord(origin="initial", sha256=content_sha256(model), recipe=None, dataset=None)
    path = store.weights_path(variant.name)
    if not variant.computes_as(training.variant):
        raise MeasureError(
            f"{path}: belongs to another network called {variant.name}. Give the changed network a file of its own, "
            f"or move {path.parent} aside and train again: cnnprof train {variant.name}"
        )
    if not path.is_file():
        raise MeasureError(f"{path}: is missing beside its training.json. {store.restore(variant.name)}")
    _load_file(model, path)
    sha256 = file_sha256(path)
    if sha256 != training.weights_sha256:
        raise MeasureError(
            f"{path}: is not the file that training.json beside it speaks of. Received: sha256 {sha256[:12]}. "
            f"{store.restore(variant.name)}"
        )
    return WeightsRecord(origin="reference", sha256=sha256, recipe=training.recipe, dataset=training.dataset)


def fill_zero_weights(model: keras.Model) -> None:
    """Replaces all-zero biases by small random ones.

    Grappler drops an addition of zeros, so that untrained weights would time another graph than trained ones.
    """
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if not np.any(weight.numpy()):
            weight.assign(rng.normal(0.0, INITIAL_BIAS_STDDEV, weight.shape))


def _load_file(model: keras.Model, path: Path) -> None:
    if not path.is_file():
        raise MeasureError(f"{path}: no such weights. Train them: cnnprof train {model.name}")
    if not path.name.endswith(".weights.h5"):
        raise MeasureError(f"{path}: weights must be a .weights.h5 file as Keras writes them.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # by which Keras says that it leaves weights as they are
            model.load_weights(path)
    except OSError:
        raise MeasureError(f"{path}: is damaged. Restore it, for example from Git, or name another file.") from None
    except (ValueError, KeyError, UserWarning):  # Keras' own text lists objects and shapes over many lines
        raise MeasureError(
            f"{path}: does not fit {model.name}; it holds weights of another network. Name another file."
        ) from None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content_sha256(model: keras.Model) -> str:
    """SHA-256 of weights that are in no file."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(weight.numpy().tobytes())
    return digest.hexdigest()
