"""Methods on trained networks as a table and sentences."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from ...base import units
from ...page.table import Column, interval_texts, styled
from ...page.text import code
from ...records.optimized import OptimizedRecord


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


_TRIED = {
    "network": Column("network"),
    "method": Column("method"),
    "outcome": Column("outcome"),
    "tuned": Column("trained on"),
    "gain": Column("of the cost before", units.ratio),
    "loss": Column("loss", _points, "points of accuracy"),
    "interval": Column("95% interval", str, "points of accuracy"),
    "images": Column("images", "{:,.0f}".format),
    "seconds": Column("seconds", "{:,.0f}".format),
    "changed": Column("what changed"),
}


def tried_methods_table(table: pd.DataFrame) -> Styler:
    """What each method gained and lost, from `numbers.tried_methods`."""
    shown = table.assign(interval=interval_texts(table, "loss", _points))
    caption = "Methods on trained networks, in the order in which they were tried"
    return styled(shown, _TRIED, caption=caption, key="optimized")


def optimized_text(records: Sequence[OptimizedRecord]) -> str:
    """How to read the table, and what each network became."""
    how = (
        "Each method was applied to the network with all that was kept before. Losses are of images held out, against "
        "the network as it was; a method was kept if their interval ends within the limit. The last row is of the test "
        "images, which were read once."
    )
    return " ".join([how, *(_sentence(record) for record in records)])


def _sentence(record: OptimizedRecord) -> str:
    cost = (
        f"the latency predicted in {code(record.runtime)} for {units.counted(record.batch_size, 'image')}"
        if record.is_predicted
        else "multiply-adds and values written"
    )
    return (
        f"{code(record.name)} has {units.ratio(record.gain)} of {cost} of {code(record.source)}; at most "
        f"{record.limit_points:g} points were to be lost."
    )
