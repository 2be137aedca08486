"""Numbers with their 95% intervals, from scipy.

Steps of one block share the state of the machine, so the blocks, not the steps, are what an interval is made of; of a
run in enough processes, the processes. An interval over blocks holds the noise within their process and no more:
`Estimate.widened` adds what sessions of one network differ by.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..records.run import RunRecord

CONFIDENCE = 0.95
BOOTSTRAP_SEED = 1

FEWEST = 6
"""Values that an interval of a median needs: all of five lie on one side of it in 2 of 32 cases, more than 5%."""

BlocksOfSteps = Sequence[Sequence[float]]


class Estimate(NamedTuple):
    """A value and the ends of its 95% interval, in one unit; the ends are missing where there is too little data."""

    value: float
    low: float
    high: float

    def widened(self, ratio: float) -> Estimate:
        """The interval of a positive value that may also be off by up to ``ratio``, or its inverse, on its own account.

        Independent deviations of logarithms add up by their squares.
        """
        below, above = (float(np.hypot(np.log(end / self.value), np.log(ratio))) for end in self[1:])
        return Estimate(self.value, self.value * float(np.exp(-below)), self.value * float(np.exp(above)))


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def ends(low: float, high: float) -> list[float | None]:
    """An interval as JSON has it: None where it is missing."""
    return [None if np.isnan(end) else end for end in (low, high)]


def block_medians(blocks: BlocksOfSteps) -> NDArray[np.float64]:
    """Median of each block."""
    if len(set(map(len, blocks))) == 1:  # as a run has them: at once, for reports of thousands
        return np.asarray(np.median(np.asarray(blocks), axis=1))
    return np.array([np.median(block) for block in blocks])


def median_of_blocks(blocks: BlocksOfSteps, processes: Sequence[int] = ()) -> Estimate:
    """Median of the block medians, which one disturbed block does not move; NaN where there are none.

    Args:
        blocks: Steps by block.
        processes: Blocks of each process, where there were several; empty for one.
    """
    return _median(tuple(by_unit(block_medians(blocks), processes))) if blocks else UNKNOWN


def ratio_of_blocks(blocks: BlocksOfSteps, base: BlocksOfSteps, processes: Sequence[int] = ()) -> Estimate:
    """Median of the ratios of paired blocks: what drifts over the run cancels within a pair; NaN where one has none.

    Args:
        blocks: Steps by block.
        base: Steps of the run's baseline, as many blocks, each measured beside its partner.
        processes: Blocks of each process, where there were several; empty for one.
    """
    if not blocks or not base:
        return UNKNOWN
    return _median(tuple(by_unit(block_medians(blocks) / block_medians(base), processes)))


def are_units(processes: Sequence[int]) -> bool:
    """Whether intervals are over processes, of which there are enough; else they are over blocks.

    Where its memory lies makes a process faster or slower as a whole. Kalibera and Jones advise to take the highest
    level at which repetitions vary ("Rigorous Benchmarking in Reasonable Time", ISMM 2013).
    """
    return len(processes) >= FEWEST


def by_unit(values: NDArray[np.float64], processes: Sequence[int]) -> NDArray[np.float64]:
    """What an interval is over: each process's median value where processes `are_units`, else the values of blocks."""
    return _by_process(values, processes) if are_units(processes) else values


def unit_of_block(blocks: int, processes: Sequence[int]) -> NDArray[np.int64]:
    """Which unit of `by_unit` each of so many blocks belongs to, counted from 0."""
    return np.repeat(range(len(processes)), processes) if are_units(processes) else np.arange(blocks)


def _by_process(values: NDArray[np.float64], processes: Sequence[int]) -> NDArray[np.float64]:
    """Median of each process's values."""
    return np.array([np.median(part) for part in np.split(values, np.cumsum(processes)[:-1])])


def process_spread(blocks: BlocksOfSteps, processes: Sequence[int]) -> float:
    """Longest less shortest process median over the median of them; missing for one process."""
    if len(processes) < 2:
        return float("nan")
    medians = _by_process(block_medians(blocks), processes)
    return float(np.ptp(medians) / np.median(medians))


@functools.cache
def _median(values: tuple[float, ...]) -> Estimate:
    """A median with its exact interval, between two of the values; cached, for a report asks for each several times.

    Source: Conover, "Practical Nonparametric Statistics", 3rd edition, 1999, section 3.2. It holds whatever the values'
    distribution; a bootstrap of so few falls short of its 95%.
    """
    interval = stats.quantile_test(values, q=0, p=0.5).confidence_interval(CONFIDENCE)
    return Estimate(float(np.median(values)), float(interval.low), float(interval.high))


def bootstrap(
    samples: Sequence[NDArray[Any]], statistic: Callable[..., Any], *, paired: bool = False, resamples: int = 9999
) -> tuple[Any, Any]:
    """Both ends of a statistic's interval, missing where a sample has fewer than `FEWEST` values.

    A bootstrap of n values is too narrow by sqrt((n - 1) / n) and by the normal quantile in place of Student's. So its
    percentiles are taken further out by both. Source: Hesterberg, "What teachers should know about the bootstrap",
    The American Statistician 69(4), 2015, section 5.3.

    Args:
        samples: Of values that are drawn one by one.
        statistic: Takes resamples as rows, with ``axis``.
        paired: Whether the samples' values are drawn in pairs.
        resamples: How many are drawn.
    """
    count = min(map(len, samples))
    if count < FEWEST:
        missing = np.asarray(statistic(*(sample[None] for sample in samples), axis=-1))[..., 0] * np.nan
        return missing, missing
    tail = stats.norm.cdf(np.sqrt(count / (count - 1)) * stats.t.ppf((1 - CONFIDENCE) / 2, count - 1))
    interval = stats.bootstrap(
        tuple(samples),
        statistic,
        paired=paired,
        vectorized=True,
        confidence_level=1 - 2 * tail,
        n_resamples=resamples,
        method="percentile",  # the default (BCa) is undefined where the values are all alike
        rng=BOOTSTRAP_SEED,
    ).confidence_interval
    return interval.low, interval.high


def _bootstrapped(samples: tuple[NDArray[np.float64], ...], statistic: Callable[..., Any], *, paired: bool) -> Estimate:
    low, high = bootstrap(samples, statistic, paired=paired)
    return Estimate(float(statistic(*samples)), float(low), float(high))


def _sum_over_sum(parts: NDArray[np.float64], totals: NDArray[np.float64], axis: int = -1) -> Any:
    return parts.sum(axis=axis) / totals.sum(axis=axis)


def _median_over_median(values: NDArray[np.float64], base: NDArray[np.float64], axis: int = -1) -> Any:
    return np.median(values, axis=axis) / np.median(base, axis=axis)


@functools.lru_cache(4096)
def proportion(hits: int, of: int) -> Estimate:
    """A share with its Wilson interval."""
    interval = stats.binomtest(hits, of).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(hits / of, float(interval.low), float(interval.high))


def spread(blocks: BlocksOfSteps) -> float:
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


def is_below(first: Estimate, second: Estimate) -> bool | None:
    """Whether one estimate is below another: None where their intervals meet. Without intervals the values decide."""
    if np.isnan(first.low) or np.isnan(second.low):
        return first.value < second.value if first.value != second.value else None
    if first.high < second.low:
        return True
    return False if second.high < first.low else None


def lies_in(estimate: Estimate, span: tuple[float, float]) -> bool | None:
    """Whether an interval lies in a span: None where part of it does."""
    if span[0] <= estimate.low and estimate.high <= span[1]:
        return True
    return False if estimate.high < span[0] or span[1] < estimate.low else None


def latency(record: RunRecord) -> Estimate:
    """Median unprofiled step, in seconds."""
    return median_of_blocks(record.latency.plain_s, record.latency.processes)


def profiled_over_plain(record: RunRecord) -> Estimate:
    """Profiled step over unprofiled step, by paired blocks: what profiling costs; NaN where nothing was traced."""
    timed = record.latency
    return ratio_of_blocks(timed.profiled_s, timed.plain_s, timed.processes)


def unattributed_share(record: RunRecord) -> float:
    """Part of the profiled step in which no kernel ran; NaN where nothing was traced."""
    return record.unattributed_s / (record.latency.profiled_mean_s or math.nan)
