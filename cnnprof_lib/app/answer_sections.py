"""The report's first section: which network to take, in which runtime."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pandas as pd

from ..analysis.accuracy import frontier, shown
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
