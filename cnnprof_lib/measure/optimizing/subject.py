"""What a method is applied to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from ...params.network import Network
from ..images.official import Labels
from ..images.pixels import Pixels

Cost = Callable[[Network], float]
"""What a network costs: seconds per step if they can be predicted, or anything else that is to be less."""


@dataclass(frozen=True)
class Subject:
    """A trained network, and what a method may go by.

    Attributes:
        model: A functional model of layers of its own, of one input and one output.
        network: The same as a record.
        cost: What a network costs.
        target: What it is to cost.
        images: Some training images, as the network is fed.
        labels: Their classes.
    """

    model: keras.Model
    network: Network
    cost: Cost
    target: float
    images: Pixels
    labels: Labels
