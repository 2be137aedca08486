"""The chapter of the report on trained networks that were made cheaper."""

from __future__ import annotations

from collections.abc import Iterator

from ..analysis.optimizing import numbers, shown
from .study import Study


def optimized_parts(study: Study) -> Iterator[object]:
    """A sentence and a table; nothing where no network was made cheaper."""
    records = study.store.optimizations()
    if not records:
        return
    yield "## Trained networks made cheaper"
    yield shown.optimized_text(records)
    yield shown.tried_methods_table(numbers.tried_methods(records))
