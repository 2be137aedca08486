"""Numbers with their 95% intervals, from scipy.

Steps of one block share the state of the machine, so the blocks, not the steps, are what is resampled; of a run in
several processes, the processes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
BOOTSTRAP_SEED = 1
BOOTSTRAP_RESAMPLES = 9999

Blocks = Sequence[Sequence[float]]


class Estimate(NamedTuple):
    """A value and the ends of its 95% interval, in one unit."""

    value: float
    low: float
    high: float


def block_medians(blocks: Blocks) -> NDArray[np.float64]:
    """Median of each block."""
    return np.array([np.median(block) for block in blocks])


def median_of_blocks(blocks: Blocks, processes: Sequence[int] = ()) -> Estimate:
    """Median of the block medians, which one disturbed block does not move.

    Args:
        blocks: Steps by block.
        processes: Blocks of each process, where there were several; empty for one.

    Raises:
        ValueError: there is only one block, which has no interval.
    """
    return _bootstrap_median(by_process(block_medians(blocks), processes))


def ratio_of_blocks(blocks: Blocks, base: Blocks, processes: Sequence[int] = ()) -> Estimate:
    """Median of the ratios of paired blocks: what drifts over the run cancels within a pair.

    Args:
        blocks: Steps by block.
        base: Steps of the run's baseline, as many blocks, each measured beside its partner.
        processes: Blocks of each process, where there were several; empty for one.
    """
    return _bootstrap_median(by_process(block_medians(blocks) / block_medians(base), processes))


def by_process(values: NDArray[np.float64], processes: Sequence[int]) -> NDArray[np.float64]:
    """Median of each process's values; of one process the values themselves.

    Where its memory lies makes a process faster or slower as a whole. With several, they are what is resampled, as
    Kalibera and Jones advise: the highest level at which repetitions vary ("Rigorous Benchmarking in Reasonable
    Time", ISMM 2013).
    """
    if len(processes) < 2:
        return values
    return np.array([np.median(part) for part in np.split(values, np.cumsum(processes)[:-1])])


def process_spread(blocks: Blocks, processes: Sequence[int]) -> float:
    """Longest less shortest process median over the median of them; missing for one process."""
    medians = by_process(block_medians(blocks), processes)
    return float(np.ptp(medians) / np.median(medians)) if len(processes) > 1 else float("nan")


def _bootstrap_median(values: NDArray[np.float64]) -> Estimate:
    return _estimate(tuple(values))


@functools.cache
def _estimate(values: tuple[float, ...]) -> Estimate:
    """The same for the same values: a report asks for each estimate several times."""
    # "percentile", for the default (BCa) is undefined where the values are all alike.
    interval = stats.bootstrap(
        (values,),
        np.median,
        confidence_level=CONFIDENCE,
        n_resamples=BOOTSTRAP_RESAMPLES,
        method="percentile",
        rng=BOOTSTRAP_SEED,
    ).confidence_interval
    return Estimate(float(np.median(values)), float(interval.low), float(interval.high))


def proportion(hits: int, of: int) -> Estimate:
    """A share with its Wilson interval."""
    interval = stats.binomtest(hits, of).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(hits / of, float(interval.low), float(interval.high))


def spread(blocks: Blocks) -> float:
    """Interquartile range of all steps over their median."""
    values = np.concatenate([np.asarray(block) for block in blocks])
    return float(stats.iqr(values) / np.median(values))
