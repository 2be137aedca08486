"""What is shown of the thesis beside our own numbers: its tables, the errors in them, and recipes against its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise, product

import pandas as pd
from pandas.io.formats.style import Styler

from ..analysis import frames
from ..analysis.frames import Record
from ..analysis.profile import shown_tables as profile_tables
from ..base import units
from ..page.table import Column, interval_texts, styled, with_row
from ..page.text import escape
from ..records.run import RunRecord
from . import CITATION, PUBLISHED, RUNTIME, STRIDES, published_table
from .claims import published_numbers
from .errata import REASSIGNED, either, errata, possible_shares

PROFILING_CLAIM = 12
"""Number of the claim on what profiling costs."""

_VALUES = {
    "time_s": Column("time", units.seconds),
    "own_share": Column("own", units.percent),
    "requested_bytes": Column("bytes", units.num_bytes),
}
_ERRATA = {
    "table": Column("table"),
    "printed_op": Column("printed as"),
    **_VALUES,
    "candidates": Column("may be"),
    "status": Column("status"),
}
_CORRECTED = {"op": Column("op"), "printed_op": Column("printed as"), **_VALUES}
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
    "against": Column("its file", None, _AGAINST, wraps=False),
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
    return f"Published figures are from {escape(CITATION)}{judged}."


def slowdown() -> str:
    """What the thesis says that profiling costs."""
    return f"The thesis says about {published_numbers(PROFILING_CLAIM)['slowdown']}."


def published(variant: str) -> str:
    """What the thesis printed of a variant; empty where it has nothing."""
    if variant not in PUBLISHED:
        return ""
    printed = PUBLISHED[variant]
    total = units.seconds(published_table(printed.table)["time_s"].sum())
    return f"**In the thesis** the times of its ops add up to {total}, and its accuracy is {printed.top1_as_printed}."


def tables_printed(runs: Iterable[RunRecord]) -> list[str]:
    """The variants of which there is a published table and a run with its ops."""
    return [run.name for run in runs if run.runtime == RUNTIME and run.name in PUBLISHED]


def published_beside(record: RunRecord) -> list[tuple[str, Styler]]:
    """The published table of a run's variant with its title, to stand beside its ops where they are the thesis's own.

    A table whose names are misaligned is shown with its rows named by their bytes, see `errata`.
    """
    if not tables_printed([record]):
        return []
    printed = PUBLISHED[record.name]
    title = f"Table {printed.table} of the thesis"
    if printed.misaligned:
        title += ", its rows named by their bytes: the printed names are misaligned"
        return [(title, styled(errata([record.name]), _CORRECTED))]
    return [(f"{title}, as printed", published_ops(published_table(printed.table)))]


def published_ops(table: pd.DataFrame) -> Styler:
    """A printed table of the thesis in the same form, closed by its sums.

    Args:
        table: From `thesis.published_table`.
    """
    total = {"op": "sum", "time_s": table["time_s"].sum(), "requested_bytes": table["requested_bytes"].sum()}
    hidden = {"kernels", "step_share", "accelerator_s"}
    return styled(with_row(table, total), profile_tables.OP_COLUMNS, hidden=hidden, closing_rows=1)


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
        "Accuracy of each recipe, as means over its seeds, and what it loses against the thesis's recipe on the same "
        "images. Hours are those of the fastest seed, on whatever machine trained it"
    )
    return styled(shown, _RECIPES, caption=caption, key="recipes")


def styled_errata(rows: pd.DataFrame) -> Styler:
    """Printed rows and the ops they may be of, from `errata.errata`."""
    shown = rows.assign(candidates=rows["candidates"].map(either))
    return styled(shown, _ERRATA, caption="Printed rows and the ops they may be of", key="errata")


def errata_text(rows: pd.DataFrame) -> str:
    """What the errata come to, as a list; ``rows`` from `errata.errata`."""
    by_variant = {str(name): of_variant for name, of_variant in rows.groupby("variant", sort=False)}
    strides = [by_variant[name] for name in STRIDES.values() if name in by_variant]
    lines = [misnamed(rows), *map(unshown_bytes, by_variant)]
    lines += [figure_agrees(of_variant) for of_variant in by_variant.values() if of_variant["figure_op"].any()]
    lines += [reread(of_variant, "LRN") for of_variant in strides]
    lines += [against_stride(strides, "LRN")] if len(strides) > 1 else []
    return "\n".join(f"- {line}" for line in lines if line)


def misnamed(rows: pd.DataFrame) -> str:
    """How many printed rows are of another op than their name says, in one sentence."""
    wrong = sum(name not in ops for name, ops in zip(rows["printed_op"], rows["candidates"], strict=True))
    return (
        f"Of {len(rows)} printed rows, {wrong} cannot belong to the op they are named after; "
        f"{(rows['status'] == REASSIGNED).sum()} of these can belong to only one other op."
    )


def unshown_bytes(variant: str) -> str:
    """Which op's bytes a variant's table leaves out although its shares count them; empty where none are missing."""
    printed = PUBLISHED[variant]
    if not printed.unshown:
        return ""
    missing, rounding, op = printed.unshown
    return (
        f"The shares in Table {printed.table} count {units.num_bytes(missing)} (± {units.num_bytes(rounding)}) more "
        f"than its rows show. {op} may have as much, and no row shows its bytes."
    )


def figure_agrees(rows: pd.DataFrame) -> str:
    """Whether the figure of the same run bears out what bytes say of a table, in one sentence."""
    agrees = pd.Series([name in ops for name, ops in zip(rows["figure_op"], rows["candidates"], strict=True)])
    moved = (rows["status"] == REASSIGNED).to_numpy()
    return (
        f"Figure 4.16 shows the same run as Table {rows['table'].iloc[0]}, with the names in place. It agrees with "
        f"{agrees.sum()} of {len(rows)} rows as read here, and with {agrees[moved].sum()} of the {moved.sum()} "
        "reassigned rows."
    )


def reread(rows: pd.DataFrame, op: str) -> str:
    """What one published table says of an op that it names, once its rows are read by their bytes."""
    row = rows[rows["printed_op"] == op].iloc[0]
    printed = f"the row named {op} ({units.num_bytes(row['requested_bytes'])}, {units.percent(row['own_share'])})"
    if row["candidates"] == [op]:
        return f"Table {row['table']}: {printed} is {op}'s."
    shares = _shares(possible_shares(rows, op))
    return f"Table {row['table']}: {printed} belongs to {either(row['candidates'])}. {op} has {shares} of the time."


def against_stride(tables_by_stride: Sequence[pd.DataFrame], op: str) -> str:
    """What becomes of an op's share with the stride, as printed and as read by bytes; each table names the op."""
    printed = [float(rows.loc[rows["printed_op"] == op, "own_share"].iloc[0]) for rows in tables_by_stride]
    choices = [possible_shares(rows, op) for rows in tables_by_stride]
    names = [rows["variant"].iloc[0] for rows in tables_by_stride]
    read = "; ".join(f"{name} {_shares(shares)}" for name, shares in zip(names, choices, strict=True))
    text = f"{op}'s share of the time is printed as {', '.join(map(units.percent, printed))}. By bytes: {read}."
    if _grows(printed):
        can_grow = any(map(_grows, product(*choices)))
        text += f" As printed, it grows with every stride; read by bytes, it {'may' if can_grow else 'cannot'} do so."
    return text


def _grows(shares: Iterable[float]) -> bool:
    return all(before < after for before, after in pairwise(shares))


def _shares(shares: Sequence[float]) -> str:
    return either([units.percent(share) for share in shares])
