"""What the machine can do: how near each layer comes to it (the roofline model), and how latency scales.

Source: Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
Architectures", CACM 52(4), 2009, with multiply-adds (MAC) for their floating-point operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from ...params.costs import LayerTraffic, layer_traffic
from ...records.conditions import MachineRecord
from ...records.machine import RooflineRecord
from ...records.run import RunRecord
from ..estimates import latency
from ..frames import frame_of, in_order
from ..profile.numbers import by_layer

COMPUTE, MEMORY = "compute", "memory"
_ABOVE = {
    MEMORY: "its input was still in a cache, faster than the memory of the roof",
    COMPUTE: "its kernel needs fewer products, or the processor was slower when the roof was measured",
}
"""What lets a layer go above an undisturbed roof, by what bounds it."""


class RooflineRow(NamedTuple):
    """A layer of a run against the roof of its machine; missing where it took no time or has nothing to do."""

    variant: str
    runtime: str
    layer: str
    type: str
    time_s: float
    """Per profiled step."""
    step_macs: int
    """Products that the run's kernels computed of the batch (`MachineRecord.multiplies_padding`)."""
    step_bytes: int
    """Compulsory traffic of the batch, see `costs`."""
    macs_per_byte: float
    attainable_macs_per_s: float
    """The smaller of the peak and ``macs_per_byte`` times the bandwidth."""
    least_s: float
    """The time the roof allows, the larger of ``step_macs`` over the peak and ``step_bytes`` over the bandwidth."""
    macs_per_s: float = math.nan
    """Achieved."""
    share_of_attainable: float = math.nan
    """``least_s / time_s``: also ``macs_per_s / attainable_macs_per_s`` where there are MACs, and the share of the
    bandwidth where there are none."""
    bound: str | None = None
    """`COMPUTE` or `MEMORY`."""
    caution: str | None = None
    """Where a share above 1 may come from; elsewhere it is missing."""


class ScalingRow(NamedTuple):
    """How fast a run of one batch size and number of threads is."""

    variant: str
    runtime: str
    machine: str
    """Its kind."""
    batch_size: int
    threads: int | None
    """Missing where TensorFlow chose."""
    latency_s: float
    """Of a step."""
    latency_s_low: float
    latency_s_high: float
    images_per_s: float
    speedup: float | None
    """The latency with one thread over this one; missing where one thread was not measured."""
    macs_per_s: float
    """Of the whole step by the convention, with padding."""
    share_of_peak: float | None
    """The rate of products that were computed over what so many threads reach at most."""


class Roof(NamedTuple):
    """The two limits at one number of threads."""

    threads: int
    macs_per_s: float
    bytes_per_s: float

    @property
    def ridge(self) -> float:
        """MAC per byte from which on the peak rate, not memory, is the limit."""
        return self.macs_per_s / self.bytes_per_s


def roofs(roofline: RooflineRecord) -> tuple[Roof, Roof]:
    """With one thread and with all."""
    return (
        Roof(1, roofline.peak_macs_per_s_1_thread, roofline.bandwidth_bytes_per_s_1_thread),
        Roof(roofline.threads, roofline.peak_macs_per_s_all_threads, roofline.bandwidth_bytes_per_s_all_threads),
    )


def under_roofline(record: RunRecord, executed: pd.DataFrame, roofline: RooflineRecord) -> pd.DataFrame:
    """The layers of one run against the roof of its machine's processor, in the network's order.

    Args:
        record: The run.
        executed: Its node executions, as `Store.read_ops` returns them.
        roofline: What the machine can do. The roof is that of one thread for a run held to one, else that of all.

    Returns:
        A `RooflineRow` per layer.
    """
    roof = roofs(roofline)[0 if record.threads == 1 else 1]
    times = by_layer(record, executed).set_index("layer")["time_s"]
    layers = layer_traffic(record.network, record.batch_size, with_padding=record.machine.multiplies_padding)
    table = frame_of(RooflineRow, [_against(roof, record, layer, times[layer.name]) for layer in layers])
    above = table["share_of_attainable"] > 1
    disturbed = disturbance(roofline)
    return table.assign(caution=table["bound"].map(lambda bound: disturbed or _ABOVE.get(bound)).where(above, None))


def disturbance(roofline: RooflineRecord) -> str:
    """Why a roof may be too low; empty if nothing is known against it."""
    if roofline.is_undisturbed:
        return ""
    if roofline.schema_version == 1:
        return "the roof was measured without a look at what else the machine did"
    return f"the roof was measured while other programs used {roofline.busy_percent:.0f}% of the processors"


def _against(roof: Roof, record: RunRecord, layer: LayerTraffic, time_s: float) -> RooflineRow:
    intensity = layer.macs_per_byte
    row = RooflineRow(
        record.name,
        record.runtime,
        layer=layer.name,
        type=layer.type,
        time_s=time_s,
        step_macs=layer.macs,
        step_bytes=layer.bytes,
        macs_per_byte=intensity,
        attainable_macs_per_s=min(roof.macs_per_s, intensity * roof.bytes_per_s),
        least_s=max(layer.macs / roof.macs_per_s, layer.bytes / roof.bytes_per_s),
    )
    if row.least_s:
        row = row._replace(bound=COMPUTE if intensity >= roof.ridge else MEMORY)
    if row.least_s and time_s:
        row = row._replace(macs_per_s=layer.macs / time_s, share_of_attainable=row.least_s / time_s)
    return row


def scaling(runs: Sequence[RunRecord], roofline_of: Callable[[MachineRecord], RooflineRecord | None]) -> pd.DataFrame:
    """The newest run of each variant, runtime, kind of machine, batch size and number of threads.

    Args:
        runs: From `Store.scaling_runs`, the oldest first.
        roofline_of: Tells what a machine can do; None where it was not measured.

    Returns:
        A `ScalingRow` per run.
    """
    newest = {(run.name, run.runtime, run.machine.kind, run.batch_size, run.threads): run for run in runs}
    rows = []
    for run in newest.values():
        step = latency(run)
        single = newest.get((run.name, run.runtime, run.machine.kind, run.batch_size, 1))
        images_per_s = run.batch_size / step.value
        computed = run.network.products(with_padding=run.machine.multiplies_padding)
        peak = _peak(roofline_of(run.machine), run)
        rows.append(
            ScalingRow(
                run.name,
                run.runtime,
                run.machine.kind,
                batch_size=run.batch_size,
                threads=run.threads,
                latency_s=step.value,
                latency_s_low=step.low,
                latency_s_high=step.high,
                images_per_s=images_per_s,
                speedup=latency(single).value / step.value if single else None,
                macs_per_s=run.network.macs_per_image * images_per_s,
                share_of_peak=computed * images_per_s / peak
                if (peak := _peak(roofline_of(run.machine), run))
                else None,
            )
        )
    order = list(dict.fromkeys(run.name for run in in_order(newest.values()) if isinstance(run, RunRecord)))
    table = frame_of(ScalingRow, rows).astype({"threads": "Int64", "speedup": float})
    table = table.assign(_place=table["variant"].map(order.index) if rows else [])
    order_by = ["_place", "runtime", "machine", "batch_size", "threads"]
    return table.sort_values(order_by, ignore_index=True).drop(columns="_place")


def _peak(roofline: RooflineRecord | None, run: RunRecord) -> float | None:
    """The machine's peak rate at the run's threads, where it was measured at as many."""
    if roofline is None:
        return None
    if run.threads == 1:
        return roofline.peak_macs_per_s_1_thread
    return roofline.peak_macs_per_s_all_threads if run.threads in (None, roofline.threads) else None
