"""Whom a network forgets: as a table by class, in words, and as a sheet of images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pandas.io.formats.style import Styler

from ...base import units
from ...page.table import Column, interval_texts, styled
from ...page.text import code, listed
from .forgets import GAINED, LOST_MORE, Forgotten

MOST_PICTURED = 100
"""Images on a sheet: own choice."""
_COLUMNS = 10
_TOP1, _LOSS, _ALONE = "top-1", "points lost", "images that one alone gets right"
_CLASSES = {
    "label": Column("class", wraps=False),
    "images": Column("images", "{:,}".format),
    "top1_before": Column("before", units.percent, _TOP1),
    "top1_after": Column("after", units.percent, _TOP1),
    "loss_points": Column("measured", "{:+.1f}".format, _LOSS),
    "loss_interval": Column("95%, all at once", None, _LOSS, wraps=False),
    "told": Column("", None, _LOSS, wraps=False),
    "only_before": Column("before", "{:,}".format, _ALONE),
    "only_after": Column("after", "{:,}".format, _ALONE),
}


def forgets_table(classes: pd.DataFrame) -> Styler:
    """What each class loses, from `forgets.by_class`."""
    points = classes.assign(**{name: classes[name] * 100 for name in ("loss", "loss_low", "loss_high")})
    shown = classes.assign(loss_points=points["loss"], loss_interval=interval_texts(points, "loss", "{:+.1f}".format))
    return styled(shown, _CLASSES)


def forgets_text(found: Forgotten) -> str:
    """How many images the two answer unlike, and which classes lose; in Markdown."""
    before, after = (f"{code(run.name)} in `{run.runtime}`" for run in (found.before, found.after))
    both_wrong = found.differ - found.only_before - found.only_after
    seeds = (
        ""
        if math.isnan(found.seeds_differ)
        else f" Two trainings of {code(found.before.name)} that differ by the seed alone disagree on "
        f"{units.counted(round(found.seeds_differ), 'image')}."
    )
    return (
        f"{after} and {before} disagree on {found.differ:,} of {units.counted(found.images, 'test image')}: "
        f"{found.only_after:,} only the former gets right, {found.only_before:,} only the latter, {both_wrong:,} "
        f"neither.{seeds} {_classes(found.classes)}"
    )


def _classes(classes: pd.DataFrame) -> str:
    if len(classes) < 2:
        return ""
    told = [
        f"{code(row['label'])} {_change(row['told'], row['loss'])}" for row in classes.to_dict("records") if row["told"]
    ]
    if told:
        return f"By class, told for all {len(classes)} at once: {listed(told)}."
    return f"No class is known to lose or gain, as far as {len(classes)} classes at once can be told."


def _change(told: str, loss: float) -> str:
    points = f"{'gains' if told == GAINED else 'loses'} {abs(100 * loss):.1f} points"
    return f"{points}, {told}" if told == LOST_MORE else points


def contact_figure(found: Forgotten, images: NDArray[np.uint8]) -> Figure:
    """A sheet of images that only the network before gets right, the first of each class: at most `MOST_PICTURED`.

    Args:
        found: From `forgets.forgotten`.
        images: All test images, (n, rows, columns, channels), drawn pixel by pixel as they are.
    """
    lost = found.outcomes.iloc[found.lost]
    each = max(MOST_PICTURED // max(lost["label"].nunique(), 1), 1)
    wrong = lost.groupby("label").head(each).sort_values("label", kind="stable").head(MOST_PICTURED)
    rows = max(math.ceil(len(wrong) / _COLUMNS), 1)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(12, 0.8 + 1.5 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.axis("off")
    for ax, row in zip(axes.flat, wrong.reset_index(names="place").to_dict("records"), strict=False):
        ax.imshow(images[row["place"]], interpolation="nearest", cmap="gray")
        answers = [_name(found.names, row[side]) for side in ("label", "after")]
        ax.set_title("\n→ ".join(answers), fontsize=7, parse_math=False)
    figure.suptitle(
        f"{len(wrong)} of {units.counted(len(found.lost), 'image')} that only {found.before.name} in "
        f"{found.before.runtime} gets right, each with the answer of {found.after.name} in {found.after.runtime}",
        fontsize=9,
        parse_math=False,
    )
    return figure


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)
