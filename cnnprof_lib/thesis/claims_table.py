"""The judged claims for the report, as HTML, and for notes and terminals, as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from ..page.table import MISSING, Column, styled
from .verdicts import EXPLANATION

WIDTH = 120

_CLAIMS = {
    "number": Column(""),
    "claim": Column("claim"),
    "source": Column("in the thesis"),
    "published": Column("published"),
    "ours": Column("here"),
    "verdict": Column("verdict"),
    "reason": Column("why"),
    "rule": Column("rule"),
}
_LABELS = {"published": "thesis", "ours": "here", "reason": "why", "rule": "rule"}
_INDENT = "    "
_LABEL_WIDTH = 8


def styled_claims(table: pd.DataFrame) -> Styler:
    """All claims with their verdicts, from `verdicts.judge`, every text escaped."""
    return styled(table.replace("", MISSING), _CLAIMS, caption="The claims of the thesis, judged", key="claims")


def plain_text(table: pd.DataFrame) -> str:
    """The same in lines of at most `WIDTH` letters: how many claims have each verdict, then claim by claim."""
    counts = table["verdict"].value_counts()
    total = ", ".join(f"{verdict} {number}" for verdict, number in counts.items())
    return "\n\n".join([total, textwrap.fill(EXPLANATION, WIDTH), *(_block(row) for row in table.to_dict("records"))])


def _block(row: Mapping[Hashable, Any]) -> str:
    title = f"{row['number']}. {row['claim'].rstrip('.')}: {row['verdict'].upper()}"
    lines = textwrap.wrap(title, WIDTH, subsequent_indent=_INDENT)
    for column, label in _LABELS.items():
        text = row[column] or MISSING
        if column == "published":
            text += f" ({row['source']})"
        first = _INDENT + label.ljust(_LABEL_WIDTH)
        lines += textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
    return "\n".join(lines)
