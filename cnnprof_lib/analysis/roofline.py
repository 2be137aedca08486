"""How near each layer comes to what the machine can do: the roofline model, as a table and as a figure.

Source: Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
Architectures", CACM 52(4), 2009, with multiply-adds (MAC) for their floating-point operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ..base import units
from ..params.costs import LayerTraffic, layer_traffic
from ..records.machine import RooflineRecord
from ..records.run import RunRecord
from .style import SOURCE_STYLES, legend_below, log_ticks
from .summary import layer_table

COMPUTE, MEMORY = "compute", "memory"
_GIGA = 1e9
_ROOF_COLOUR = "#555555"
_ABOVE = {
    MEMORY: "its input was still in a cache, faster than the memory of the roof",
    COMPUTE: "its kernel needs fewer products, or the processor was slower when the roof was measured",
}
"""What lets a layer go above an undisturbed roof, by what bounds it."""
_LETTER_WIDTH_PT = 5.5
_LABEL_PLACES: tuple[tuple[float, float, Literal["left", "center", "right"]], ...] = (
    (8, 0, "left"), (-8, 0, "right"), (0, 11, "center"), (0, -11, "center"),
    (8, 11, "left"), (8, -11, "left"), (-8, 11, "right"), (-8, -11, "right"),
)  # fmt: skip
"""Where a name may stand, the best first: points to the right of its marker, points above it, which end is there."""
_COLUMNS = (
    "variant", "runtime", "layer", "type", "time_s", "step_macs", "step_bytes", "macs_per_byte",
    "attainable_macs_per_s", "macs_per_s", "least_s", "share_of_attainable", "bound", "caution",
)  # fmt: skip


class _Roof(NamedTuple):
    """The two limits at one number of threads."""

    threads: int
    macs_per_s: float
    bytes_per_s: float

    @property
    def ridge(self) -> float:
        """MAC per byte from which on the peak rate, not memory, is the limit."""
        return self.macs_per_s / self.bytes_per_s


def _roofs(roofline: RooflineRecord) -> tuple[_Roof, _Roof]:
    """With one thread and with all."""
    return (
        _Roof(1, roofline.peak_macs_per_s_1_thread, roofline.bandwidth_bytes_per_s_1_thread),
        _Roof(roofline.threads, roofline.peak_macs_per_s_all_threads, roofline.bandwidth_bytes_per_s_all_threads),
    )


def roofline_table(record: RunRecord, executed: pd.DataFrame, roofline: RooflineRecord) -> pd.DataFrame:
    """The layers of one run against the roof of its machine's processor, in the network's order.

    Args:
        record: The run.
        executed: Its node executions, as `Store.read_ops` returns them.
        roofline: What the machine can do. The roof is that of one thread for a run held to one, else that of all.

    Returns:
        ``variant``, ``runtime``, ``layer``, ``type``; ``time_s`` per profiled step; ``step_macs``, the products that
        the run's kernels computed (`MachineRecord.multiplies_padding`), and ``step_bytes`` (compulsory traffic, see
        `traffic`) of the batch; their ratio ``macs_per_byte``; ``attainable_macs_per_s``, min(peak, macs_per_byte *
        bandwidth); ``macs_per_s`` achieved; ``least_s``, the time the roof allows, max(step_macs / peak, step_bytes /
        bandwidth); ``share_of_attainable``, ``least_s / time_s``, which is also ``macs_per_s / attainable_macs_per_s``
        where there are MACs, and the share of the bandwidth where there are none; ``bound``, `COMPUTE` or `MEMORY`.
        Missing where a layer took no time or has nothing to do. ``caution`` says of a share above 1 where it may come
        from; elsewhere it is missing.
    """
    roof = _roofs(roofline)[0 if record.threads == 1 else 1]
    times = layer_table(record, executed).set_index("layer")["time_s"]
    key = {"variant": record.variant.name, "runtime": record.runtime}
    layers = layer_traffic(record.variant, record.batch_size, with_padding=record.machine.multiplies_padding)
    rows = [{**key, **_against(roof, layer, times[layer.name])} for layer in layers]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    above = table["share_of_attainable"] > 1
    disturbed = _disturbance(roofline)
    return table.assign(caution=table["bound"].map(lambda bound: disturbed or _ABOVE.get(bound)).where(above, None))


def _disturbance(roofline: RooflineRecord) -> str:
    """Why a roof may be too low; empty if nothing is known against it."""
    if roofline.is_undisturbed:
        return ""
    if roofline.schema_version == 1:
        return "the roof was measured without a look at what else the machine did"
    return f"the roof was measured while other programs used {roofline.busy_percent:.0f}% of the processors"


def _against(roof: _Roof, layer: LayerTraffic, time_s: float) -> dict[str, Any]:
    intensity = layer.macs_per_byte
    least_s = max(layer.macs / roof.macs_per_s, layer.bytes / roof.bytes_per_s)
    row: dict[str, Any] = {
        "layer": layer.name,
        "type": layer.type,
        "time_s": time_s,
        "step_macs": layer.macs,
        "step_bytes": layer.bytes,
        "macs_per_byte": intensity,
        "attainable_macs_per_s": min(roof.macs_per_s, intensity * roof.bytes_per_s),
        "least_s": least_s,
    }
    if least_s:
        row["bound"] = COMPUTE if intensity >= roof.ridge else MEMORY
    if least_s and time_s:
        row |= {"macs_per_s": layer.macs / time_s, "share_of_attainable": least_s / time_s}
    return row


def roofline(data: pd.DataFrame, roof: RooflineRecord, *, ax: Axes | None = None) -> Axes:
    """The roof of the machine and the layers of a variant below it, on log scales.

    Args:
        data: From `roofline_table`, of one variant; tables of both runtimes may be stacked. Layers without
            multiply-adds have no place on these axes and are left out.
        roof: What the machine can do.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    drawn = data[data["macs_per_s"] > 0].assign(gmacs_per_s=lambda rows: rows["macs_per_s"] / _GIGA)
    ax.set(xscale="log", yscale="log")
    _draw_roofs(ax, roof, drawn["macs_per_byte"])
    for runtime, rows in drawn.groupby("runtime", sort=False):
        style = SOURCE_STYLES[str(runtime)]
        ax.plot(rows["macs_per_byte"], rows["gmacs_per_s"], linestyle="none", label=str(runtime), **style)
    ax.margins(x=0.02, y=0.1)
    ax.autoscale_view()
    log_ticks(ax.xaxis)
    log_ticks(ax.yaxis)
    _label_layers(ax, list(zip(drawn["macs_per_byte"], drawn["gmacs_per_s"], drawn["layer"], strict=True)))
    ax.set(xlabel="arithmetic intensity [MAC/byte]", ylabel="rate [GMAC/s]", title=_finding(drawn))
    legend_below(ax, title=_disturbance(roof))
    return ax


def _draw_roofs(ax: Axes, roof: RooflineRecord, intensities: pd.Series[float]) -> None:
    one, every = _roofs(roof)
    ends = [*intensities, one.ridge, every.ridge]
    left, right = min(ends) / 2, max(ends) * 4
    for limits, line in ((every, "-"), (one, "--")) if every.threads > 1 else ((one, "-"),):
        x = np.array([left, limits.ridge, right])
        y = np.minimum(limits.macs_per_s, x * limits.bytes_per_s) / _GIGA
        threads = "1 thread" if limits.threads == 1 else f"{limits.threads} threads"
        label = f"{threads}: {limits.macs_per_s / _GIGA:.0f} GMAC/s, {limits.bytes_per_s / _GIGA:.0f} GB/s"
        ax.plot(x, y, color=_ROOF_COLOUR, linestyle=line, label=label)


def _label_layers(ax: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Names every point once, at its highest, where no point and no other name is; a white rim sets it off lines.

    Args:
        ax: With its final limits, for the distances on paper are taken from them.
        points: x, y and name.
    """
    highest = {name: (x, y) for x, y, name in sorted(points, key=lambda point: point[1])}
    scale = 72 / ax.figure.dpi
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in (ax.transData.transform(p[:2]) * scale for p in points)]
    for name, (x, y) in highest.items():
        right, up = ax.transData.transform((x, y)) * scale
        width = _LETTER_WIDTH_PT * len(name)
        boxes = {place: _box(right + place[0], up + place[1], width, place[2]) for place in _LABEL_PLACES}
        place = next((place for place, box in boxes.items() if not _hits(box, taken)), _LABEL_PLACES[0])
        taken.append(boxes[place])
        text = ax.annotate(
            name, (x, y), place[:2], textcoords="offset points", ha=place[2], va="center", fontsize="small"
        )
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _box(x: float, y: float, width: float, align: str) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of a name in points, ``x`` at its ``align`` end."""
    left = x - {"left": 0.0, "center": width / 2, "right": width}[align]
    return left, y - 5, left + width, y + 5


def _hits(box: tuple[float, float, float, float], others: Sequence[tuple[float, float, float, float]]) -> bool:
    left, bottom, right, top = box
    return any(left < r and ll < right and bottom < t and b < top for ll, b, r, t in others)


def _finding(drawn: pd.DataFrame) -> str:
    """The title: how much of its roof the layer reaches that takes longest of those with multiply-adds."""
    if drawn.empty:
        return "No layer with multiply-adds was timed"
    longest = drawn.sort_values("time_s").iloc[-1]
    share = units.percent(longest["share_of_attainable"], 0)
    text = f"{longest['layer']} of {longest['variant']} reaches {share} of its roof, {longest['runtime']}"
    return text if pd.isna(longest["caution"]) else f"{text}:\n{longest['caution']}"
