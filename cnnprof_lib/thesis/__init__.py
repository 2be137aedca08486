"""What the thesis printed, as data: its tables of operations and its accuracies.

Nothing here is measured by this project, and a number taken from here is shown with `CITATION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

CITATION = (
    "S. de J. Hernández Ruiz, Perfilado temporal en redes neuronales convolucionales, "
    "Universidad de Los Andes, Mérida, 2018"
)

BATCH_SIZE = 128
"""Images per step in all its tables."""
QUEUE_EXAMPLES = 4384
"""Examples in its input queue: 0.4 x 10,000 + 3 x 128, as ``cifar10_input.py`` of the TensorFlow tutorial has them."""
OP_ABBREVIATIONS = {"QueueManyV2": "QueueDequeueManyV2"}
"""Ops that its tables print under a name of their own."""
FIGURE_OF_TABLE = {"4.8": "fig4.16"}
"""Tables whose run is also shown as the profiler printed it, names and values in place; see `published_table`."""


@dataclass(frozen=True)
class Published:
    """What the thesis printed of one variant.

    Attributes:
        table: Number of its table of operations.
        top1: Accuracy on the test images, a share.
        top1_as_printed: The same in the thesis's words.
        misaligned: Whether the table's names slipped against its values: the names keep one order in every table,
            the values are sorted by time. Only the first row, Conv2D, is certain by itself.
    """

    table: str
    top1: float
    top1_as_printed: str
    misaligned: bool


PUBLISHED: dict[str, Published] = {
    "baseline": Published("4.3", 0.86, "about 86%", misaligned=False),
    "stride2": Published("4.4", 0.796, "79.6%", misaligned=True),
    "stride3": Published("4.5", 0.747, "74.7%", misaligned=True),
    "stride5": Published("4.6", 0.70, "70%", misaligned=True),
    "filters32": Published("4.7", 0.837, "83.7%", misaligned=True),
    "pool-large": Published("4.8", 0.863, "86.3%", misaligned=True),
}


def published_table(table: str) -> pd.DataFrame:
    """Reads one table of operations as printed.

    Args:
        table: ``"4.3"`` to ``"4.8"``, or ``"fig4.16"``.

    Returns:
        One row per printed row, in the printed order: ``op`` (the printed name), ``time_s``, ``accumulated_share``,
        ``own_share``, ``requested_bytes``, ``bytes_accumulated_share``, ``bytes_share``. Seconds per step of 128
        images, bytes in decimal units, shares between 0 and 1, the columns of `analysis.summary.op_table`.

    Raises:
        KeyError: the thesis has no such table.
    """
    import pandas as pd

    with resources.files(__name__).joinpath("published_tables.csv").open(encoding="utf-8") as file:
        printed = pd.read_csv(file, dtype={"table": str})
    printed = printed[printed["table"] == table]
    if printed.empty:
        raise KeyError(table)
    return pd.DataFrame(
        {
            "op": printed["op_as_printed"],
            "time_s": printed["cpu_time_us"] / 1e6,
            "accumulated_share": printed["time_accumulated_pct"] / 100,
            "own_share": printed["time_pct"] / 100,
            "requested_bytes": printed["bytes"],
            "bytes_accumulated_share": printed["bytes_accumulated_pct"] / 100,
            "bytes_share": printed["bytes_pct"] / 100,
        }
    ).reset_index(drop=True)
