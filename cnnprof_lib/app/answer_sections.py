"""The report's first section: which network to take, in which runtime, and whom it forgets."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML

from ..analysis.accuracy import forgets, frontier, shown, shown_forgets
from ..base.errors import MeasureError, StoreError
from ..page.table import folded_table
from ..params.runtimes import REFERENCE_RUNTIME
from .study import Study


def is_answered(study: Study) -> bool:
    """Whether there is a figure of accuracy against latency: of two points or more."""
    return len(study.frontier()) > 1


def answer_parts(study: Study, published: pd.DataFrame | None) -> Iterator[object]:
    """A sentence, a figure and a table, in order; a line for what cannot be said.

    Args:
        study: All that is stored, in all runtimes.
        published: What others printed, rows of `frontier.PublishedRow`.
    """
    rows, choices = study.frontier(), study.choices()
    if not is_answered(study):
        yield shown.NO_FRONTIER
        return
    chosen, baseline = frontier.answer(choices), study.baseline or ""
    yield shown.answer_text(chosen, baseline) if chosen else shown.NO_CHOICE
    figure, ax = plt.subplots(figsize=(12, 5.5))
    shown.answer_figure(rows, published, ax=ax)
    yield shown.ACCURACY_CAPTION.put(figure)
    if chosen:
        yield shown.choice_table(choices)
        yield from _forgotten(study, baseline, chosen)


def _forgotten(study: Study, baseline: str, chosen: frontier.ChoiceRow) -> Iterator[object]:
    """What the network that the answer names loses by class; nothing where it is the baseline itself."""
    if (chosen.variant, chosen.runtime) == (baseline, REFERENCE_RUNTIME):
        return
    runs = {(run.name, run.runtime): run for run in study.runs}
    before, after = runs[baseline, REFERENCE_RUNTIME], runs[chosen.variant, chosen.runtime]
    try:
        found = forgets.forgotten(study.store, before, after)
    except (MeasureError, StoreError) as error:
        yield str(error)
        return
    yield shown_forgets.forgets_text(found)
    title = f"By class: {baseline} in {REFERENCE_RUNTIME} before, {chosen.variant} in {chosen.runtime} after"
    yield HTML(folded_table(title, shown_forgets.forgets_table(found.classes)))
