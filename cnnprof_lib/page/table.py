"""Frames as HTML tables: any columns under any headers, numbers formatted, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from pandas.io.formats.style import Styler

if TYPE_CHECKING:
    from pandas.io.formats.style_render import CSSDict

MISSING = "–"

Formatter = Callable[[Any], str]


class Column(NamedTuple):
    """How a column of a frame is shown; text columns have no formatter and stand to the left."""

    header: str
    formatter: Formatter | None = None
    group: str = ""
    wraps: bool = True


def styled(
    table: pd.DataFrame,
    columns: Mapping[str, Column],
    *,
    hidden: Container[str] = (),
    closing_rows: int = 0,
    caption: str = "",
    key: str = "",
) -> Styler:
    """The named columns of ``table`` under their headers, texts to the left, the closing rows set off.

    Args:
        table: What to show.
        columns: How to show each column, by its name in ``table``.
        hidden: Columns to leave out.
        closing_rows: So many rows at the end are sums and the like, and stay there when a reader sorts.
        caption: Stands above; the report numbers it.
        key: A word, if other text is to refer to the table: ``[Table](#T_key)`` in Markdown. Once in a report.
    """
    shown = {name: column for name, column in columns.items() if name not in hidden}
    grouped = any(column.group for column in shown.values())
    headers = [(column.group, column.header) for column in shown.values()]
    index = pd.MultiIndex.from_tuples(headers) if grouped else pd.Index([header for _, header in headers])
    formats: dict[Any, Any] = {
        label: column.formatter for label, column in zip(index, shown.values(), strict=True) if column.formatter
    }
    cells = table[list(shown)].set_axis(index, axis="columns")
    styler = Styler(cells, cell_ids=False, uuid=key or None, caption=html.escape(caption)).hide(axis="index")
    styler = styler.format(formats, na_rep=MISSING, escape="html").format_index(axis="columns", escape="html")
    closing = range(len(table) - closing_rows, len(table))
    styler = styler.set_td_classes(_classes(cells, set(formats), closing))
    return styler.set_table_styles(_rules(list(shown.values()), grouped, closing))


def _classes(cells: pd.DataFrame, numbers: Container[Any], closing: Container[int]) -> pd.DataFrame:
    """What `export` has to know of each cell: whether it is text, whether its row closes the table."""
    return pd.DataFrame(
        [
            [" ".join(["text"] * (label not in numbers) + ["closing"] * (row in closing)) for label in cells.columns]
            for row in range(len(cells))
        ],
        index=cells.index,
        columns=cells.columns,
    )


def _rules(columns: Sequence[Column], grouped: bool, closing: range) -> list[CSSDict]:
    """CSS of one table, as pandas takes it."""
    level = 1 if grouped else 0
    texts = [i for i, column in enumerate(columns) if column.formatter is None]
    rules: list[CSSDict] = [
        {"selector": "td, th", "props": "font-size: 12px; padding: 0.25em 0.4em"},
        {"selector": "caption", "props": "text-align: left; padding: 0.5em 0"},
    ]
    rules += [{"selector": f"td.col{i}, th.level{level}.col{i}", "props": "text-align: left"} for i in texts]
    rules += [{"selector": f"td.col{i}", "props": "white-space: nowrap"} for i, c in enumerate(columns) if not c.wraps]
    if grouped:
        rules.append({"selector": "th.level0", "props": "text-align: center"})
    if closing:
        rules.append({"selector": f"td.row{closing[0]}", "props": "border-top: 1px solid"})
        rules += [{"selector": f"td.row{row}", "props": "font-style: italic"} for row in closing]
    return rules


def with_row(table: pd.DataFrame, row: dict[Any, Any]) -> pd.DataFrame:
    """``table`` with one more row at its end, missing where ``row`` has no value."""
    return pd.DataFrame([*table.to_dict("records"), row], columns=list(table.columns))


def same_in_all(table: pd.DataFrame, *names: str) -> list[str]:
    """Those of the columns that tell no rows apart, to be `hidden`; an empty text is no value."""
    return [name for name in names if table[name].replace("", None).nunique() < 2]


def interval_texts(table: pd.DataFrame, column: str, formatter: Formatter) -> list[str]:
    """The ends of each row's interval, columns ``<column>_low`` and ``<column>_high``, as one text."""
    ends = zip(table[f"{column}_low"], table[f"{column}_high"], strict=True)
    return [MISSING if pd.isna(low) else f"{formatter(low)} – {formatter(high)}" for low, high in ends]


def beside(*titled: tuple[str, Styler]) -> str:
    """HTML of tables next to each other, each under its caption; below each other where the page is narrow."""
    columns = "".join(f"<div>{table.set_caption(html.escape(title)).to_html()}</div>" for title, table in titled)
    return f'<div class="beside" style="display: flex; flex-wrap: wrap; gap: 0 1.5em">{columns}</div>'


def folded(title: str, text: str) -> str:
    """HTML of preformatted text that opens on a click."""
    return _details(title, f"<pre>{html.escape(text)}</pre>")


def folded_table(title: str, table: Styler) -> str:
    """HTML of a table that opens on a click."""
    return _details(title, table.to_html())


def _details(title: str, content: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary>{content}</details>"
