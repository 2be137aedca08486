"""Comparisons across runs: the stride series of the thesis, what others beat, whether profiling changes the order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from ..layers import Conv
from ..thesis import PUBLISHED, published_table
from ..variant import VariantSpec
from . import frames, summary
from .frames import Record
from .summary import op_table

THESIS = "thesis"
"""Source of the rows that are published, not measured, in `stride_table`."""


def stride_table(records: Sequence[Record]) -> pd.DataFrame:
    """The baseline and the variants that differ from it in nothing but the stride of all convolutions.

    Returns:
        ``source`` (a runtime, or `THESIS`), ``variant``, ``stride``, ``latency_s``, ``conv2d_share`` (of the ops' time,
        without unattributed time, as the thesis prints it). The thesis gives no latency; there it is the sum of
        the printed op times. Empty without a baseline.
    """
    runs = frames.completed(records)
    baseline = next((run.variant for run in runs if run.variant.name == "baseline"), None)
    rows: list[tuple[str, str, int, float, float]] = []
    for run in runs:
        stride = _only_stride(run.variant, baseline) if baseline else None
        if stride is not None:
            latency = summary.latency(run).value
            rows.append((run.runtime, run.variant.name, stride, latency, _conv2d_share(op_table(run))))
    strides = {variant: stride for _, variant, stride, _, _ in rows if variant in PUBLISHED}
    for variant, stride in strides.items():
        printed = published_table(PUBLISHED[variant].table)
        rows.append((THESIS, variant, stride, float(printed["time_s"].sum()), _conv2d_share(printed)))
    table = pd.DataFrame(rows, columns=["source", "variant", "stride", "latency_s", "conv2d_share"])
    return table.sort_values("stride", kind="stable", ignore_index=True)


def _only_stride(variant: VariantSpec, baseline: VariantSpec) -> int | None:
    """The one stride of all the variant's convolutions, if nothing else tells it from the baseline."""
    strides = {layer.stride for layer in variant.layers if isinstance(layer, Conv)}
    alike = _without_strides(variant) == _without_strides(baseline)
    return strides.pop() if alike and len(strides) == 1 else None


def _without_strides(variant: VariantSpec) -> list[dict[str, Any]]:
    return [layer.model_dump(exclude={"stride"} if isinstance(layer, Conv) else None) for layer in variant.layers]


def _conv2d_share(table: pd.DataFrame) -> float:
    return float(table.loc[table["op"] == "Conv2D", "own_share"].sum())


def rank_changes(overview: pd.DataFrame) -> pd.DataFrame:
    """Pairs of variants that come in one order by their unprofiled steps and in the other by their profiled ones.

    Args:
        overview: From `summary.overview`.

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


def frontier(overview: pd.DataFrame) -> pd.DataFrame:
    """Which variants another one of the same runtime dominates: neither faster nor more accurate, and not equal to it.

    Args:
        overview: From `summary.overview`; runs without latency or accuracy are left out.

    Returns:
        The remaining rows with three lists of variants: ``dominated_by``, as the values have it (empty: the row is on
        the efficient frontier); ``surely_by``, whose intervals of latency and accuracy are both apart from the row's,
        on the better side; ``perhaps_by``, whose intervals do not rule it out.
    """
    known = overview.dropna(subset=["latency_s", "top1"])
    lists: dict[str, list[list[str]]] = {"dominated_by": [], "surely_by": [], "perhaps_by": []}
    for row in known.itertuples():
        others = known[(known["runtime"] == row.runtime) & (known.index != row.Index)]
        better = (others["latency_s"] <= row.latency_s) & (others["top1"] >= row.top1)
        better &= (others["latency_s"] < row.latency_s) | (others["top1"] > row.top1)
        surely = (others["latency_s_high"] < row.latency_s_low) & (others["top1_low"] > row.top1_high)
        perhaps = (others["latency_s_low"] <= row.latency_s_high) & (others["top1_high"] >= row.top1_low)
        for found, chosen in zip(lists.values(), (better, surely, perhaps & ~surely), strict=True):
            found.append(list(others.loc[chosen, "variant"]))
    return known.assign(**{name: pd.Series(found, index=known.index, dtype=object) for name, found in lists.items()})
