"""Which op each printed row of the thesis's tables is of, read from published_tables.csv.

In every table the op names keep one order while the values are sorted by time, so a name does not tell its row. The
bytes do: what an op requests follows from the network's shapes, a row can only be of an op that its bytes fit, and
each op has one row in a table. The column ``may_be`` names the ops that this leaves to a row. Where several remain,
the row stays ambiguous. Figure 4.16 shows the run of Table 4.8 with its names in place; ``figure_op`` is the name
there of the row with the same time and bytes. The unit tests of the errata prove both columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from . import PUBLISHED, printed_rows

AS_PRINTED = "as printed"
REASSIGNED = "reassigned"
AMBIGUOUS = "ambiguous"

OP_ABBREVIATIONS = {"QueueManyV2": "QueueDequeueManyV2"}
"""Ops that the tables print under a name of their own."""


def errata(variants: Iterable[str]) -> pd.DataFrame:
    """Says of every printed row which op it is of.

    Args:
        variants: Names; those without a published table are left out.

    Returns:
        `printed_rows` of their tables, with ``variant``; ``printed_op``, the printed name in full; ``candidates``, the
        ops that the row's bytes and the other rows leave; ``figure_op``, the name in the figure of the same run, empty
        without one; ``op``, that name or else the candidates, joined by "or"; ``status`` (`AS_PRINTED`, `REASSIGNED`,
        `AMBIGUOUS`).
    """
    by_table = {PUBLISHED[name].table: name for name in variants if name in PUBLISHED}
    rows = printed_rows()
    rows = rows[rows["table"].isin(list(by_table))].reset_index(drop=True)
    names, candidates = rows["op"].replace(OP_ABBREVIATIONS), rows["may_be"].str.split()
    return rows.assign(
        variant=rows["table"].map(by_table),
        printed_op=names,
        candidates=candidates,
        op=rows["figure_op"].where(rows["figure_op"] != "", candidates.map(either)),
        status=[_status(*pair) for pair in zip(names, candidates, strict=True)],
    )


def _status(printed_op: str, candidates: Sequence[str]) -> str:
    if len(candidates) > 1:
        return AMBIGUOUS
    return AS_PRINTED if printed_op in candidates else REASSIGNED


def either(words: Sequence[str]) -> str:
    """``A``, ``A or B``, ``A, B or C``."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def possible_shares(rows: pd.DataFrame, op: str) -> list[float]:
    """Shares of the time of all rows of one table, from `errata`, that an op may have, the smallest first."""
    return sorted(rows.loc[[op in candidates for candidates in rows["candidates"]], "own_share"])
