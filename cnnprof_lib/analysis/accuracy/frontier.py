"""The efficient frontier: the variants that no other one beats in latency and accuracy together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..estimates import Estimate, difference_of_proportions, is_below
from ..frames import frame_of
from .numbers import paired_loss

PLACE = ["runtime", "machine"]
"""Columns of that within which latencies compare."""
ON_FRONTIER, DOMINATED, SLOWER, LESS_ACCURATE, BEHIND = "frontier", "dominated", "slower", "less accurate", "behind"
"""How a variant stands to its rival: slower with an accuracy that cannot be told apart, less accurate with a latency
that cannot be, or behind in both, neither of which can be told."""


class StandingRow(NamedTuple):
    """How a variant stands to the fastest of those that may dominate it, as far as the intervals allow."""

    runtime: str
    machine: str
    """Its kind."""
    variant: str
    standing: str
    rival: str = ""
    """Missing on the frontier."""


def in_one_scale(overview: pd.DataFrame) -> pd.DataFrame:
    """Latencies that can be set against each other, though each run was timed in a process of its own.

    One process may be slower than another for no reason of the network's. So each latency becomes that of the baseline
    in the same runtime on the same kind of machine, times the ratio to the baseline that the run measured within its
    own processes.

    Args:
        overview: From `variants.numbers.overview`.

    Returns:
        A copy with other ``latency_s``, ``latency_s_low`` and ``latency_s_high``; as they were where that has no
        run of the baseline.
    """
    base_s = overview["latency_s"].where(overview["is_baseline"])
    scale_s = base_s.groupby([overview[name] for name in PLACE]).transform("first")
    return overview.assign(
        latency_s=(scale_s * overview["ratio"]).fillna(overview["latency_s"]),
        latency_s_low=(scale_s * overview["ratio_low"]).fillna(overview["latency_s_low"]),
        latency_s_high=(scale_s * overview["ratio_high"]).fillna(overview["latency_s_high"]),
    )


def dominated(data: pd.DataFrame) -> pd.Series[bool]:
    """Which rows another one of the same `PLACE` beats, by the values alone, whatever their intervals.

    Args:
        data: Rows of `in_one_scale` with a latency and an accuracy.

    Returns:
        True where another row is no slower and no less accurate, and one of the two better; on the index of ``data``.
    """
    beaten = np.zeros(len(data), dtype=bool)
    for places in data.groupby(PLACE).indices.values():
        rows = data.iloc[places]
        best = rows.groupby("latency_s")["top1"].max()  # by rising latency
        best_faster = rows["latency_s"].map(best.cummax().shift(fill_value=-np.inf))
        beaten[places] = (best_faster >= rows["top1"]) | (rows["latency_s"].map(best) > rows["top1"])
    return pd.Series(beaten, index=data.index, dtype=bool)


def frontier(overview: pd.DataFrame) -> pd.DataFrame:
    """The rows of an overview with a latency and an accuracy, `in_one_scale`, and whether each is `dominated`."""
    known = in_one_scale(overview).dropna(subset=["latency_s", "top1"])
    return known.assign(dominated=dominated(known))


def standings(overview: pd.DataFrame, outcomes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A `StandingRow` per variant of each `PLACE` with two or more variants.

    A variant is faster where the intervals of the ratios to the baseline are apart, by more than the machine can tell
    apart, and more accurate where the interval of the difference leaves out 0.

    Args:
        overview: From `variants.numbers.overview`; runs without a latency or an accuracy are left out.
        outcomes: From `numbers.outcomes`. Variants that are in it are compared image by image, others by their
            accuracies alone.
    """
    rows = []
    for _, alike in frontier(overview).groupby(PLACE, sort=False):
        by_name = alike.set_index("variant")
        runtime, machine = alike[PLACE].iloc[0]
        if len(alike) > 1:
            right = outcomes.get(runtime, pd.DataFrame())
            rows += [StandingRow(runtime, machine, name, *_standing(name, by_name, right)) for name in by_name.index]
    return frame_of(StandingRow, rows)


def _standing(name: str, rows: pd.DataFrame, outcomes: pd.DataFrame) -> tuple[str, str]:
    """How a variant stands, and to which rival."""
    rivals = {
        rival: (_is_faster(rival, name, rows), _is_more_accurate(rival, name, rows, outcomes))
        for rival in rows.sort_values("latency_s").index
        if rival != name
    }
    told = {found: rival for rival, found in reversed(rivals.items())}
    for found, standing in (((True, True), DOMINATED), ((True, None), SLOWER), ((None, True), LESS_ACCURATE)):
        if found in told:
            return standing, told[found]
    if (rival := told.get((None, None))) and dominated(rows.loc[[rival, name]]).iloc[1]:
        return BEHIND, rival
    return ON_FRONTIER, ""


def _is_faster(rival: str, name: str, rows: pd.DataFrame) -> bool | None:
    """None where it cannot be told."""
    ratios = [Estimate(*rows.loc[who, ["ratio", "ratio_low", "ratio_high"]].astype(float)) for who in (rival, name)]
    between, smallest = ratios[1].value / ratios[0].value, rows["smallest_ratio"].max()
    if 1 / smallest <= between <= smallest or any(np.isnan(ratio.low) for ratio in ratios):
        return None
    return is_below(*ratios)


def _is_more_accurate(rival: str, name: str, rows: pd.DataFrame, outcomes: pd.DataFrame) -> bool | None:
    """None where it cannot be told."""
    if {rival, name} <= set(outcomes.columns):
        loss = paired_loss(outcomes[rival].to_numpy(dtype=bool), outcomes[name].to_numpy(dtype=bool))
    else:
        top1 = [Estimate(*rows.loc[who, ["top1", "top1_low", "top1_high"]].astype(float)) for who in (rival, name)]
        loss = difference_of_proportions(*top1)
    if loss.low <= 0 <= loss.high:
        return None
    return loss.low > 0
