"""The runs of sweeps: what each changes, how fast it is, and how much of the latency each factor explains."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg

from ...params.variant import VariantSpec
from ...records.run import RunRecord
from ..accuracy.frontier import dominated
from ..estimates import UNKNOWN, latency, proportion
from ..frames import frame_of
from ..pool import pooled
from ..resolution import ResolutionOf, not_checked, ratio_to_baseline

CONDITIONS = ("machine", "runtime", "batch_size", "threads", "preset")
"""Under one of each networks compare; between machines only ratios do."""
REST = "(together, or by chance)"
"""Row for what no factor by itself explains."""


class SweepRow(NamedTuple):
    """The newest measurement of one network under one set of conditions."""

    base: str
    """What the network extends; empty for one that extends none."""
    levels: dict[str, Any]
    """What it changes: values by factor."""
    machine: str
    """Its kind."""
    host: str
    variant: str
    runtime: str
    batch_size: int
    threads: str
    preset: str
    parameters: int
    macs_per_image: int
    is_baseline: bool
    accuracy_measured: bool
    latency_s: float
    latency_s_low: float
    latency_s_high: float
    ratio: float
    """To the baseline in the same process."""
    ratio_low: float
    ratio_high: float
    top1: float
    top1_low: float
    top1_high: float


class Grid(NamedTuple):
    """Networks that change the same factors of the same variant.

    Attributes:
        base: The variant that they change; empty for networks that extend none.
        factors: What they change.
        data: A `SweepRow` each with a column for each factor and ``scaled_s``, see `in_scale`.
    """

    base: str
    factors: tuple[str, ...]
    data: pd.DataFrame


def levels_of(variant: VariantSpec | None) -> dict[str, Any]:
    """What a variant changes, by key; by layer and key where the layers do not change alike."""
    keys: dict[str, dict[str, Any]] = {}
    for layer, change in (variant.change if variant else {}).items():
        for key, value in change.items():
            keys.setdefault(key, {})[layer] = tuple(value) if isinstance(value, list) else value
    found: dict[str, Any] = {}
    for key, by_layer in keys.items():
        alike = len(set(map(str, by_layer.values()))) == 1
        found.update({key: next(iter(by_layer.values()))} if alike else {f"{n}.{key}": v for n, v in by_layer.items()})
    return found


def sweep_rows(runs: Iterable[RunRecord], resolution_of: ResolutionOf = not_checked) -> pd.DataFrame:
    """A `SweepRow` for each network and set of conditions; what is older is left out.

    Args:
        runs: Those of a network in a runtime one after the other, oldest first. They are not kept.
        resolution_of: Tells what each run's machine can tell apart.
    """
    rows = [
        _row(pooled(newest), resolution_of)
        for _, place in itertools.groupby(runs, key=lambda run: (run.name, run.runtime))
        for newest in _newest(place)
    ]
    return frame_of(SweepRow, rows)


def _newest(runs: Iterable[RunRecord]) -> Iterator[list[RunRecord]]:
    """Of each set of conditions, and each kind of machine, the processes of the newest series on one host."""
    groups: dict[tuple[object, ...], list[RunRecord]] = {}
    for run in runs:
        conditions = run.machine.kind, run.batch_size, run.threads, run.preset, run.baseline
        groups.setdefault(conditions, []).append(run)
    for group in groups.values():
        last = group[-1]
        yield [run for run in group if (run.series, run.machine) == (last.series, last.machine)]


def _row(run: RunRecord, resolution_of: ResolutionOf) -> SweepRow:
    accuracy = run.accuracy
    return SweepRow(
        base=run.variant.extends or "" if run.variant else "",
        levels=levels_of(run.variant),
        machine=run.machine.kind,
        host=run.machine.host,
        variant=run.name,
        runtime=run.runtime,
        batch_size=run.batch_size,
        threads=str(run.threads or "the runtime's choice"),
        preset=run.preset,
        parameters=run.network.parameters,
        macs_per_image=run.network.macs_per_image,
        is_baseline=run.is_baseline,
        accuracy_measured=bool(accuracy and accuracy.measured),
        **_named("latency_s", latency(run)),
        **_named("ratio", ratio_to_baseline(run, resolution_of(run))),
        **_named("top1", proportion(accuracy.correct, accuracy.images) if accuracy else UNKNOWN),
    )


def _named(name: str, estimate: tuple[float, ...]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), estimate, strict=True))


def grids(rows: pd.DataFrame) -> list[Grid]:
    """The runs of `sweep_rows` by what they change, each `in_scale`."""
    found = []
    keys = pd.Series([(base, *levels) for base, levels in zip(rows["base"], rows["levels"], strict=True)], dtype=object)
    for (base, *factors), some in rows.groupby(keys, sort=False):
        some = some.reset_index(drop=True)
        values = pd.DataFrame([[*map(_level, levels.values())] for levels in some["levels"]], columns=factors)
        found.append(Grid(base, tuple(factors), pd.concat([in_scale(some), values], axis=1)))
    return found


def _level(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else "x".join(map(str, value))


def in_scale(rows: pd.DataFrame) -> pd.DataFrame:
    """Latencies that can be set against each other, though each run was timed in a process of its own.

    Returns:
        The rows with ``scaled_s``: the ratio to the baseline, times the median latency that the baseline had beside all
        runs under the same conditions. So a drift of the machine does not look like the effect of a factor. Without a
        baseline it is the latency.
    """
    beside_s = rows["latency_s"] / rows["ratio"]
    scale_s = beside_s.groupby([rows[name] for name in CONDITIONS]).transform("median")
    return rows.assign(scaled_s=(scale_s * rows["ratio"]).fillna(rows["latency_s"]))


def by_conditions(grid: Grid, *more: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of a grid under each set of conditions, with those that vary by name.

    Args:
        grid: The grid.
        more: Factors to be held like conditions.
    """
    names = [*CONDITIONS, *more]
    varying = [name for name in names if grid.data[name].nunique() > 1]
    for values, some in grid.data.groupby(names, sort=False):
        yield {name: value for name, value in zip(names, values, strict=True) if name in varying}, some


def axes_of(grid: Grid) -> tuple[str, str]:
    """The two factors with the most levels, which a heat map has room for, the larger first; the other may be empty."""
    ordered = sorted(grid.factors, key=lambda name: -grid.data[name].nunique())
    return (*ordered[:2], "", "")[:2]  # type: ignore[return-value]


def heat(some: pd.DataFrame, across: str, down: str, value: str = "scaled_s") -> pd.DataFrame:
    """A value over two factors: a row for each level of ``down``, a column for each of ``across``; sorted.

    Args:
        some: Rows of a grid under one set of conditions.
        across: A factor.
        down: Another one; empty for a single row.
        value: What to show.
    """
    rows = some.assign(**{"": ""}) if not down else some
    return rows.pivot_table(index=down, columns=across, values=value, aggfunc="median", observed=True)


def frontier_of(some: pd.DataFrame) -> pd.DataFrame:
    """The rows with an accuracy, their latencies scaled, and whether each is `dominated` by another."""
    scale = some["scaled_s"] / some["latency_s"]
    known = some.assign(**{name: some[name] * scale for name in ("latency_s", "latency_s_low", "latency_s_high")})
    known = known.dropna(subset=["top1"])
    return known.assign(dominated=dominated(known))


class ExplainedRow(NamedTuple):
    """How much of the latency one factor explains on one kind of machine."""

    machine: str
    factor: str
    levels: int
    share: float
    """Of the variance of the logarithm of the latency: what a fit without the factor leaves more of it unexplained."""
    slowest_over_fastest: float
    """Of its levels, all other factors being equal, by the fit; missing for `REST`."""


def explained(grid: Grid) -> pd.DataFrame:
    """Which factor explains the latency: an `ExplainedRow` each, the largest share first, then `REST`.

    The logarithm of the latency is fitted by least squares with a constant for each level of each factor, conditions
    that vary among them. Shares add up to 1 where the grid is complete, for its factors are then orthogonal; see
    Montgomery, "Design and Analysis of Experiments", on the analysis of variance.
    """
    rows: list[ExplainedRow] = []
    for machine, some in grid.data.groupby("machine", sort=False):
        factors = [name for name in (*grid.factors, *CONDITIONS[1:-1]) if some[name].nunique() > 1]
        logs = np.log(some["scaled_s"].to_numpy(dtype=float))
        total = float(((logs - logs.mean()) ** 2).sum())
        parameters = 1 + sum(some[name].nunique() - 1 for name in factors)
        if not factors or total == 0 or len(some) <= parameters:
            continue
        left, effects = _fit(some, factors, logs)
        shares = {name: (_fit(some, [o for o in factors if o != name], logs)[0] - left) / total for name in factors}
        found = [
            ExplainedRow(str(machine), name, some[name].nunique(), share, math.exp(float(np.ptp(effects[name]))))
            for name, share in shares.items()
        ]
        rest = 1 - sum(shares.values())
        rows += [*sorted(found, key=lambda row: -row.share), ExplainedRow(str(machine), REST, 0, rest, math.nan)]
    return frame_of(ExplainedRow, rows)


def _fit(some: pd.DataFrame, factors: Sequence[str], logs: Any) -> tuple[float, dict[str, Any]]:
    """The sum of squares that a fit leaves, and the effect of each level of each factor."""
    columns = [pd.get_dummies(some[name].astype(str), drop_first=True).to_numpy(dtype=float) for name in factors]
    design = np.hstack([np.ones((len(some), 1)), *columns])
    fitted = linalg.lstsq(design, logs)[0]
    ends = np.cumsum([1, *(column.shape[1] for column in columns)])
    effects = {
        name: np.append(0.0, fitted[begin:end]) for name, begin, end in zip(factors, ends[:-1], ends[1:], strict=True)
    }
    return float(((logs - design @ fitted) ** 2).sum()), effects


def by_machine(grid: Grid) -> pd.DataFrame:
    """Ratios to the baseline with a column for each kind of machine, which may stand side by side; latencies may not.

    Returns:
        A row per network, runtime, batch size and number of threads; empty where all was measured on one kind.
    """
    if grid.data["machine"].nunique() < 2:
        return pd.DataFrame()
    keys = ["variant", "runtime", "batch_size", "threads"]
    return grid.data.pivot_table(index=keys, columns="machine", values="ratio", aggfunc="median").reset_index()
