"""Trainings as tidy frames and curves, and whether two sets of weights differ on the same test images.

Accuracies are of the test images, which were read once, unless a name says held out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from scipy import stats

from ..errors import StoreError
from ..records import TrainingRecord
from .estimates import CONFIDENCE, Estimate, proportion

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
    """One row per training and checkpoint: ``variant``, ``recipe``, ``seed``, and what `records.HistoryRow` holds."""
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


class PairedDifference(NamedTuple):
    """Two sets of weights on the same test images."""

    only_first: int
    """Images that the first alone classifies rightly."""
    only_second: int
    difference: Estimate
    """Accuracy of the second less that of the first, with its interval."""
    p_value: float
    """McNemar's exact test that neither is better."""


def paired_difference(first: pd.DataFrame, second: pd.DataFrame) -> PairedDifference:
    """Compares outcomes image by image: what both get right, or both wrong, says nothing and does not count.

    Test and interval: Agresti, Categorical Data Analysis, 10.1 (the test exact, the interval by Wald).

    Args:
        first: ``predicted`` and ``label`` of every test image, from `store.Store.read_outcomes`.
        second: The same images in the same order.

    Raises:
        StoreError: the labels are not the same.
    """
    if not first["label"].equals(second["label"]):
        raise StoreError("outcomes: must be of the same test images. Received: other labels. Train on one data set.")
    right, right_too = (outcomes["predicted"] == outcomes["label"] for outcomes in (first, second))
    only_first, only_second, images = int((right & ~right_too).sum()), int((right_too & ~right).sum()), len(first)
    discordant = only_first + only_second
    value = (only_second - only_first) / images
    half = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * math.sqrt((discordant / images - value**2) / images)
    p_value = float(stats.binomtest(only_second, discordant).pvalue) if discordant else 1.0
    return PairedDifference(only_first, only_second, Estimate(value, value - half, value + half), p_value)
