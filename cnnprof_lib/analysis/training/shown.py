"""How accuracy grows with training, and how long a training step takes, as figures and a table."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from pandas.io.formats.style import Styler

from ...base import units
from ...page.style import label_right, legend_below, log_ticks
from ...page.table import Column, interval_texts, styled
from ..colours import SOURCE_STYLES, THESIS
from ..estimates import Estimate
from ..frames import BASELINE

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


def step_times_figure(data: pd.DataFrame, published: Mapping[str, Estimate], *, ax: Axes | None = None) -> Axes:
    """How long a training step takes, on a log scale: a point per variant and recipe, and what the thesis comes to.

    Trainings of several machines are drawn apart. Beside each point stands what part it is of the baseline's by the
    same recipe on the same machine, where that was timed.

    Args:
        data: As from `numbers.trainings`; trainings without ``step_s`` are left out, of several seeds the fastest is
            drawn, which had to share the machine with least.
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


_TRAININGS = {
    "variant": Column("variant", wraps=False),
    "recipe": Column("recipe"),
    "seed": Column("seed", "{:.0f}".format),
    "steps": Column("steps", "{:,.0f}".format),
    "machine": Column("machine"),
    "step_s": Column("median step", units.seconds),
    "training_s": Column("steps times that [h]", lambda seconds: f"{seconds / 3600:.2f}"),
    "held_out_top1": Column("held out", units.percent, "top-1"),
    "top1": Column("test", units.percent, "top-1"),
    "top1_interval": Column("95% interval", None, "top-1", wraps=False),
}


def trainings_table(table: pd.DataFrame) -> Styler:
    """How the weights came about, from `training.numbers.trainings`."""
    shown = table.assign(top1_interval=interval_texts(table, "top1", units.percent))
    return styled(shown, _TRAININGS, caption="How the networks were trained, and how accurate they are")
