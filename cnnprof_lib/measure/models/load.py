"""A network with its weights, ready to be opened by a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import keras

from ...params.network import Network
from ...params.variant import VariantSpec
from ...records.run import WeightsRecord
from ...records.store import Store
from . import build, weights
from .graph import FrozenGraph, freeze


@dataclass(frozen=True)
class LoadedNetwork:
    """A network as a model, for batches of one size."""

    network: Network
    model: keras.Model
    weights: WeightsRecord
    batch_size: int

    @cached_property
    def frozen(self) -> FrozenGraph:
        """Its inference as TensorFlow's graph."""
        return freeze(self.model, self.batch_size)


def load_network(variant: VariantSpec, store: Store, *, batch_size: int, seed: int) -> LoadedNetwork:
    """Builds a variant with its reference weights, or initial ones.

    Args:
        variant: The network.
        store: Where reference weights are.
        batch_size: Images per step.
        seed: Seed of initial weights.
    """
    model = build.build(variant, seed)
    return LoadedNetwork(variant.network, model, weights.load(model, variant, store), batch_size)
