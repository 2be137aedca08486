"""Three answers to how much memory, and what lies between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ...params.costs import FLOAT32_BYTES
from ...records.run import RunRecord
from ..frames import frame_of
from ..trust.numbers import own_bytes


class MemoryRow(NamedTuple):
    """Three answers to how much memory of a run, and what lies between them; bytes, missing where they are not told."""

    variant: str
    is_baseline: bool
    runtime: str
    requested_bytes: int | None
    """In a step."""
    persistent_bytes: int | None
    """Part of it that stays from step to step."""
    step_bytes: int | None
    """The rest, the step's own."""
    live_peak_bytes: int | None
    """The most of the step's own at one moment."""
    live_peak_layer: str | None
    """Where that is."""
    parameter_bytes: int
    """The weights."""
    rss_start_bytes: int
    """Of the process before the model."""
    model_bytes: int
    """What it holds more with the model and its session."""
    stepping_bytes: int
    """And more at its peak while stepping."""
    rss_bytes: int
    """That peak."""


def memory(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """A `MemoryRow` per run."""
    return frame_of(MemoryRow, map(_memory, runs))


def _memory(run: RunRecord) -> MemoryRow:
    held = run.memory
    return MemoryRow(
        run.name,
        run.is_baseline,
        run.runtime,
        requested_bytes=held.requested_bytes,
        persistent_bytes=held.persistent_bytes,
        step_bytes=own_bytes(run),
        live_peak_bytes=held.live_peak_bytes,
        live_peak_layer=held.live_peak_layer,
        parameter_bytes=run.network.parameters * FLOAT32_BYTES,
        rss_start_bytes=held.rss_start_bytes,
        model_bytes=held.rss_loaded_bytes - held.rss_start_bytes,
        stepping_bytes=held.rss_bytes - held.rss_loaded_bytes,
        rss_bytes=held.rss_bytes,
    )
