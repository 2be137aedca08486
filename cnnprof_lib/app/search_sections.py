"""The chapter of the report on searches: what each tried, as sentences, a figure and a table."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt

from ..analysis.searches import shown
from .study import Study


def search_parts(study: Study) -> Iterator[object]:
    """What the chapter shows, in order; nothing where no search is stored."""
    searches = study.store.searches()
    if not searches:
        return
    yield "## Searches"
    tried = study.tried()
    for search in searches:
        name = search.spec.name
        rows = tried[tried["search"] == name]
        yield shown.search_text(search)
        figure, ax = plt.subplots(figsize=(9, 4.5))
        shown.tried_figure(rows, search.spec.target_ratio, ax=ax)
        yield shown.TRIED_CAPTION.put(figure, name)
        yield shown.tried_table(rows, name)
