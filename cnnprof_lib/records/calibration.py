"""What a machine was calibrated by: designed networks, each measured beside one reference network."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ..base.spec import NonNegativeFloat, PositiveFloat, PositiveInt, Spec
from ..params.network import Network
from .conditions import MachineRecord


class ProbeRecord(Spec):
    """One network, measured beside the reference."""

    family: str
    """What kind of network it was made to resemble."""
    network: Network
    batch_size: PositiveInt
    step_s: PositiveFloat
    """Its step, as it is if nothing else runs."""
    reference_s: PositiveFloat
    """That of the reference, whose steps alternate with its own."""
    waited_share: NonNegativeFloat
    """How much of the time even the least disturbed steps waited for others: the larger share of the two."""
    layers_s: Mapping[str, NonNegativeFloat] = Field(default_factory=dict)
    """Median time of each layer's kernels in the traced steps; empty where the runtime cannot trace."""

    @property
    def ratio(self) -> float:
        """Its step to that of the reference: the machine's drift cancels."""
        return self.step_s / self.reference_s


class ProbesRecord(Spec):
    """All that a calibration of one runtime measured."""

    schema_version: Literal[1] = 1
    created: str
    runtime: str
    machine: MachineRecord
    versions: Mapping[str, str]
    """Of the runtime's libraries."""
    reference: str
    """What was measured beside all, in the same runtime, in words."""
    seed: int
    """Of the design."""
    drawn: Annotated[int, Field(ge=0)]
    """How far in the design it came, networks that the runtime refused included."""
    spent_s: NonNegativeFloat
    """Time of measuring, all commands together."""
    probes: tuple[ProbeRecord, ...]

    @property
    def reference_s(self) -> float:
        """Seconds of the reference's step: the median beside all probes."""
        return statistics.median(probe.reference_s for probe in self.probes)
