"""Numbers with their 95% intervals, from scipy.

Steps of one block share the state of the machine, so the blocks, not the steps, are what is resampled; of a run in
several processes, the processes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
    return _bootstrapped((np.array(values),), np.median, paired=False)


def _bootstrapped(samples: tuple[NDArray[np.float64], ...], statistic: Callable[..., Any], *, paired: bool) -> Estimate:
    # "percentile", for the default (BCa) is undefined where the values are all alike.
    interval = stats.bootstrap(
        samples,
        statistic,
        paired=paired,
        confidence_level=CONFIDENCE,
        n_resamples=BOOTSTRAP_RESAMPLES,
        method="percentile",
        rng=BOOTSTRAP_SEED,
    ).confidence_interval
    return Estimate(float(statistic(*samples)), float(interval.low), float(interval.high))


def _sum_over_sum(parts: NDArray[np.float64], totals: NDArray[np.float64], axis: int = -1) -> Any:
    return parts.sum(axis=axis) / totals.sum(axis=axis)


def _median_over_median(values: NDArray[np.float64], base: NDArray[np.float64], axis: int = -1) -> Any:
    return np.median(values, axis=axis) / np.median(base, axis=axis)


def proportion(hits: int, of: int) -> Estimate:
    """A share with its Wilson interval."""
    interval = stats.binomtest(hits, of).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(hits / of, float(interval.low), float(interval.high))


def spread(blocks: Blocks) -> float:
    """Interquartile range of all steps over their median."""
    values = np.concatenate([np.asarray(block) for block in blocks])
    return float(stats.iqr(values) / np.median(values))


def ratio_of_sums(parts: ArrayLike, totals: ArrayLike) -> Estimate:
    """The share that parts have in their totals over all blocks, each block's part beside its total."""
    return _bootstrapped((np.asarray(parts), np.asarray(totals)), _sum_over_sum, paired=True)


def ratio_of_medians(values: ArrayLike, base: ArrayLike) -> Estimate:
    """The ratio of the medians of two samples that were not measured in pairs."""
    return _bootstrapped((np.asarray(values), np.asarray(base)), _median_over_median, paired=False)


def difference_of_proportions(first: Estimate, second: Estimate) -> Estimate:
    """How much larger the first of two independent shares is, from their Wilson intervals.

    Source: Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven
    methods", Statistics in Medicine 17, 1998, method 10.
    """
    value = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - float(below), value + float(above))
