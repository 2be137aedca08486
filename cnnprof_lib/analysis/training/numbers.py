"""Trainings as tidy frames.

Accuracies are of the test images, which were read once, unless a name says held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...records.training import TrainingRecord
from ..estimates import Estimate, proportion
from ..frames import frame_of

PUBLISHED_SOURCE = "thesis (published)"


class TrainingRow(NamedTuple):
    """One training."""

    variant: str
    recipe: str
    seed: int
    steps: int
    machine: str
    """`TrainingRecord.machine_in_words`."""
    seconds: float
    """As measured, pauses included."""
    step_s: float
    """Median; missing in older records."""
    training_s: float
    """Steps times the median step: what an undisturbed training takes."""
    held_out_top1: float
    top1: float
    top1_low: float
    """With the next, its 95% interval."""
    top1_high: float


def trainings(records: Sequence[TrainingRecord]) -> pd.DataFrame:
    """A `TrainingRow` per training."""
    rows = []
    for record in records:
        top1 = proportion(record.test.correct, record.test.images)
        step_s = np.nan if record.step_s is None else record.step_s
        rows.append(
            TrainingRow(
                record.variant.name,
                record.recipe,
                record.seed,
                record.steps,
                machine=record.machine_in_words,
                seconds=record.seconds,
                step_s=step_s,
                training_s=record.steps * step_s,
                held_out_top1=record.held_out.top1 if record.held_out else np.nan,
                top1=top1.value,
                top1_low=top1.low,
                top1_high=top1.high,
            )
        )
    return frame_of(TrainingRow, rows)


def comparable_trainings(data: pd.DataFrame, baseline: str | None) -> pd.DataFrame:
    """Timed trainings that can be set against the baseline's by the same recipe on the same machine.

    Args:
        data: As from `trainings`.
        baseline: Its name.

    Returns:
        The rows of the recipes and machines by which the baseline was trained and another variant too; all rows that
        were timed where there is no such pair.
    """
    timed = data.dropna(subset=["step_s"])
    paired = timed.groupby(["recipe", "machine"]).filter(lambda rows: {baseline} < set(rows["variant"]))
    return timed if paired.empty else paired


def training_history(records: Sequence[TrainingRecord]) -> pd.DataFrame:
    """One row per training and checkpoint: ``variant``, ``recipe``, ``seed``, and what `HistoryRow` holds."""
    return pd.DataFrame(
        {"variant": record.variant.name, "recipe": record.recipe, "seed": record.seed, **row.model_dump()}
        for record in records
        for row in record.history
    )


def training_step_times(data: pd.DataFrame, published: Mapping[str, Estimate], baseline: str | None) -> pd.DataFrame:
    """One row per variant and source: how long a training step takes, ours beside what the thesis comes to.

    Args:
        data: From `trainings`; those without ``step_s`` are left out, of several seeds the fastest is taken, which had
            to share the machine with least.
        published: The thesis's seconds per step by variant, from `training_rules.published_step_s`.
        baseline: Its name.

    Returns:
        ``source``, a recipe, with its machine where there are several, or `PUBLISHED_SOURCE`; ``variant``; ``step_s``
        with ``step_s_low`` and ``step_s_high``, what the thesis's rounding leaves open, none for ours; ``factor`` over
        the baseline's step of the same source, missing where that was not timed.
    """
    timed = data.dropna(subset=["step_s"]).groupby(["recipe", "machine", "variant"], sort=False)["step_s"].min()
    ours = timed.reset_index()
    named = "recipe " + ours["recipe"]
    ours["source"] = named + ", " + ours["machine"] if ours["machine"].nunique() > 1 else named
    rows = [(row.source, row.variant, row.step_s, row.step_s, row.step_s) for row in ours.itertuples(index=False)]
    rows += [(PUBLISHED_SOURCE, variant, *step_s) for variant, step_s in published.items()]
    table = pd.DataFrame(rows, columns=["source", "variant", "step_s", "step_s_low", "step_s_high"])
    baselines = table[table["variant"] == baseline].set_index("source")["step_s"]
    return table.assign(factor=table["step_s"] / table["source"].map(baselines))
