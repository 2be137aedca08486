"""What is shown of the thesis beside our own numbers: its tables and what it says."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from ..analysis import frames
from ..analysis.frames import Record
from ..analysis.profile import numbers as profile
from ..analysis.profile import shown_tables as profile_tables
from ..base import units
from ..page.table import beside, styled, with_row
from ..page.text import escape
from ..records.run import RunRecord
from . import CITATION, PUBLISHED, published_table
from .claims import load_claims
from .errata import corrected_table
from .errata_table import styled_corrected

PROFILING_CLAIM = 12
"""Number of the claim on what profiling costs."""


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
    titled = [(f"Ops of {record.variant.name}, {record.runtime}", profile_tables.ops_table(profile.by_op(record)))]
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
    return styled(with_row(table, total), profile_tables.OP_COLUMNS, hidden=hidden, closing_rows=1)
