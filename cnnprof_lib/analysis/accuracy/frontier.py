"""The efficient frontier: the networks and runtimes that no other one beats in latency and accuracy together.

All stand on two scales. Latency is over that of the baseline in the reference runtime, which every run times beside
itself. Accuracy is by the runtime's own answers to the same test images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...params.runtimes import REFERENCE_RUNTIME
from ..frames import frame_of
from .numbers import paired_loss, right_on_the_same_images

PLACE = ["runtime", "machine"]
"""Columns of that within which latencies compare."""
LIMITS_POINTS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Losses of accuracy that a reader may be willing to bear, in percentage points."""
ANSWER_POINTS = 1.0
"""The one that the answer in words is about. Own choice: of 10,000 test images an interval is about as wide."""


class FrontierRow(NamedTuple):
    """A network in a runtime, with a ratio and an accuracy."""

    variant: str
    runtime: str
    machine: str
    """Its kind."""
    is_base: bool
    """Whether it is what all are compared with: the baseline in the reference runtime."""
    ratio: float
    """To the latency of the base; 1, without an interval, for the base itself."""
    ratio_low: float
    ratio_high: float
    top1: float
    top1_low: float
    top1_high: float
    loss: float = math.nan
    """Share of the same test images lost against the base, with its 95% interval; missing where it is not known."""
    loss_low: float = math.nan
    loss_high: float = math.nan
    images: float = math.nan
    """In pairs."""
    dominated: bool = False


class PublishedRow(NamedTuple):
    """What somebody printed of a network."""

    source: str
    """Who, as a legend has it."""
    name: str
    top1: float
    ratio: float = math.nan
    """Of the printed latency to that of the same source's baseline; missing where there is none."""


class ChoiceRow(NamedTuple):
    """The fastest network and runtime that stay within a limit, with 95%: the interval of the loss ends below it."""

    limit_points: float
    variant: str
    """The base where nothing faster qualifies."""
    runtime: str
    machine: str
    ratio: float
    ratio_low: float
    ratio_high: float
    loss: float
    loss_low: float
    loss_high: float
    undecided: str
    """The fastest, if faster, whose interval has the limit inside; empty where there is none."""
    images: int


def frontier(table: pd.DataFrame, scored: Mapping[tuple[str, str], pd.DataFrame], baseline: str | None) -> pd.DataFrame:
    """A `FrontierRow` for each row with an accuracy that was timed beside the baseline in the reference runtime.

    Args:
        table: From `runtimes.numbers.by_runtime`.
        scored: From `numbers.scored`.
        baseline: Its name.
    """
    known = table[table["reference"] == baseline].dropna(subset=["ratio", "top1"])
    base = (str(baseline), REFERENCE_RUNTIME)
    first = {base: scored[base]} if base in scored else {}
    alike = right_on_the_same_images({**first, **scored} if first else {})
    right = {key: column.to_numpy(dtype=bool) for key, column in alike.items()}
    rows = frame_of(FrontierRow, [_row(row, base, right) for row in known.to_dict("records")])
    return rows.assign(
        dominated=dominated(rows.assign(runtime="", machine="", latency_s=rows["ratio"]))
    )  # of all at once


def _row(row: Mapping[Any, Any], base: tuple[str, str], right: Mapping[Any, NDArray[np.bool_]]) -> FrontierRow:
    key = row["variant"], row["runtime"]
    ratio = (1.0, math.nan, math.nan) if key == base else tuple(row[f"ratio{end}"] for end in ("", "_low", "_high"))
    top1 = (row[f"top1{end}"] for end in ("", "_low", "_high"))
    found = FrontierRow(*key, row["machine"], key == base, *ratio, *top1)
    if key not in right:
        return found
    loss, low, high = (0.0, 0.0, 0.0) if key == base else paired_loss(right[base], right[key])
    return found._replace(loss=loss, loss_low=low, loss_high=high, images=len(right[base]))


def dominated(data: pd.DataFrame) -> pd.Series[bool]:
    """Which rows another one of the same `PLACE` beats, by the values alone, whatever their intervals.

    Args:
        data: With `PLACE`, ``latency_s`` and ``top1``, none missing.

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


def choices(rows: pd.DataFrame, limits_points: Sequence[float] = LIMITS_POINTS) -> pd.DataFrame:
    """A `ChoiceRow` per limit; none where it is not known what anything loses against the base.

    Args:
        rows: From `frontier`.
        limits_points: Losses to bear, in percentage points.
    """
    known = rows.dropna(subset=["loss"]).sort_values("ratio")
    limits = limits_points if known["is_base"].any() and len(known) > 1 else ()
    return frame_of(ChoiceRow, [_within(known, limit) for limit in limits])


def _within(known: pd.DataFrame, limit_points: float) -> ChoiceRow:
    """Of rows by rising ratio."""
    limit = limit_points / 100
    chosen = known[known["loss_high"] <= limit].iloc[0]
    inside = known[(known["loss_low"] <= limit) & (limit < known["loss_high"])]
    faster = inside[inside["ratio"] < chosen["ratio"]]
    names = ("variant", "runtime", "machine", "ratio", "ratio_low", "ratio_high", "loss", "loss_low", "loss_high")
    return ChoiceRow(
        limit_points,
        **{name: chosen[name] for name in names},
        undecided="" if faster.empty else f"{faster['variant'].iloc[0]} in {faster['runtime'].iloc[0]}",
        images=int(chosen["images"]),
    )


def answer(chosen: pd.DataFrame) -> ChoiceRow | None:
    """The choice at `ANSWER_POINTS`, if there is one; ``chosen`` from `choices`."""
    found = chosen[chosen["limit_points"] == ANSWER_POINTS].to_dict("records")
    return ChoiceRow(**{str(name): value for name, value in found[0].items()}) if found else None
