"""Latency of a network that was never run, with an interval, from what a runtime was calibrated by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...base.errors import StoreError
from ...params.network import Network
from ...records.calibration import ProbeRecord, ProbesRecord
from .model import Example, UnitModel, require_sklearn
from .units import Unit, units_of

FEWEST_PROBES = 40
_LEVEL = 0.95
_SLACK = 0.25
"""Doublings by which a size may lie beyond those measured: a fifth more or less."""


@dataclass(frozen=True)
class Prediction:
    """What is known of a network's latency before it is run, in seconds per step of one batch.

    Attributes:
        latency_s: The latency.
        low_s: Lower end of its 95% interval.
        high_s: Upper end.
        layers_s: Of each layer; None for one that is computed together with another before it.
        call_s: What is left for the call itself.
        outside: Layers unlike any that were measured. The interval does not hold for them.
        measured: Whether the calibration measured this very network.
    """

    latency_s: float
    low_s: float
    high_s: float
    layers_s: Mapping[str, float | None]
    call_s: float
    outside: tuple[str, ...]
    measured: bool = False

    def for_scripts(self) -> dict[str, Any]:
        """As ``predict --json`` prints it."""
        return {
            "latency_s": {"median": self.latency_s, "ci95": [self.low_s, self.high_s]},
            "layers": [{"layer": layer, "time_s": time_s} for layer, time_s in self.layers_s.items()],
            "outside": list(self.outside),
        }


@dataclass(frozen=True)
class Predictor:
    """A calibrated runtime.

    Attributes:
        reference_s: Seconds of the reference's step.
        model: Times of units, in steps of the reference.
        widening: By what the model's deviation is multiplied for a 95% interval.
        ranges: Smallest and largest size of each kind of unit measured, see `Unit.sizes`.
        beside: What layers were computed together with each kind.
        twins: Ratios of the networks measured, by what they are made of.
    """

    reference_s: float
    model: UnitModel
    widening: float
    ranges: Mapping[str, tuple[Any, Any]]
    beside: Mapping[str, frozenset[str]]
    twins: Mapping[tuple[Any, ...], float] = field(repr=False)

    @classmethod
    def of(cls, record: ProbesRecord) -> Predictor:
        """Fits a predictor to a calibration.

        Raises:
            MeasureError: scikit-learn is not installed.
            StoreError: too few networks were measured.
        """
        require_sklearn()
        if len(record.probes) < FEWEST_PROBES:
            raise StoreError(
                f"The calibration of runtime {record.runtime} must hold at least {FEWEST_PROBES} networks. Received: "
                f"{len(record.probes)}. Go on: cnnprof calibrate --runtime {record.runtime}"
            )
        examples = [example_of(probe) for probe in record.probes]
        ranges, beside = _measured(examples)
        model = UnitModel(examples)
        return cls(
            record.reference_s,
            model,
            _widening(model.misses),
            ranges,
            beside,
            {_made_of(example.units, example.batch_size): example.time for example in examples},
        )

    def predict(self, network: Network, batch_size: int) -> Prediction:
        """The latency of a network in batches of one size."""
        units = units_of(network)
        found = self.model.estimate(units, batch_size)
        twin = self.twins.get(_made_of(units, batch_size))
        ratio = found.time if twin is None else twin
        times_s = found.times / found.time * ratio * self.reference_s
        factor = math.exp(self.widening * found.deviation)
        layers_s: dict[str, float | None] = {layer.name: None for layer in network.layers}
        layers_s |= {unit.layer: float(time_s) for unit, time_s in zip(units[1:], times_s[1:], strict=True)}
        latency_s = ratio * self.reference_s
        return Prediction(
            latency_s,
            latency_s / factor,
            latency_s * factor,
            {name: time_s if time_s != 0 else None for name, time_s in layers_s.items()},
            float(times_s[0]),
            tuple(unit.layer for unit in units[1:] if self._is_outside(unit, batch_size)),
            twin is not None,
        )

    def _is_outside(self, unit: Unit, batch_size: int) -> bool:
        if unit.kind not in self.ranges or not unit.beside <= self.beside[unit.kind]:
            return True
        low, high = self.ranges[unit.kind]
        sizes = unit.sizes(batch_size)
        return bool(np.any(sizes < low - _SLACK) or np.any(sizes > high + _SLACK))


def example_of(probe: ProbeRecord) -> Example:
    """A measured network as the model learns from it: times in steps of the reference."""
    units = units_of(probe.network)
    times = {
        place: sum(probe.layers_s.get(layer, 0.0) for layer in unit.layers) / probe.reference_s
        for place, unit in enumerate(units)
    }
    traced = {place: time for place, time in times.items() if time > 0}
    return Example(units, probe.batch_size, probe.ratio, traced, probe.waited_share)


def _measured(examples: Sequence[Example]) -> tuple[dict[str, tuple[Any, Any]], dict[str, frozenset[str]]]:
    """Smallest and largest sizes, and what was computed beside, by kind."""
    sizes: dict[str, list[Any]] = {}
    beside: dict[str, frozenset[str]] = {}
    for example in examples:
        for unit in example.units[1:]:
            sizes.setdefault(unit.kind, []).append(unit.sizes(example.batch_size))
            beside[unit.kind] = beside.get(unit.kind, frozenset()) | unit.beside
    return {kind: (np.min(rows, axis=0), np.max(rows, axis=0)) for kind, rows in sizes.items()}, beside


def _widening(misses: Any) -> float:
    """How many deviations 95% of the networks are missed by at most, by a model that does not know them."""
    rank = math.ceil(_LEVEL * (len(misses) + 1))
    return float(np.sort(misses)[min(rank, len(misses)) - 1])


def _made_of(units: Sequence[Unit], batch_size: int) -> tuple[Any, ...]:
    """Units without their names: what two networks have in common that differ in nothing."""
    return (batch_size, *(replace(unit, layer="", layers=()) for unit in units))
