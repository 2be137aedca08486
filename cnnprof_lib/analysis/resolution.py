"""What the baseline against itself says of this machine: how often it errs, and what it can tell apart."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..params.settings import CHECK_ROUNDS
from ..records.conditions import MachineRecord
from ..records.machine import CheckRecord, PairRecord, PartRecord
from ..records.run import MAC_OPS, RunRecord
from ..records.store import Store
from .estimates import CONFIDENCE, BlocksOfSteps, Estimate, are_units, ratio_of_blocks

NOTABLE_SHARE = 0.01
"""Own choice: from this share of the step on a part shows how far parts of its kind differ between sessions."""


@dataclass(frozen=True)
class Resolution:
    """The outcome of a check. A *reach* is the ratio above 1 that 95% of new ones stay within, or within its inverse.

    Attributes:
        rounds: The ratio of each round, whose true value is 1, with its 95% interval.
        excluding: Rounds whose interval excludes 1; 1 in 20 is what 95% intervals promise.
        width: Median width of the intervals.
        unseen_ratio: The reach of what intervals over blocks do not see, the difference between two sessions: widened
            by it (see `Estimate`), 95% of the intervals of new rounds hold 1.
        smallest_ratio: The reach of the rounds' ratios. A measured ratio nearer to 1 is what this machine shows for
            two networks that are the same.
        kernel_ratio: The largest ratio, or inverse, of the times of one layer's multiply-adds in two sessions. A reach
            would let one layer in twenty be called different, and a network has many.
        side_ratio: The same of the times of everything else in one layer. Both are NaN where nothing was traced.
    """

    rounds: tuple[Estimate, ...]
    excluding: int
    width: float
    unseen_ratio: float
    smallest_ratio: float
    kernel_ratio: float
    side_ratio: float

    def __str__(self) -> str:
        """One clause: what the baseline against itself shows."""
        return f"two copies of the baseline differ by a ratio of up to {self.smallest_ratio:.3f}"

    def distinguishes(self, ratio: float) -> bool:
        """Whether a measured ratio differs from 1 by more than the machine's own noise."""
        return is_beyond(ratio, self.smallest_ratio)


def is_beyond(ratio: float, smallest: float) -> bool:
    """Whether a ratio differs from 1 by more than ``smallest``, a ratio above 1, or its inverse."""
    return abs(float(np.log(ratio))) > float(np.log(smallest))


INDISTINCT = "not distinguishable here"
"""Said of a ratio that two networks that are the same could show."""


def resolution(record: CheckRecord) -> Resolution | None:
    """Judges a check; None where it has too few rounds or blocks."""
    if len(record.rounds) < CHECK_ROUNDS:
        return None
    rounds = tuple(ratio_of_blocks(pair.first_s, pair.second_s) for pair in record.rounds)
    excluding = sum(estimate.low > 1 or estimate.high < 1 for estimate in rounds)
    width = float(np.median([estimate.high - estimate.low for estimate in rounds]))
    if math.isnan(width):
        return None
    kernels, side = _layer_ratios(record)
    unseen = reach([np.exp(_unseen(estimate)) for estimate in rounds])
    return Resolution(rounds, excluding, width, unseen, reach([estimate.value for estimate in rounds]), kernels, side)


def _layer_ratios(record: CheckRecord) -> tuple[float, float]:
    """``kernel_ratio`` and ``side_ratio`` of a `Resolution`."""
    if not all(pair.parts for pair in record.rounds):
        return math.nan, math.nan
    parts = pd.DataFrame([part.model_dump() for pair in record.rounds for part in _notable(pair)])
    parts["off"] = np.abs(np.log(parts["first_s"] / parts["second_s"]))
    largest = parts.groupby(parts["op"].isin(MAC_OPS))["off"].max()
    kernels, side = (float(np.exp(largest.get(own, 0.0))) for own in (True, False))
    return kernels, side


def _unseen(estimate: Estimate) -> float:
    """The logarithm by which an interval of a ratio that is 1 has to be widened to hold 1; 0 where it does."""
    off = abs(np.log(estimate.value))
    seen = np.log(estimate.value / estimate.low if estimate.value > 1 else estimate.high / estimate.value)
    return float(np.sqrt(max(off**2 - seen**2, 0.0)))


def _notable(pair: PairRecord) -> list[PartRecord]:
    """Parts so long that sessions differ in them by a share of their time, not by single microseconds."""
    least_s = NOTABLE_SHARE * sum(part.second_s for part in pair.parts)
    return [part for part in pair.parts if min(part.first_s, part.second_s) > least_s]


def reach(ratios: ArrayLike) -> float:
    """The ratio above 1 that 95% of new ratios stay within, or within its inverse, going by ``ratios``.

    It is the value that a new one of the same distribution, whatever it is, exceeds in at most 5% of cases: of n
    deviations from 1, sorted, the one at ceil(0.95 (n + 1)). Source: Wilks, "Determination of sample sizes for setting
    tolerance limits", Annals of Mathematical Statistics 12, 1941.
    """
    deviations = np.sort(np.abs(np.log(ratios)))
    place = min(math.ceil(CONFIDENCE * (len(deviations) + 1)), len(deviations))
    return float(np.exp(deviations[place - 1]))


ResolutionOf = Callable[[RunRecord], Resolution | None]
"""Tells what its machine can tell apart in a run's runtime; None where that was not checked there."""


def not_checked(record: RunRecord) -> Resolution | None:
    """A `ResolutionOf` that knows of no check."""
    return None


def checked_by(store: Store) -> ResolutionOf:
    """A `ResolutionOf` by the checks of a store, each of which is read once. A check counts on its own machine only."""

    @functools.cache
    def judged(runtime: str, machine: MachineRecord) -> Resolution | None:
        check = store.read_check(runtime, machine)
        return resolution(check) if check else None

    def resolution_of(record: RunRecord) -> Resolution | None:
        found = judged(record.runtime, record.machine)
        # The oldest checks timed no layers, which runs that were traced are asked for.
        return None if found and math.isnan(found.kernel_ratio) and record.is_traced else found

    return resolution_of


def ratio_to_baseline(record: RunRecord, resolution: Resolution | None) -> Estimate:
    """Unprofiled step over the baseline's in the same process, by paired blocks; NaN without a baseline.

    Args:
        record: The run.
        resolution: What the machine can tell apart. Where the interval is over blocks it is widened by that, for blocks
            do not know how far two sessions of one network differ; None where it was not checked.
    """
    return _ratio_to(record.latency.baseline_s, record, resolution)


def ratio_to_reference(record: RunRecord, resolution: Resolution | None) -> Estimate:
    """Unprofiled step over that of the reference, see `ReferenceRecord`; NaN in runs of before there was one.

    Args:
        record: The run.
        resolution: As of `ratio_to_baseline`.
    """
    return _ratio_to(record.latency.reference_s, record, resolution)


def _ratio_to(base_s: BlocksOfSteps, record: RunRecord, resolution: Resolution | None) -> Estimate:
    timed = record.latency
    ratio = ratio_of_blocks(timed.plain_s, base_s, timed.processes)
    return ratio if resolution is None or are_units(timed.processes) else ratio.widened(resolution.unseen_ratio)
