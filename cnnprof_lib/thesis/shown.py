"""What is shown of the thesis beside our own numbers: its tables and what it says."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from ..analysis import frames, summary, tables
from ..analysis.frames import Record
from ..analysis.prose import escape
from ..base import units
from ..page.table import Column, beside, interval_texts, styled, with_row
from ..records.run import RunRecord
from . import CITATION, PUBLISHED, published_table
from .claims import load_claims
from .errata import corrected_table
from .errata_table import styled_corrected

PROFILING_CLAIM = 12
"""Number of the claim on what profiling costs."""

_TOP1 = "top-1"
_AGAINST = "lost against the thesis's recipe"
_RECIPES = {
    "variant": Column("variant", wraps=False),
    "recipe": Column("recipe"),
    "steps": Column("steps", "{:,.0f}".format),
    "training_s": Column("hours", lambda seconds: f"{seconds / 3600:.2f}"),
    "seeds": Column("seeds", "{:.0f}".format),
    "held_out_top1": Column("held out", units.percent, _TOP1),
    "top1": Column("test", units.percent, _TOP1),
    "top1_range": Column("between seeds", None, _TOP1, wraps=False),
    "published_top1": Column("printed", units.percent, _TOP1),
    "against": Column("file", None, _AGAINST, wraps=False),
    "loss": Column("points", lambda share: f"{100 * share:.2f}", _AGAINST),
    "loss_interval": Column("95% interval", None, _AGAINST, wraps=False),
    "p_value": Column("p", "{:.2g}".format, _AGAINST),
    "verdict": Column("", None, _AGAINST),
}


def citation(records: Sequence[Record]) -> str:
    """Whose the published figures are; empty where none of the variants has any."""
    if not {frames.variant_name(record) for record in records} & set(PUBLISHED):
        return ""
    judged = "; [Table](#T_claims) judges its claims" if frames.completed(records) else ""
    return f"Published figures are those of {escape(CITATION)}{judged}."


def slowdown() -> str:
    """What the thesis says that profiling costs."""
    factor = next(claim for claim in load_claims() if claim.number == PROFILING_CLAIM).published["slowdown"]
    return f"The thesis says about {factor}."


def published(variant: str) -> str:
    """What the thesis printed of a variant; empty where it has nothing."""
    if variant not in PUBLISHED:
        return ""
    printed = PUBLISHED[variant]
    total = units.seconds(published_table(printed.table)["time_s"].sum())
    return f"**In the thesis** the times of its ops add up to {total}, and its accuracy is {printed.top1_as_printed}."


def ops_beside_published(record: RunRecord) -> str:
    """HTML of a run's ops and, in the runtime that has the thesis's ops, the published table of its variant.

    A table whose names are misaligned is shown with its rows named by their bytes, see `errata`.
    """
    titled = [(f"Ops of {record.variant.name}, {record.runtime}", tables.ops(summary.op_table(record)))]
    if record.runtime == "unfused" and (printed := PUBLISHED.get(record.variant.name)):
        title = f"Table {printed.table} of the thesis"
        if printed.misaligned:
            corrected = styled_corrected(corrected_table(record.variant))
            titled.append((f"{title}, its rows named by their bytes: the printed names are misaligned", corrected))
        else:
            titled.append((f"{title}, as printed", published_ops(published_table(printed.table))))
    return beside(*titled)


def published_ops(table: pd.DataFrame) -> Styler:
    """A printed table of the thesis in the same form, closed by its sums.

    Args:
        table: From `thesis.published_table`.
    """
    total = {"op": "sum", "time_s": table["time_s"].sum(), "requested_bytes": table["requested_bytes"].sum()}
    hidden = {"kernels", "step_share", "accelerator_s"}
    return styled(with_row(table, total), tables.OPS, hidden=hidden, closing_rows=1)


def styled_recipes(compared: pd.DataFrame) -> Styler:
    """Recipes against each other, from `recipes.compare`."""
    ranges = interval_texts(compared, "top1", units.percent)
    numbers = compared["settings"].map(lambda number: f" ({number})" if number > 1 else "")
    shown = compared.assign(
        recipe=compared["recipe"] + numbers,
        top1_range=[text if seeds > 1 else "" for text, seeds in zip(ranges, compared["seeds"], strict=True)],
        loss_interval=interval_texts(compared, "loss", lambda share: f"{100 * share:.2f}"),
    )
    caption = (
        "What each recipe reaches, means over its seeds, and how it compares with the thesis's on the same images; "
        "hours are of the fastest seed, on whatever machine that was trained"
    )
    return styled(shown, _RECIPES, caption=caption, key="recipes")
