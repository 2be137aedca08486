"""The errata of the published tables for the report: as HTML, and as sentences on what they change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise, product

import pandas as pd
from pandas.io.formats.style import Styler

from ..base import units
from ..page.table import Column, styled
from ..params.variant import VariantSpec
from . import FIGURE_OF_TABLE, PUBLISHED
from .errata import REASSIGNED, either, errata, missing_bytes, witness

_ROWS = {
    "table": Column("table"),
    "printed_op": Column("printed as"),
    "time_s": Column("time", units.seconds),
    "own_share": Column("own", units.percent),
    "requested_bytes": Column("bytes", units.num_bytes),
    "candidates": Column("may be"),
    "status": Column("status"),
}
_CORRECTED = {
    "op": Column("op"),
    "printed_op": Column("printed as"),
    "time_s": Column("time", units.seconds),
    "own_share": Column("own", units.percent),
    "requested_bytes": Column("bytes", units.num_bytes),
}


def styled_errata(table: pd.DataFrame) -> Styler:
    """Printed rows and the ops they may be of, from `errata.errata`."""
    shown = table.assign(candidates=table["candidates"].map(either))
    return styled(shown, _ROWS, caption="Printed rows and the ops they may be of", key="errata")


def styled_corrected(table: pd.DataFrame) -> Styler:
    """One table under the ops its rows are of, from `errata.corrected_table`."""
    return styled(table, _CORRECTED)


def findings(variants: Sequence[VariantSpec]) -> str:
    """What the errata of these variants' tables come to, as a list."""
    by_name = {variant.name: variant for variant in variants}
    strides = [by_name[name] for name in ("baseline", "stride2", "stride3", "stride5") if name in by_name]
    lines = [misnamed(variants), *(unshown_bytes(variant) for variant in variants)]
    lines += [figure_agrees(variant) for variant in variants if PUBLISHED[variant.name].table in FIGURE_OF_TABLE]
    lines += [reread(variant, "LRN") for variant in strides]
    lines += [against_stride(strides, "LRN")] if len(strides) > 1 else []
    return "\n".join(f"- {line}" for line in lines if line)


def misnamed(variants: Iterable[VariantSpec]) -> str:
    """How many printed rows are of another op than their name says, in one sentence."""
    rows = errata(variants)
    counts = rows["status"].value_counts()
    wrong = sum(name not in ops for name, ops in zip(rows["printed_op"], rows["candidates"], strict=True))
    return (
        f"Of {len(rows)} printed rows, {wrong} cannot be of the op they are named after; "
        f"{counts.get(REASSIGNED, 0)} of these can be of one other op only."
    )


def figure_agrees(variant: VariantSpec) -> str:
    """Whether the figure of the same run bears out what shapes say of a table, in one sentence."""
    rows = witness(variant)
    table, moved = PUBLISHED[variant.name].table, rows["status"] == REASSIGNED
    figure = FIGURE_OF_TABLE[table].removeprefix("fig")
    return (
        f"Figure {figure} shows the run of Table {table} with its names in place: it agrees with "
        f"{rows['agrees'].sum()} of {len(rows)} rows as read here and with {rows.loc[moved, 'agrees'].sum()} of the "
        f"{moved.sum()} reassigned."
    )


def unshown_bytes(variant: VariantSpec) -> str:
    """Which op's bytes a table leaves out although its shares count them; empty where none are missing."""
    missing, rounding, ops = missing_bytes(variant)
    if not ops:
        return ""
    return (
        f"The shares in Table {PUBLISHED[variant.name].table} count {units.num_bytes(missing)} "
        f"(± {units.num_bytes(rounding)}) more than its rows show, as much as {either(ops)} may have, "
        "of which no row has the bytes."
    )


def reread(variant: VariantSpec, op: str) -> str:
    """What a published table says of an op once its rows are read by their bytes, in one or two sentences."""
    rows = errata([variant])
    start = f"Table {PUBLISHED[variant.name].table}: "
    named = rows[rows["printed_op"] == op]
    shares = possible_shares(rows, op)
    if named.empty:
        return f"{start}no row is named {op}; it has {_shares(shares)} of the time."
    row = named.iloc[0]
    printed = f"the row named {op} ({units.num_bytes(row['requested_bytes'])}, {units.percent(row['own_share'])})"
    if row["candidates"] == [op]:
        return f"{start}{printed} is {op}'s."
    return f"{start}{printed} is of {either(row['candidates'])}. {op} has {_shares(shares)} of the time."


def possible_shares(rows: pd.DataFrame, op: str) -> list[float]:
    """Shares of the time of all rows of one table that an op may have, the smallest first."""
    may_be = [op in candidates for candidates in rows["candidates"]]
    return sorted(rows.loc[may_be, "own_share"])


def against_stride(variants: Sequence[VariantSpec], op: str) -> str:
    """What becomes of an op's share from one variant to the next, as printed and as read by bytes.

    Args:
        variants: Published variants by growing stride.
        op: An op that each of their tables names.
    """
    tables = [errata([variant]) for variant in variants]
    printed = [float(rows.loc[rows["printed_op"] == op, "own_share"].iloc[0]) for rows in tables]
    choices = [possible_shares(rows, op) for rows in tables]
    names = [variant.name for variant in variants]
    read = "; ".join(f"{name} {_shares(shares)}" for name, shares in zip(names, choices, strict=True))
    sentences = f"{op}'s share of the time is printed as {', '.join(map(units.percent, printed))}. By bytes: {read}."
    if _grows(printed):
        can_grow = any(_grows(chosen) for chosen in product(*choices))
        sentences += f" As printed it grows at every step; read by bytes it {'may' if can_grow else 'cannot'}."
    return sentences


def _grows(shares: Iterable[float]) -> bool:
    return all(before < after for before, after in pairwise(shares))


def _shares(shares: Sequence[float]) -> str:
    return either([units.percent(share) for share in shares])
