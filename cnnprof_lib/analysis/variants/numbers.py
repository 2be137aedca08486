"""All runs side by side: latency, ratio to the baseline, what profiling costs, accuracy; intervals are 95%."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ...records.run import RunRecord
from .. import frames
from ..cautions import cautions
from ..estimates import (
    UNKNOWN,
    latency,
    median_of_blocks,
    process_spread,
    profiled_over_plain,
    proportion,
    spread,
    unattributed_share,
)
from ..frames import Record
from ..resolution import Resolution, ResolutionOf, not_checked, ratio_to_baseline


class Estimates(NamedTuple):
    """What is estimated of a run; all missing for a failure."""

    latency_s: float = math.nan
    latency_s_low: float = math.nan
    latency_s_high: float = math.nan
    ratio: float = math.nan
    """To the baseline in the same process; missing where a run was compared with another."""
    ratio_low: float = math.nan
    ratio_high: float = math.nan
    profiled_over_plain: float = math.nan
    profiled_over_plain_low: float = math.nan
    profiled_over_plain_high: float = math.nan
    top1: float = math.nan
    top1_low: float = math.nan
    top1_high: float = math.nan
    profiled_median_s: float = math.nan
    """The median profiled step."""
    spread: float = math.nan
    """Of the unprofiled steps."""
    process_spread: float = math.nan
    """Of the processes' medians."""
    unattributed_share: float = math.nan


def overview(records: Sequence[Record], resolution_of: ResolutionOf = not_checked) -> pd.DataFrame:
    """One row per run or failure: the columns of `frames.runs` and the `Estimates`.

    Args:
        records: The runs and failures.
        resolution_of: Tells what each run's machine can tell apart.

    Returns:
        Also ``machine``, its kind, empty for a failure; ``is_baseline``;
        ``smallest_ratio``, above 1, that the machine can tell apart, missing where it was not
        checked;
        ``indistinct``, true where the ratio of a variant other than the baseline is nearer to 1 than that; and
        ``cautions``, a list of texts.
    """
    baseline = frames.baseline_of(records)
    table = frames.runs(records)
    table["cautions"] = [cautions(r) if isinstance(r, RunRecord) else [] for r in records]
    table["machine"] = [r.machine.kind if isinstance(r, RunRecord) else "" for r in records]
    table["is_baseline"] = table["variant"] == baseline
    checked = [resolution_of(r) if isinstance(r, RunRecord) else None for r in records]
    rows = [
        _estimates(r, found, baseline) if isinstance(r, RunRecord) else Estimates()
        for r, found in zip(records, checked, strict=True)
    ]
    estimated = frames.frame_of(Estimates, rows).astype(float)
    table["smallest_ratio"] = [found.smallest_ratio if found else math.nan for found in checked]
    table["indistinct"] = [
        found is not None and not found.distinguishes(ratio)
        for found, ratio in zip(checked, estimated["ratio"].fillna(math.inf), strict=True)
    ]
    table["indistinct"] &= ~table["is_baseline"]  # of itself it is no question
    return pd.concat([table, estimated], axis=1)


def _estimates(record: RunRecord, resolution: Resolution | None, baseline: str | None) -> Estimates:
    timed, accuracy = record.latency, record.accuracy
    return Estimates(
        *latency(record),
        *(ratio_to_baseline(record, resolution) if record.baseline == baseline else UNKNOWN),
        *profiled_over_plain(record),
        *(proportion(accuracy.correct, accuracy.images) if accuracy else UNKNOWN),
        profiled_median_s=median_of_blocks(timed.profiled_s, timed.processes).value,
        spread=spread(timed.plain_s),
        process_spread=process_spread(timed.plain_s, timed.processes),
        unattributed_share=unattributed_share(record),
    )


def baseline_and_fastest(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Whom to set side by side: of the first run's runtime the baseline and the variant of the lowest latency."""
    alike = [run for run in runs if run.runtime == runs[0].runtime]
    lowest = min((latency(run).value for run in alike), default=None)
    return [run for run in alike if run.is_baseline or latency(run).value == lowest]
