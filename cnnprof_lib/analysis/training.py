"""Trainings as tidy frames and curves.

Accuracies are of the test images, which were read once, unless a name says held out.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ..training_records import TrainingRecord
from .estimates import proportion

_QUANTITIES = {
    "held_out_accuracy": ("top-1 on the images held out [%]", 100.0),
    "accuracy": ("top-1 on the training batches [%]", 100.0),
    "loss": ("loss on the training batches", 1.0),
    "learning_rate": ("learning rate", 1.0),
    "images_per_s": ("images per second", 1.0),
}


def results(records: Sequence[TrainingRecord]) -> pd.DataFrame:
    """One row per training.

    Returns:
        ``variant``, ``recipe``, ``seed``, ``steps``, ``seconds`` (as measured, pauses included), ``step_s`` (median;
        NaN in older records), ``training_s`` (steps times the median step: what an undisturbed training takes),
        ``held_out_top1``, and ``top1`` with ``top1_low`` and ``top1_high``, its 95% interval.
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


def history(records: Sequence[TrainingRecord]) -> pd.DataFrame:
    """One row per training and checkpoint: ``variant``, ``recipe``, ``seed``, and what `HistoryRow` holds."""
    return pd.DataFrame(
        {"variant": record.variant.name, "recipe": record.recipe, "seed": record.seed, **row.model_dump()}
        for record in records
        for row in record.history
    )


def training_curves(data: pd.DataFrame, *, quantity: str = "held_out_accuracy", ax: Axes | None = None) -> Axes:
    """One line per training against the step: a colour per variant, dashes per recipe.

    Args:
        data: As from `history`; trainings whose records do not hold the quantity are left out.
        quantity: ``held_out_accuracy``, ``accuracy``, ``loss``, ``learning_rate`` or ``images_per_s``.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    label, factor = _QUANTITIES[quantity]
    known = data.dropna(subset=[quantity])
    sns.lineplot(
        known.assign(drawn=known[quantity].astype(float) * factor),
        x="step",
        y="drawn",
        hue="variant",
        style="recipe",
        units="seed",
        estimator=None,
        palette="colorblind",
        ax=ax,
    )
    ax.set(xlabel="training step", ylabel=label)
    sns.move_legend(ax, "upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax
