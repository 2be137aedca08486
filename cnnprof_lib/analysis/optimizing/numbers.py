"""What each method gained and lost on a trained network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from ...records.optimized import OptimizedRecord, PairedRecord, TriedRecord
from ..frames import frame_of

WHOLE = "all together"
"""The row of the network that was left."""


class MethodRow(NamedTuple):
    """One method on one network, on the images held out, or all that were kept, on the test images."""

    network: str
    method: str
    outcome: str
    tuned: str
    """``yes`` if it was trained on."""
    changed: str
    gain: float
    """Predicted cost by that before the method."""
    loss: float
    """A share, against the network as it was, with its 95% interval."""
    loss_low: float
    loss_high: float
    images: float
    seconds: float


def tried_methods(records: Iterable[OptimizedRecord]) -> pd.DataFrame:
    """A `MethodRow` for each method that was tried, and after those of a network one for all that were kept."""
    rows = []
    for record in records:
        rows += [_row(record, each) for each in record.tried]
        seconds = sum(each.seconds for each in record.tried)
        rows.append(MethodRow(record.source, WHOLE, record.name, "", "", record.gain, *_loss(record.lost), seconds))
    return frame_of(MethodRow, rows)


def _row(record: OptimizedRecord, tried: TriedRecord) -> MethodRow:
    gain = math.nan if tried.gain is None else tried.gain
    return MethodRow(
        record.source,
        tried.method,
        tried.outcome,
        "yes" if tried.tuned else "",
        tried.changed,
        gain,
        *_loss(tried.lost),
        tried.seconds,
    )


def _loss(lost: PairedRecord | None) -> tuple[float, float, float, float]:
    return (lost.loss, lost.low, lost.high, lost.images) if lost else (math.nan,) * 4
