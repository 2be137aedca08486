"""How well latency was predicted: predicted against measured, network by network and in groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from ...records.calibration import ProbeRecord
from ..frames import frame_of
from .numbers import Predictor

WITHIN = 0.1
"""An error that is called small."""


class ScoreRow(NamedTuple):
    """One network that the predictor did not know, in seconds per step."""

    group: str
    network: str
    batch_size: int
    measured_s: float
    predicted_s: float
    predicted_s_low: float
    predicted_s_high: float
    outside: int
    """Layers unlike any that were calibrated."""


def scores(predictor: Predictor, probes: Iterable[ProbeRecord]) -> pd.DataFrame:
    """A `ScoreRow` for each network measured, whose family is its group; times as if beside the same reference."""
    rows = []
    for probe in probes:
        found = predictor.predict(probe.network, probe.batch_size)
        rows.append(
            ScoreRow(
                probe.family,
                probe.network.name,
                probe.batch_size,
                probe.ratio * predictor.reference_s,
                found.latency_s,
                found.low_s,
                found.high_s,
                len(found.outside),
            )
        )
    return frame_of(ScoreRow, rows)


class GroupRow(NamedTuple):
    """How well the networks of a group were predicted."""

    group: str
    networks: int
    median_error: float
    """Of the relative errors' sizes; the next is what 95% of them stay below."""
    error_95: float
    within: float
    """Share of the networks with an error of `WITHIN` at most."""
    covered: float
    """Share of the networks whose interval holds what was measured."""
    outside: float
    """Share of the networks with a layer unlike any that were calibrated."""


def by_group(scored: pd.DataFrame) -> pd.DataFrame:
    """A `GroupRow` for each group of `scores`, in the order in which they come, and one for all together."""
    groups = [*scored.groupby("group", sort=False), ("all", scored)] if len(scored) else []
    return frame_of(GroupRow, [_summary(str(name), rows) for name, rows in groups])


def _summary(name: str, rows: pd.DataFrame) -> GroupRow:
    error = (rows["predicted_s"] / rows["measured_s"] - 1).abs()
    covered = rows["measured_s"].between(rows["predicted_s_low"], rows["predicted_s_high"])
    return GroupRow(
        name,
        len(rows),
        float(error.median()),
        float(error.quantile(0.95)),
        float((error <= WITHIN).mean()),
        float(covered.mean()),
        float((rows["outside"] > 0).mean()),
    )
