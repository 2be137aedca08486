"""A network with its weights, ready to be opened by a runtime: a variant, or a model of somebody's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import keras

from ...params.model import ModelSpec, NetworkSpec
from ...params.network import Network
from ...records.conditions import WeightsRecord
from ...records.store import Store
from . import build, weights
from .describe import network_of
from .graph import FrozenGraph
from .open import OpenModel, freeze_keras, open_model


@dataclass(frozen=True)
class LoadedNetwork:
    """A network for batches of one size.

    Attributes:
        network: What it is.
        weights: What it computes with.
        batch_size: Images per step.
        freeze: Makes its graph for batches of any size.
        model: As Keras has it; None for one that is not Keras'.
    """

    network: Network
    weights: WeightsRecord
    batch_size: int
    freeze: Callable[[int], FrozenGraph]
    model: keras.Model | None = None

    @cached_property
    def frozen(self) -> FrozenGraph:
        """Its inference as TensorFlow's graph."""
        return self.freeze(self.batch_size)


def load_network(spec: NetworkSpec, store: Store, *, batch_size: int, seed: int) -> LoadedNetwork:
    """Loads a network with its weights.

    Args:
        spec: A variant, with its reference weights or initial ones, or a model.
        store: Where reference weights are.
        batch_size: Images per step.
        seed: Seed of initial weights.

    Raises:
        CnnprofError: it cannot be loaded, in one line.
    """
    if isinstance(spec, ModelSpec):
        return loaded_of(spec, open_model(spec, seed), batch_size, "file" if spec.is_file else "initial")
    model = build.build(spec, seed)
    loaded = weights.load(model, spec, store)
    return LoadedNetwork(spec.network, loaded, batch_size, lambda size: freeze(model, size), model)


def freeze(model: keras.Model, batch_size: int) -> FrozenGraph:
    """Freezes the inference of a functional or sequential model whose input shapes are known."""
    return freeze_keras(model, [tuple(tensor.shape[1:]) for tensor in model.inputs], batch_size)[0]


def loaded_of(
    spec: ModelSpec, opened: OpenModel, batch_size: int, origin: Literal["file", "initial", "memory"]
) -> LoadedNetwork:
    """A model that was opened, ready to be stepped, with where its weights are from."""
    frozen, facts = opened.freeze(batch_size)
    network = network_of(
        frozen,
        facts,
        opened.inputs,
        name=spec.name,
        title=spec.title,
        file=spec.model,
        file_sha256=opened.sha256 if spec.is_file else None,
    )
    record = WeightsRecord(origin=origin, sha256=opened.sha256, recipe=None, dataset=None)
    loaded = LoadedNetwork(network, record, batch_size, lambda size: opened.freeze(size)[0], opened.model)
    loaded.__dict__["frozen"] = frozen  # made already
    return loaded
