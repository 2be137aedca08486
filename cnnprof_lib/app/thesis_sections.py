"""What the thesis adds to the report: the only module of the report that knows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML
from pandas.io.formats.style import Styler

from ..analysis.estimates import Estimate
from ..page.table import folded_table
from ..records.run import RunRecord
from ..records.training import TrainingRecord
from ..thesis import claims_table, errata, points, recipes, shown, strides, training_rules, verdicts
from .answer_sections import is_answered
from .report_text import STRIDE_CAPTION, claims_drawn_text
from .study import Study

_JUDGED = "## Claims of the thesis"
_CORRECTED = """### Errata of the published tables

In the published tables the op names keep one order, but the values are sorted by time. So a name may stand beside the
values of another op. The bytes tell which: what an op requests follows from the shapes of the network."""


class ThesisSections:
    """Parts of sections, see `sections.Report`."""

    def __init__(self, study: Study) -> None:
        self._every = study
        self._study = study.detailed()

    def citation(self) -> str:
        """Whose the published figures are."""
        return shown.citation(self._study.records)

    def slowdown(self) -> str:
        """What the thesis says that profiling costs."""
        return shown.slowdown()

    def published(self, variant: str) -> str:
        """What the thesis printed of a variant."""
        return shown.published(variant)

    def published_points(self) -> pd.DataFrame:
        """What was published of the networks that were run, see `points.published_points`."""
        return points.published_points(set(self._every.frontier()["variant"]))

    def published_step_s(self) -> Mapping[str, Estimate]:
        """The thesis's seconds per training step, by variant."""
        return training_rules.published_step_s()

    def tables_beside(self, run: RunRecord) -> list[tuple[str, Styler]]:
        """The published table of a run's variant with its title, where there is one for the runtime's ops."""
        return shown.published_beside(run)

    def stride(self) -> Iterator[object]:
        """Latency and Conv2D's share against the stride."""
        by_stride = strides.stride_table(self._study.records)
        if by_stride.empty:
            return
        yield "### Stride"
        figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
        strides.latency_against_stride(by_stride, ax=left)
        strides.conv2d_share_against_stride(by_stride, ax=right)
        yield STRIDE_CAPTION.put(figure)

    def claims(self) -> Iterator[object]:
        """The claims with their verdicts."""
        yield _JUDGED
        if not (self._study.runs and self.citation()):
            yield "No network of the thesis was run here, so none of its claims can be judged."
        else:
            timed = any(record.step_s for record in self._study.trainings)
            yield verdicts.EXPLANATION
            drawn = not strides.stride_table(self._study.records).empty
            yield claims_drawn_text(strides_drawn=drawn, accuracy_drawn=is_answered(self._every), steps_trained=timed)
            yield claims_table.styled_claims(self._every.verdicts())

    def errata(self) -> Iterator[object]:
        """The published tables, corrected."""
        rows = errata.errata(shown.tables_printed(self._study.runs))
        if not rows.empty:
            yield _CORRECTED
            yield shown.errata_text(rows)
            yield HTML(folded_table("Every printed row and the ops it may belong to", shown.styled_errata(rows)))

    def recipes(self, trainings: Sequence[TrainingRecord]) -> Iterator[object]:
        """Recipes beside the thesis's."""
        yield shown.styled_recipes(recipes.compare(self._study.store, trainings))
