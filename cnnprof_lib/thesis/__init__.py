"""What the thesis printed, as data: its tables of operations and its accuracies.

Nothing here is measured by this project, and a number taken from here is shown with `CITATION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import pandas as pd

CITATION = (
    "S. de J. Hernández Ruiz, Perfilado temporal en redes neuronales convolucionales, "
    "Universidad de Los Andes, Mérida, 2018"
)

RUNTIME = "unfused"
"""The runtime whose ops are the rows of its tables."""
BASELINE = "baseline"
"""Its network before any change, as a variant of ``params/``."""
STRIDES = {1: BASELINE, 2: "stride2", 3: "stride3", 5: "stride5"}
"""Its variants by the stride of their convolutions."""


@dataclass(frozen=True)
class Published:
    """What the thesis printed of one variant.

    Attributes:
        table: Number of its table of operations.
        top1: Accuracy on the test images, a share.
        top1_as_printed: The same in the thesis's words.
        misaligned: Whether the table's names slipped against its values, see `errata`.
        unshown: Bytes that the shares count and the rows do not show, by how much rounding may move them, and the op
            that may have them; None where rows show all.
    """

    table: str
    top1: float
    top1_as_printed: str
    misaligned: bool = True
    unshown: tuple[float, float, str] | None = None


PUBLISHED: dict[str, Published] = {
    BASELINE: Published("4.3", 0.86, "about 86%", misaligned=False, unshown=(973_590, 36_400, "QueueDequeueManyV2")),
    "stride2": Published("4.4", 0.796, "79.6%"),
    "stride3": Published("4.5", 0.747, "74.7%"),
    "stride5": Published("4.6", 0.70, "70%"),
    "filters32": Published("4.7", 0.837, "83.7%"),
    "pool-large": Published("4.8", 0.863, "86.3%"),
}


def printed_rows() -> pd.DataFrame:
    """All printed rows of the tables of operations, in the printed order.

    Returns:
        ``op`` (the printed name), ``time_s``, ``accumulated_share``, ``own_share``, ``requested_bytes``,
        ``bytes_accumulated_share``, ``bytes_share``: seconds per step of 128 images, bytes in decimal units, shares
        between 0 and 1, the columns of `analysis.profile.numbers.by_op`. Then ``table`` and what `errata` knows of the
        row.
    """
    with resources.files(__name__).joinpath("published_tables.csv").open(encoding="utf-8") as file:
        printed = pd.read_csv(file, dtype={"table": str}, keep_default_na=False)
    return pd.DataFrame(
        {
            "op": printed["op_as_printed"],
            "time_s": printed["cpu_time_us"] / 1e6,
            "accumulated_share": printed["time_accumulated_pct"] / 100,
            "own_share": printed["time_pct"] / 100,
            "requested_bytes": printed["bytes"],
            "bytes_accumulated_share": printed["bytes_accumulated_pct"] / 100,
            "bytes_share": printed["bytes_pct"] / 100,
            **printed[["table", "may_be", "figure_op"]],
        }
    )


def published_table(table: str) -> pd.DataFrame:
    """One table as printed: its rows of `printed_rows`, up to ``bytes_share``.

    Args:
        table: ``"4.3"`` to ``"4.8"``, or ``"fig4.16"``.

    Raises:
        KeyError: the thesis has no such table.
    """
    rows = printed_rows().set_index("table").loc[[table], :"bytes_share"]
    return rows.reset_index(drop=True)
