"""Trainings as tidy frames and curves.

Accuracies are of the test images, which were read once, unless a name says held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ..base import units
from ..records.training import TrainingRecord
from .choice import BASELINE
from .estimates import Estimate, proportion
from .style import SOURCE_STYLES, THESIS, label_right, legend_below, log_ticks

_MS = 1e3
_ROW_SHARE = 0.8
"""Of the distance between two variants, what their points take up."""
_PUBLISHED = "thesis (published)"

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


def comparable(data: pd.DataFrame) -> pd.DataFrame:
    """Timed trainings that can be set against the baseline's by the same recipe on the same machine.

    Args:
        data: As from `results`.

    Returns:
        The rows of the recipes and machines by which the baseline was trained and another variant too; all rows that
        were timed where there is no such pair.
    """
    timed = data.dropna(subset=["step_s"])
    paired = timed.groupby(["recipe", "machine"]).filter(lambda rows: {BASELINE} < set(rows["variant"]))
    return timed if paired.empty else paired


def history(records: Sequence[TrainingRecord]) -> pd.DataFrame:
    """One row per training and checkpoint: ``variant``, ``recipe``, ``seed``, and what `HistoryRow` holds."""
    return pd.DataFrame(
        {"variant": record.variant.name, "recipe": record.recipe, "seed": record.seed, **row.model_dump()}
        for record in records
        for row in record.history
    )


def training_curves(data: pd.DataFrame, *, quantity: str | None = None, ax: Axes | None = None) -> Axes:
    """One line per training against the step, on a log scale: a colour per variant, dashes per recipe.

    Args:
        data: As from `history`; trainings whose records do not hold the quantity are left out.
        quantity: ``held_out_accuracy``, ``accuracy``, ``loss``, ``learning_rate`` or ``images_per_s``; None takes the
            first of these that any training holds.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    quantity = quantity or next(name for name in _QUANTITIES if data[name].notna().any())
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
    ax.set_xscale("log")  # recipes of 20,000 and of 100,000 steps can both be read
    log_ticks(ax.xaxis)
    ax.set(xlabel="training step", ylabel=label)
    sns.move_legend(ax, "upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def step_times(data: pd.DataFrame, published: Mapping[str, Estimate], *, ax: Axes | None = None) -> Axes:
    """How long a training step takes, on a log scale: a point per variant and recipe, and what the thesis comes to.

    Trainings of several machines are drawn apart. Beside each point stands what part it is of the baseline's by the
    same recipe on the same machine, where that was timed.

    Args:
        data: As from `results`; trainings without ``step_s`` are left out, of several seeds the fastest is drawn, which
            had to share the machine with least.
        published: The thesis's seconds per step by variant, from `training_rules.published_step_s`.
        ax: Where to draw; some 0.2 inches of height for each source in each row keep the texts apart.
    """
    ax = ax or plt.gca()
    table = _beside_published(data, published)
    variants = list(table.groupby("variant")["value"].min().sort_values(ascending=False).index)
    sources = list(table["source"].unique())
    colours = sns.color_palette("colorblind", len(sources))
    for place, (source, rows) in enumerate(table.groupby("source", sort=False)):
        look = SOURCE_STYLES[THESIS] if source == _PUBLISHED else {"color": colours[place], "marker": "o"}
        shift = _ROW_SHARE * (place - (len(sources) - 1) / 2) / len(sources)
        y = [variants.index(name) + shift for name in rows["variant"]]
        ends = [(rows["value"] - rows["low"]) * _MS, (rows["high"] - rows["value"]) * _MS]
        ax.errorbar(rows["value"] * _MS, y, xerr=ends, linestyle="none", label=source, **look)
        for step_s, factor, end, height in zip(rows["value"], rows["factor"], rows["high"], y, strict=True):
            beside = "" if np.isnan(factor) or factor == 1 else f", {factor:.3f} of the baseline's"
            label_right(ax, units.seconds(step_s) + beside, (end * _MS, height))
    ax.set_xscale("log")
    log_ticks(ax.xaxis)
    ax.margins(x=0.1)
    ax.set_yticks(range(len(variants)), variants)
    ax.set_ylim(len(variants) - 0.5, -0.5)
    ax.set(xlabel="time per training step [ms]", title="How long does a training step take?")
    legend_below(ax)
    return ax


def _beside_published(data: pd.DataFrame, published: Mapping[str, Estimate]) -> pd.DataFrame:
    """``source`` as the legend names it, ``variant``, ``value``, ``low`` and ``high`` in seconds per step, ``factor``.

    Ours have no interval; the thesis's is what its rounding leaves open.
    """
    timed = data.dropna(subset=["step_s"]).groupby(["recipe", "machine", "variant"], sort=False)["step_s"].min()
    ours = timed.reset_index()
    named = "recipe " + ours["recipe"]
    ours["source"] = named + ", " + ours["machine"] if ours["machine"].nunique() > 1 else named
    rows = [(row.source, row.variant, row.step_s, row.step_s, row.step_s) for row in ours.itertuples(index=False)]
    rows += [(_PUBLISHED, variant, *step_s) for variant, step_s in published.items()]
    table = pd.DataFrame(rows, columns=["source", "variant", "value", "low", "high"])
    baselines = table[table["variant"] == BASELINE].set_index("source")["value"]
    return table.assign(factor=table["value"] / table["source"].map(baselines))
