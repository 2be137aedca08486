"""Comparisons across runs: the stride series of the thesis, and whether profiling changes their order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from ..params.layers import Conv
from ..params.variant import VariantSpec
from ..thesis import PUBLISHED, published_table
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
