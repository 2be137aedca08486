"""What the baseline against itself says of this machine: how often it errs, and what it can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..machine_records import CheckRecord
from ..records import RunRecord
from ..settings import Runtime
from ..store import Store
from .conditions import of_machine
from .estimates import CONFIDENCE, Estimate, ratio_of_blocks


@dataclass(frozen=True)
class Resolution:
    """The outcome of a check.

    Attributes:
        rounds: The ratio of each round, whose true value is 1, with its 95% interval.
        excluding: Rounds whose interval excludes 1; 1 in 20 is what 95% intervals promise.
        width: Median width of the intervals.
        smallest_ratio: Above 1, the ratio that 95% of the rounds stay within, or within its inverse. A measured
            ratio nearer to 1 is what this machine shows for two networks that are the same.
    """

    rounds: tuple[Estimate, ...]
    excluding: int
    width: float
    smallest_ratio: float

    def __str__(self) -> str:
        """One clause: what the baseline against itself shows."""
        return f"two copies of the baseline differ by a ratio of up to {self.smallest_ratio:.3f}"

    def distinguishes(self, ratio: float) -> bool:
        """Whether a measured ratio differs from 1 by more than the machine's own noise."""
        return abs(float(np.log(ratio))) > float(np.log(self.smallest_ratio))


INDISTINCT = "not distinguishable here"
"""Said of a ratio that two networks that are the same could show."""


def resolution(record: CheckRecord) -> Resolution:
    """Judges a check."""
    rounds = tuple(ratio_of_blocks(pair.first_s, pair.second_s) for pair in record.rounds)
    excluding = sum(not (estimate.low <= 1 <= estimate.high) for estimate in rounds)
    width = float(np.median([estimate.high - estimate.low for estimate in rounds]))
    deviations = np.abs(np.log([estimate.value for estimate in rounds]))
    smallest_ratio = float(np.exp(np.quantile(deviations, CONFIDENCE)))
    return Resolution(rounds, excluding, width, smallest_ratio)


def resolutions(store: Store, runs: Sequence[RunRecord]) -> dict[Runtime, Resolution]:
    """The outcome of each runtime's check, where there was one on the machine of all its runs."""
    found = {}
    for runtime in dict.fromkeys(run.runtime for run in runs):
        check = store.read_check(runtime)
        machines = [of_machine(run.machine) for run in runs if run.runtime == runtime]
        if check and all(machine == of_machine(check.machine) for machine in machines):
            found[runtime] = resolution(check)
    return found
