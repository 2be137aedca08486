"""Three answers to how much memory, as table, figure and sentence."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import grouped_bars, log_ticks
from ...page.table import Column, styled
from ...page.text import code
from ..colours import OP_COLOURS

MEMORY_CAPTION = hover.Caption(
    "memory", "Memory of each variant in {}: requested in a step, live at the step's peak, resident in the process"
)
_MB = 1e-6
_SIZES = {
    "requested_bytes": ("requested in a step", OP_COLOURS["Conv2D"]),
    "live_peak_bytes": ("live at the peak of a step", OP_COLOURS["LRN"]),
    "rss_bytes": ("resident in the process", OP_COLOURS["MaxPool"]),
}
_STEP_GROUP, _PROCESS_GROUP = "requested in a step", "resident in the process"
_MEMORY = {
    "variant": Column("variant", wraps=False),
    "runtime": Column("runtime"),
    "requested_bytes": Column("total", units.num_bytes, _STEP_GROUP),
    "persistent_bytes": Column("persistent part", units.num_bytes, _STEP_GROUP),
    "step_bytes": Column("step's own part", units.num_bytes, _STEP_GROUP),
    "live_peak_bytes": Column("bytes", units.num_bytes, "live peak"),
    "live_peak_layer": Column("at", None, "live peak"),
    "rss_start_bytes": Column("before the model", units.num_bytes, _PROCESS_GROUP),
    "model_bytes": Column("model adds", units.num_bytes, _PROCESS_GROUP),
    "stepping_bytes": Column("steps add", units.num_bytes, _PROCESS_GROUP),
    "rss_bytes": Column("peak", units.num_bytes, _PROCESS_GROUP),
}


def memory_table(table: pd.DataFrame) -> Styler:
    """Three answers to how much memory, side by side, from `numbers.memory`."""
    return styled(table, _MEMORY, caption="Memory: requested in a step, live at its peak, resident in the process")


def memory_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Requested, live and resident memory of each variant in one runtime, on a log scale.

    Args:
        data: From `numbers.memory`, of one runtime.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    sizes = data.set_index("variant")[list(_SIZES)].set_axis([label for label, _ in _SIZES.values()], axis="columns")
    grouped_bars(ax, sizes * _MB, [{"color": colour} for _, colour in _SIZES.values()])
    ax.set_xscale("log")
    log_ticks(ax.xaxis)
    ax.set(xlabel="memory [MB]", title=f"Memory: requested, live and resident, {data['runtime'].iloc[0]}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def memory_text(table: pd.DataFrame) -> str:
    """What lies between the three answers to how much memory; ``table`` from `numbers.memory`."""
    return "\n".join(
        _memory(row) for row in table[table["is_baseline"] & table["requested_bytes"].notna()].to_dict("records")
    )


def _memory(row: Mapping[Hashable, Any]) -> str:
    size = {name: units.num_bytes(value) for name, value in row.items() if str(name).endswith("_bytes")}
    asked = row["step_bytes"]
    share = f" ({units.percent(row['live_peak_bytes'] / asked, 0)} of these)" if asked else ""
    return (
        f"- {code(row['variant'])}, `{row['runtime']}`: a step requests {size['requested_bytes']}. Of these, "
        f"{size['persistent_bytes']} stay from step to step: the weights ({size['parameter_bytes']}) and the input "
        f"queue, where there is one. The step's own outputs and temporaries add up to {size['step_bytes']}. At most "
        f"{size['live_peak_bytes']}{share} are alive at once, while {code(row['live_peak_layer'])} runs. The reason: "
        "an output is freed after its last reader, and its memory is used again. The process holds "
        f"{size['rss_start_bytes']} before there is a model: TensorFlow itself and the images. The model and its "
        f"session add {size['model_bytes']}. The steps add {size['stepping_bytes']} at their peak."
    )
