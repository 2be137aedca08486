"""All runs side by side: latency, ratio to the baseline, what profiling costs, accuracy; intervals are 95%."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from ...records.run import RunRecord
from .. import estimates, frames
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
from ..resolution import Resolution, ratio_to_baseline


def overview(records: Sequence[Record], resolutions: Mapping[str, Resolution] | None = None) -> pd.DataFrame:
    """One row per run or failure: the columns of `frames.runs` and the estimates.

    Args:
        records: The runs and failures.
        resolutions: What the machine can tell apart in each runtime, see `resolution.resolutions`.

    Returns:
        Also ``is_baseline``; ``latency_s``, ``ratio`` (to the baseline in the same process; missing where a run was
        compared with another), ``profiled_over_plain`` and ``top1``, each
        with ``_low`` and ``_high``; ``profiled_s``, the median profiled step; ``spread`` of the unprofiled steps,
        ``process_spread`` of the processes' medians, ``unattributed_share``, and ``smallest_ratio`` above 1 that the
        machine can tell apart. All missing for a failure. ``indistinct`` is true where the ratio of a variant other
        than the baseline is nearer to 1 than that. ``warnings`` is one text, empty where there are none.
    """
    resolutions = resolutions or {}
    baseline = frames.baseline_of(records)
    table = frames.runs(records)
    table["is_baseline"] = table["variant"] == baseline
    intervals = ("latency_s", "ratio", "profiled_over_plain", "top1")
    columns = [column for name in intervals for column in _interval(name)]
    columns += ["profiled_s", "spread", "process_spread", "unattributed_share"]
    table["warnings"] = ["; ".join(cautions(r)) if isinstance(r, RunRecord) else "" for r in records]
    rows = [_estimates(r, resolutions.get(r.runtime), baseline) if isinstance(r, RunRecord) else {} for r in records]
    estimated = pd.DataFrame(rows, columns=columns, index=table.index, dtype=float)
    table["smallest_ratio"] = [
        resolutions[r.runtime].smallest_ratio if r.runtime in resolutions else math.nan for r in records
    ]
    table["indistinct"] = [
        r.runtime in resolutions and not resolutions[r.runtime].distinguishes(ratio)
        for r, ratio in zip(records, estimated["ratio"].fillna(math.inf), strict=True)
    ]
    table["indistinct"] &= ~table["is_baseline"]  # of itself it is no question
    return pd.concat([table, estimated], axis=1)


def _estimates(record: RunRecord, resolution: Resolution | None, baseline: str | None) -> dict[str, float]:
    timed = record.latency
    ratio = ratio_to_baseline(record, resolution) if record.baseline == baseline else UNKNOWN
    row = {
        **dict(zip(_interval("latency_s"), latency(record), strict=True)),
        **dict(zip(_interval("ratio"), ratio, strict=True)),
        **dict(zip(_interval("profiled_over_plain"), profiled_over_plain(record), strict=True)),
        "profiled_s": median_of_blocks(timed.profiled_s, timed.processes).value,
        "spread": spread(timed.plain_s),
        "process_spread": process_spread(timed.plain_s, timed.processes),
        "unattributed_share": unattributed_share(record),
    }
    if record.accuracy:
        top1 = proportion(record.accuracy.correct, record.accuracy.images)
        row |= dict(zip(_interval("top1"), top1, strict=True))
    return row


def _interval(column: str) -> tuple[str, str, str]:
    return column, f"{column}_low", f"{column}_high"


def baseline_and_fastest(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Whom to set side by side: of the first run's runtime the baseline and the variant of the lowest latency."""
    alike = [run for run in runs if run.runtime == runs[0].runtime]
    lowest = min((estimates.latency(run).value for run in alike), default=None)
    return [run for run in alike if run.is_baseline or estimates.latency(run).value == lowest]
