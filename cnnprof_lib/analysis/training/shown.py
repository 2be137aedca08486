"""How accuracy grows with training, and how long a training step takes, as figures and a table."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import interval_lengths, label_right, legend_below, log_ticks, name_rows, row_heights
from ...page.table import Column, interval_texts, styled
from ..colours import THESIS, source_style
from .numbers import PUBLISHED_SOURCE

TRAINING_CAPTION = hover.Caption("training", "How accuracy grows with training")
STEP_TIMES_CAPTION = hover.Caption(
    "training-time",
    "Median time of a training step, by the recipes and machines that also trained the baseline. The thesis printed "
    "the times of whole trainings; the step that they come to is drawn beside ours, with a line for what rounding "
    "leaves open",
)
_MS = 1e3
_ROW_SHARE = 0.8
"""Of the distance between two variants, what their points take up."""

_TRAININGS = {
    "variant": Column("variant", wraps=False),
    "recipe": Column("recipe"),
    "seed": Column("seed", "{:.0f}".format),
    "steps": Column("steps", "{:,.0f}".format),
    "machine": Column("machine"),
    "step_s": Column("median step", units.seconds),
    "training_s": Column("steps × median [h]", lambda seconds: f"{seconds / 3600:.2f}"),
    "held_out_top1": Column("held out", units.percent, "top-1"),
    "top1": Column("test", units.percent, "top-1"),
    "top1_interval": Column("95% interval", None, "top-1", wraps=False),
}
_QUANTITIES = {
    "held_out_accuracy": ("top-1 on the images held out [%]", 100.0),
    "accuracy": ("top-1 on the training batches [%]", 100.0),
    "loss": ("loss on the training batches", 1.0),
    "learning_rate": ("learning rate", 1.0),
    "images_per_s": ("images per second", 1.0),
}


def training_curves_figure(data: pd.DataFrame, *, quantity: str | None = None, ax: Axes | None = None) -> Axes:
    """One line per training against the step, on a log scale: a colour per variant, dashes per recipe.

    Args:
        data: As from `numbers.training_history`; trainings whose records do not hold the quantity are left out.
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


def step_times_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How long a training step takes, on a log scale: a point per variant and recipe, and what the thesis comes to.

    Trainings of several machines are drawn apart. Beside each point stands what part it is of the baseline's by the
    same recipe on the same machine, where that was timed.

    Args:
        data: From `numbers.training_step_times`.
        ax: Where to draw; some 0.2 inches of height for each source in each row keep the texts apart.
    """
    ax = ax or plt.gca()
    variants = list(data.groupby("variant")["step_s"].min().sort_values(ascending=False).index)
    sources = list(data["source"].unique())
    colours = sns.color_palette("colorblind", len(sources))
    for place, (source, rows) in enumerate(data.groupby("source", sort=False)):
        look = source_style(THESIS) if source == PUBLISHED_SOURCE else {"color": colours[place], "marker": "o"}
        y = row_heights(rows["variant"], variants, place, len(sources), room=_ROW_SHARE / len(sources))
        xerr = interval_lengths(rows, "step_s", _MS)
        ax.errorbar(rows["step_s"] * _MS, y, xerr=xerr, linestyle="none", label=source, **look)
        for step_s, factor, end, height in zip(rows["step_s"], rows["factor"], rows["step_s_high"], y, strict=True):
            beside = "" if np.isnan(factor) or factor == 1 else f", {factor:.3f} of the baseline's"
            label_right(ax, units.seconds(step_s) + beside, (end * _MS, height))
    ax.set_xscale("log")
    log_ticks(ax.xaxis)
    ax.margins(x=0.1)
    name_rows(ax, variants)
    ax.set(xlabel="time per training step [ms]", title="How long does a training step take?")
    legend_below(ax)
    return ax


def trainings_table(table: pd.DataFrame) -> Styler:
    """How the weights came about, from `training.numbers.trainings`."""
    shown = table.assign(top1_interval=interval_texts(table, "top1", units.percent))
    return styled(shown, _TRAININGS, caption="How the networks were trained, and how accurate they are")
