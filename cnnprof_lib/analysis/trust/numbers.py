"""Whether a profile's books balance: what profiling costs, what no op accounts for, and what a second opinion says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import pandas as pd

from ...records.machine import ComparisonRecord
from ...records.run import RunRecord
from ..estimates import latency, profiled_over_plain, unattributed_share
from ..frames import frame_of
from ..resolution import Resolution, ResolutionOf, ratio_to_baseline


class TrustRow(NamedTuple):
    """How far the numbers of one run can be trusted; missing where it was not measured."""

    variant: str
    runtime: str
    machine: str
    """Its kind."""
    profiled_over_plain: float
    profiled_over_plain_low: float
    profiled_over_plain_high: float
    unattributed_share: float
    """Of the profiled step."""
    requested_bytes: int | None
    live_peak_bytes: int | None
    live_peak_share: float
    """The peak over what a step asks for itself."""
    aa_low: float = math.nan
    aa_high: float = math.nan
    """Between the two lie 95% of the checks of the baseline against itself. For the baseline where nothing was checked,
    the interval of its own run."""
    xprof_pp: float = math.nan
    """The largest difference of an op's share from a second opinion, in percentage points."""


class CheckedRow(NamedTuple):
    """What a machine can tell apart in a runtime; None where the baseline was not timed against itself there."""

    runtime: str
    machine: str
    """Its kind, and what else it must share with the machine of a check."""
    resolution: Resolution | None


class UnattributedRow(NamedTuple):
    """The mean profiled step of a run and the part of it in which no kernel ran, by when; seconds."""

    variant: str
    runtime: str
    profiled_mean_s: float
    unattributed_s: float
    before_s: float
    between_s: float
    after_s: float


class OverheadRow(NamedTuple):
    """What tracing adds to a step of a run, and what TensorFlow's profiler adds if it reads each step at once."""

    variant: str
    runtime: str
    plain_s: float
    """The median unprofiled step."""
    traced_s: float
    """That times the ratio of the paired blocks, which is not the mean profiled step."""
    added_s: float
    add_step_s: float
    """The profiler's bookkeeping of one step."""
    profiled_over_plain: float
    with_add_step_over_plain: float
    """What a loop sees that traces a step and hands it to ``add_step``."""


def books(
    runs: Sequence[RunRecord],
    resolution_of: ResolutionOf,
    comparisons: Sequence[ComparisonRecord],
) -> pd.DataFrame:
    """A `TrustRow` per run.

    Args:
        runs: The runs.
        resolution_of: Tells what each run's machine can tell apart.
        comparisons: Second opinions; one from another machine is left out.
    """
    seconds = {(found.variant, found.runtime, found.machine.key): found for found in comparisons}
    opinions = [seconds.get((*_key(run), run.machine.key)) for run in runs]
    return frame_of(
        TrustRow, [_trust(run, resolution_of(run), found) for run, found in zip(runs, opinions, strict=True)]
    )


def _trust(run: RunRecord, resolution: Resolution | None, opinion: ComparisonRecord | None) -> TrustRow:
    cost = profiled_over_plain(run)
    row = TrustRow(
        *_key(run),
        run.machine.kind,
        profiled_over_plain=cost.value,
        profiled_over_plain_low=cost.low,
        profiled_over_plain_high=cost.high,
        unattributed_share=unattributed_share(run),
        requested_bytes=run.memory.requested_bytes,
        live_peak_bytes=run.memory.live_peak_bytes,
        live_peak_share=_share(run.memory.live_peak_bytes, own_bytes(run)),
    )
    if resolution:
        row = row._replace(aa_low=1 / resolution.smallest_ratio, aa_high=resolution.smallest_ratio)
    elif run.is_baseline:
        to_itself = ratio_to_baseline(run, resolution)
        row = row._replace(aa_low=to_itself.low, aa_high=to_itself.high)
    if opinion:
        row = row._replace(xprof_pp=opinion.largest_difference_pp)
    return row


def checked(runs: Sequence[RunRecord], resolution_of: ResolutionOf) -> list[CheckedRow]:
    """A `CheckedRow` for each runtime and each machine on which it was run, the runtimes one after the other."""
    found: dict[tuple[str, str], CheckedRow] = {}
    for run in runs:
        row = CheckedRow(run.runtime, f"{run.machine.kind}, TensorFlow {run.machine.tensorflow}", resolution_of(run))
        place = run.runtime, run.machine.key
        found[place] = row if row.resolution else found.get(place, row)
    runtimes = list(dict.fromkeys(run.runtime for run in runs))
    return sorted(found.values(), key=lambda row: runtimes.index(row.runtime))


def unattributed_times(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """An `UnattributedRow` per run that was traced."""
    return frame_of(
        UnattributedRow,
        [
            UnattributedRow(
                *_key(run), run.latency.profiled_mean_s or math.nan, run.unattributed_s, **run.unattributed.model_dump()
            )
            for run in runs
            if run.unattributed
        ],
    )


def overhead(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """An `OverheadRow` per run that was traced."""
    rows = []
    for run in (run for run in runs if run.is_traced):
        plain_s, cost = latency(run).value, profiled_over_plain(run).value
        add_step_s = math.nan if run.add_step_s is None else run.add_step_s
        rows.append(
            OverheadRow(
                *_key(run),
                plain_s=plain_s,
                traced_s=plain_s * cost,
                added_s=plain_s * (cost - 1),
                add_step_s=add_step_s,
                profiled_over_plain=cost,
                with_add_step_over_plain=cost + add_step_s / plain_s,
            )
        )
    return frame_of(OverheadRow, rows)


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
        named = list(zip(ordered["variant"], ordered["profiled_median_s"], strict=True))
        rows += [(runtime, a, b) for (a, a_s), (b, b_s) in combinations(named, 2) if a_s > b_s]
    return pd.DataFrame(rows, columns=["runtime", "faster", "slower"])


def own_bytes(run: RunRecord) -> int | None:
    """What a step asks for itself, without what stays from step to step; None where the runtime does not tell."""
    requested, persistent = run.memory.requested_bytes, run.memory.persistent_bytes
    return None if requested is None or persistent is None else requested - persistent


def _share(part: int | None, whole: int | None) -> float:
    return part / whole if part is not None and whole else math.nan


def _key(run: RunRecord) -> tuple[str, str]:
    return run.name, run.runtime
