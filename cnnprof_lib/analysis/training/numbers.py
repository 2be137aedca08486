"""Trainings as tidy frames.

Accuracies are of the test images, which were read once, unless a name says held out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...records.training import TrainingRecord
from ..estimates import proportion
from ..frames import BASELINE


def trainings(records: Sequence[TrainingRecord]) -> pd.DataFrame:
    """One row per training.

    Returns:
        ``variant``, ``recipe``, ``seed``, ``steps``, ``machine`` (`TrainingRecord.machine_in_words`),
        ``seconds`` (as measured, pauses included), ``step_s`` (median; NaN in older records), ``training_s`` (steps
        times the median step: what an undisturbed training takes), ``held_out_top1``, and ``top1`` with ``top1_low``
        and ``top1_high``, its 95% interval.
    """
    rows = []
    for record in records:
        top1 = proportion(record.test.correct, record.test.images)
        step_s = np.nan if record.step_s is None else record.step_s
        rows.append(
            {
                "variant": record.variant.name,
                "recipe": record.recipe,
                "seed": record.seed,
                "machine": record.machine_in_words,
                "steps": record.steps,
                "seconds": record.seconds,
                "step_s": step_s,
                "training_s": record.steps * step_s,
                "held_out_top1": record.held_out.top1 if record.held_out else np.nan,
                "top1": top1.value,
                "top1_low": top1.low,
                "top1_high": top1.high,
            }
        )
    return pd.DataFrame(rows)


def comparable_trainings(data: pd.DataFrame) -> pd.DataFrame:
    """Timed trainings that can be set against the baseline's by the same recipe on the same machine.

    Args:
        data: As from `trainings`.

    Returns:
        The rows of the recipes and machines by which the baseline was trained and another variant too; all rows that
        were timed where there is no such pair.
    """
    timed = data.dropna(subset=["step_s"])
    paired = timed.groupby(["recipe", "machine"]).filter(lambda rows: {BASELINE} < set(rows["variant"]))
    return timed if paired.empty else paired


def training_history(records: Sequence[TrainingRecord]) -> pd.DataFrame:
    """One row per training and checkpoint: ``variant``, ``recipe``, ``seed``, and what `HistoryRow` holds."""
    return pd.DataFrame(
        {"variant": record.variant.name, "recipe": record.recipe, "seed": record.seed, **row.model_dump()}
        for record in records
        for row in record.history
    )
