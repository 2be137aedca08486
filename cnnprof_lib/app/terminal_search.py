"""What ``cnnprof search`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType

from ..base import units
from ..base.errors import CnnprofError
from ..params.search import SearchSpec
from ..params.variant import VariantSpec
from ..records.training import TrainingRecord, TrialRecord
from .terminal import ColumnForm, rows_table, training_text

if TYPE_CHECKING:
    import pandas as pd


def end_text(variant: VariantSpec, ended: TrialRecord | TrainingRecord | CnnprofError) -> str:
    """How a training of a search ended, in a line."""
    if isinstance(ended, TrainingRecord):
        return training_text(ended)
    if isinstance(ended, TrialRecord):
        held_out = units.percent(ended.held_out.top1, 1)
        return f"{variant.name}: tried in {ended.seconds / 60:.1f} min, held out {held_out}"
    return f"{variant.name}: failed: {ended}"


def tried_parts(spec: SearchSpec, rows: pd.DataFrame, kept: Sequence[Path]) -> Iterator[RenderableType]:
    """What a search tried, as a table of ratios to the baseline and of top-1, and how to go on.

    Args:
        spec: The search.
        rows: Of it, from `Study.tried`.
        kept: Files that its finalists were written to.
    """
    from ..analysis.searches.numbers import FINALIST

    columns: dict[str, ColumnForm] = {
        "network": ("variant", str),
        "role": ("role", str),
        "MACs": ("macs_per_image", units.count),
        "predicted": ("ratio", "{:.4f}".format),
        "held out": ("held_out", "{:.1%}".format),
        "in full": ("full_held_out", "{:.1%}".format),
        "test": ("full_test", "{:.1%}".format),
        "measured": ("measured_ratio", "{:.4f}".format),
    }
    known = rows.assign(role=rows["role"].str.split(" by").str[0])
    records = known.astype(object).where(known.notna(), None).to_dict("records")
    yield rows_table([{str(key): value for key, value in row.items()} for row in records], columns)
    finalists = list(rows.loc[rows["role"] == FINALIST, "variant"])
    if not finalists:
        return
    for path in kept:
        yield f"Written: {path}"
    first = "" if kept else f"cnnprof search {spec.name} --keep && "
    yield f"To measure the finalists: {first}cnnprof run {' '.join(finalists)} --runtime {spec.runtime}"
