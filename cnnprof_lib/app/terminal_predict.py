"""What `cnnprof calibrate` and `cnnprof predict` print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType

from ..base import units
from ..params.network import Network
from ..records.calibration import ProbeRecord, ProbesRecord
from ..records.conditions import BUSY_PERCENT
from .terminal import ColumnForm, LiveBar, rows_table

if TYPE_CHECKING:
    from ..analysis.prediction.numbers import Prediction

_MUCH_DISTURBED = 0.1
"""Share of the networks of a calibration from which on it is better made again."""
_MOST_OUTSIDE = 8


def show_probe(bar: LiveBar, runtime: str, spent_s: float, probe: ProbeRecord) -> None:
    """What a calibration measured last."""
    batch = f"batches of {probe.batch_size}"
    bar.show(spent_s, f"calibrate {runtime}: {probe.network.name}, {batch}, {units.seconds(probe.step_s)}")


def calibration_text(record: ProbesRecord) -> str:
    """How far a calibration came, in a line."""
    networks, minutes = units.counted(len(record.probes), "network"), record.spent_s / 60
    busy = sum(probe.waited_share > BUSY_PERCENT / 100 for probe in record.probes) / max(len(record.probes), 1)
    warning = (
        f" Other programs disturbed {units.percent(busy, 0)} of them: "
        f"calibrate again on a quiet machine, cnnprof calibrate --runtime {record.runtime} --again"
        if busy > _MUCH_DISTURBED
        else ""
    )
    return f"{record.runtime}: {networks} in {minutes:.1f} minutes on {record.machine.cpu}.{warning}"


def prediction_parts(found: Prediction, network: Network, runtime: str, batch_size: int) -> Iterator[RenderableType]:
    """A latency that is predicted, with its interval, then its layers."""
    how = "measured by the calibration" if found.measured else "predicted"
    latency_s, *interval_s = (units.seconds(time_s) for time_s in (found.latency_s, found.low_s, found.high_s))
    batch = units.counted(batch_size, "image")
    yield f"{network.name} in {runtime}: {latency_s} for {batch}, {how} (95% interval {' to '.join(interval_s)})"
    rows = [
        {"layer": layer.name, "type": layer.type, "time_s": found.layers_s[layer.name], "macs": layer.macs or None}
        for layer in network.layers
    ]
    columns: dict[str, ColumnForm] = {
        "layer": ("layer", str),
        "type": ("type", str),
        "time": ("time_s", units.seconds),
        "MACs": ("macs", units.count),
    }
    yield rows_table([*rows, {"layer": "(the call)", "type": "", "time_s": found.call_s}], columns)
    if found.outside:
        named = ", ".join(found.outside[:_MOST_OUTSIDE]) + (", ..." if len(found.outside) > _MOST_OUTSIDE else "")
        yield f"Unlike anything calibrated, so the interval does not hold: {named}"
