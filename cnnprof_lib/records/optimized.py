"""What became of a trained network that was made cheaper: every method tried, and the network that was left."""

from __future__ import annotations

from typing import Literal

from ..base.spec import NonNegativeFloat, PositiveInt, Spec
from .conditions import MachineRecord

MethodName = Literal["fold", "no-lrn", "lrn-to-bn", "prune", "low-rank", "separable"]
Outcome = Literal["kept", "dropped", "nothing to change", "no gain predicted"]


class PairedRecord(Spec):
    """Accuracy lost against the network as it was, image by image: shares, negative for a gain, with a 95% interval."""

    images: PositiveInt
    loss: float
    low: float
    high: float


class TriedRecord(Spec):
    """One method, applied to the best network so far."""

    method: MethodName
    outcome: Outcome
    changed: str = ""
    """In words."""
    gain: NonNegativeFloat | None = None
    """Predicted cost after it by that before; None where there was nothing to change."""
    tuned: bool = False
    """Whether it was trained on: only what lost too much as it was is."""
    lost: PairedRecord | None = None
    """Of the network with all that was kept before, on the images held out; None where it was not applied."""
    seconds: NonNegativeFloat
    """It took, training on included."""


class OptimizedRecord(Spec):
    """An optimisation; stored beside the network that it left."""

    schema_version: Literal[1] = 1
    created: str
    """UTC, ISO 8601."""
    name: str
    """Of the new network."""
    source: str
    """The network as it was named to be made cheaper."""
    source_sha256: str
    """Of its weights."""
    model_sha256: str
    """Of the new network's file."""
    preprocessing: str
    """Of images for the new network."""
    machine: MachineRecord
    runtime: str
    batch_size: PositiveInt
    is_predicted: bool
    """Whether gains are of predicted latency; else of multiply-adds and values written."""
    limit_points: NonNegativeFloat
    """Accuracy that may be lost, in percentage points."""
    recipe: str
    dataset: str
    dataset_sha256: str
    tried: tuple[TriedRecord, ...]
    gain: NonNegativeFloat
    """Predicted cost of the new network by that of the old one."""
    lost: PairedRecord
    """On the test images, which were read once, at the end."""
