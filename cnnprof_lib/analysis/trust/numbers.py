"""Whether a profile's books balance: what profiling costs, what no op accounts for, and what a second opinion says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from ...records.machine import ComparisonRecord
from ...records.run import RunRecord
from ..conditions import of_machine
from ..estimates import latency, profiled_over_plain, unattributed_share
from ..resolution import Resolution, ratio_to_baseline

_KEY = ("variant", "runtime")
_BOOKS = (
    *_KEY, "profiled_over_plain", "profiled_over_plain_low", "profiled_over_plain_high", "unattributed_share",
    "aa_low", "aa_high", "xprof_pp", "requested_bytes", "live_peak_bytes", "live_peak_share",
)  # fmt: skip
_UNATTRIBUTED = (*_KEY, "profiled_s", "unattributed_s", "before_s", "between_s", "after_s")
_OVERHEAD = (*_KEY, "plain_s", "traced_s", "added_s", "add_step_s", "profiled_over_plain", "with_add_step_over_plain")


def books(
    runs: Sequence[RunRecord],
    resolutions: Mapping[str, Resolution],
    comparisons: Sequence[ComparisonRecord],
) -> pd.DataFrame:
    """One row per run: how far its numbers can be trusted.

    Args:
        runs: The runs.
        resolutions: What the machine can tell apart, see `resolution.resolutions`.
        comparisons: Second opinions; one from another machine is left out.

    Returns:
        ``variant``, ``runtime``; ``profiled_over_plain`` with ``_low`` and ``_high``; ``unattributed_share`` of the
        profiled step; ``aa_low`` and ``aa_high``, between which 95% of the checks of the baseline against itself lie,
        for the baseline where nothing was checked the interval of its own run; ``xprof_pp``, the largest difference
        of an op's share in percentage points; ``requested_bytes``, ``live_peak_bytes`` and ``live_peak_share``, the
        peak over what a step asks for. Missing where it was not measured.
    """
    seconds = {(found.variant, found.runtime): found for found in comparisons}
    rows = []
    for run in runs:
        cost = profiled_over_plain(run)
        row: dict[str, Any] = {
            **_key(run),
            "profiled_over_plain": cost.value,
            "profiled_over_plain_low": cost.low,
            "profiled_over_plain_high": cost.high,
            "unattributed_share": unattributed_share(run),
            "requested_bytes": run.memory.requested_bytes,
            "live_peak_bytes": run.memory.live_peak_bytes,
            "live_peak_share": _share(run.memory.live_peak_bytes, own_bytes(run)),
        }
        if resolution := resolutions.get(run.runtime):
            row |= {"aa_low": 1 / resolution.smallest_ratio, "aa_high": resolution.smallest_ratio}
        elif run.is_baseline:
            _, row["aa_low"], row["aa_high"] = ratio_to_baseline(run, resolution)
        opinion = seconds.get((run.name, run.runtime))
        if opinion and of_machine(opinion.machine) == of_machine(run.machine):
            row["xprof_pp"] = opinion.largest_difference_pp
        rows.append(row)
    return pd.DataFrame(rows, columns=list(_BOOKS)).astype({"aa_low": float, "aa_high": float, "xprof_pp": float})


def unattributed_times(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """One row per run that was traced: the mean profiled step and the part in which no kernel ran, by when; seconds."""
    rows = [
        {
            **_key(run),
            "profiled_s": run.latency.profiled_mean_s,
            "unattributed_s": run.unattributed_s,
            **run.unattributed.model_dump(),
        }
        for run in runs
        if run.unattributed
    ]
    return pd.DataFrame(rows, columns=list(_UNATTRIBUTED))


def overhead(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """One row per run that was traced: what tracing adds to a step, and what the profiler adds that reads each at once.

    Returns:
        ``plain_s``, the median unprofiled step; ``traced_s``, that times the ratio of the paired blocks, and
        ``added_s`` between the two; ``add_step_s``, the profiler's bookkeeping of one step;
        ``profiled_over_plain``; and ``with_add_step_over_plain``, which a loop sees that traces a step and hands it
        to ``add_step``.
    """
    rows = []
    for run in (run for run in runs if run.is_traced):
        plain_s, cost = latency(run).value, profiled_over_plain(run).value
        add_step_s = math.nan if run.add_step_s is None else run.add_step_s
        rows.append(
            {
                **_key(run),
                "plain_s": plain_s,
                "traced_s": plain_s * cost,
                "added_s": plain_s * (cost - 1),
                "add_step_s": add_step_s,
                "profiled_over_plain": cost,
                "with_add_step_over_plain": cost + add_step_s / plain_s,
            }
        )
    return pd.DataFrame(rows, columns=list(_OVERHEAD))


def rank_changes(overview: pd.DataFrame) -> pd.DataFrame:
    """Pairs of variants that come in one order by their unprofiled steps and in the other by their profiled ones.

    Args:
        overview: From `variants.numbers.overview`.

    Returns:
        ``runtime``, ``faster`` and ``slower`` (the variants, by their unprofiled steps).
    """
    rows = []
    done = overview[overview["status"] == "ok"]
    for runtime, runs in done.groupby("runtime", sort=False):
        ordered = runs.sort_values("latency_s", kind="stable")
        named = list(zip(ordered["variant"], ordered["profiled_s"], strict=True))
        rows += [(runtime, a, b) for (a, a_s), (b, b_s) in combinations(named, 2) if a_s > b_s]
    return pd.DataFrame(rows, columns=["runtime", "faster", "slower"])


def own_bytes(run: RunRecord) -> int | None:
    """What a step asks for itself, without what stays from step to step; None where the runtime does not tell."""
    requested, persistent = run.memory.requested_bytes, run.memory.persistent_bytes
    return None if requested is None or persistent is None else requested - persistent


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def _key(run: RunRecord) -> dict[str, str]:
    return {"variant": run.name, "runtime": run.runtime}
