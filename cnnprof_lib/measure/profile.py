"""Times the steps of a session, and reads what the traced ones tell."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..params.settings import PresetSpec
from ..records.conditions import LoadRecord
from ..records.run import LatencyRecord, UnattributedRecord
from ..records.run_store import TracedFiles
from . import machine, timeline
from .clock import TimedStep, time_blocks
from .load import FaultCount
from .runtimes import executions
from .runtimes.contract import Session, plain_step, traced_step

OnStage = Callable[[float, str], None]
"""Told the share of the run that is done, 0 to 1, and what comes next."""


def warm_up(session: Session, preset: PresetSpec) -> int:
    """Runs a few steps of both kinds and returns the most resident memory seen."""
    seen = 0
    for _ in range(preset.warmup_steps):
        session.prepare()
        session.step()
        if session.can_trace:
            session.prepare()
            session.traced_step()
        seen = max(seen, machine.resident_bytes())
    return seen


class TimedSteps(NamedTuple):
    """The timed steps, the profiled ones' traces in order, and what else the machine did meanwhile."""

    latency: LatencyRecord
    steps: list[Any]
    load: LoadRecord


def time_steps(session: Session, beside: Mapping[str, TimedStep], preset: PresetSpec, on_stage: OnStage) -> TimedSteps:
    """Times every kind of step there is, in alternating blocks.

    Args:
        session: The network, ready.
        beside: What is timed beside it, by kind: ``baseline`` and ``reference``, as far as there are any.
        preset: How many steps.
        on_stage: Progress.
    """
    steps: list[Any] = []
    kinds = {"plain": plain_step(session), **beside}
    if session.can_trace:
        kinds["profiled"] = traced_step(session, steps.append)
    watch = machine.LoadWatch()
    counts = {kind: FaultCount(step) for kind, step in kinds.items()}

    def on_round(done: int) -> None:
        watch.look()
        on_stage(0.2 + 0.6 * done / preset.blocks, f"timing, round {done} of {preset.blocks}")

    times = time_blocks(
        {kind: count.step for kind, count in counts.items()},
        blocks=preset.blocks,
        steps_per_block=preset.steps_per_block,
        warmup_steps=preset.warmup_steps,
        rng=np.random.default_rng(preset.seed),
        on_round=on_round,
    )
    latency = LatencyRecord.model_validate({f"{kind}_s": blocks for kind, blocks in times.items()})
    faults = {kind: count.by_block(preset.steps_per_block) for kind, count in counts.items() if kind != "reference"}
    load = watch.record(faults)
    return TimedSteps(latency, steps, load)


class StepProfile(NamedTuple):
    """What the traced steps tell: fields of the record and of its memory, and the files beside it."""

    fields: Mapping[str, Any]
    memory: Mapping[str, Any]
    files: TracedFiles | None

    @property
    def uses_onednn(self) -> bool:
        """Whether a kernel of oneDNN's was executed."""
        return any(op.kernel.startswith("_Mkl") for op in self.fields["ops"])

    @classmethod
    def untold(cls) -> StepProfile:
        """Of a runtime that cannot trace."""
        memory = ("requested_bytes", "persistent_bytes", "live_peak_bytes", "live_peak_layer")
        return cls({"ops": (), "unattributed": None, "add_step_s": None}, dict.fromkeys(memory), None)


def read_profile(timed: TimedSteps, session: Session) -> StepProfile:
    """Reads the traced steps; memory and timeline are those of the median step."""
    profiled_s = [seconds for block in timed.latency.profiled_s for seconds in block]
    median, count = profiled_s.index(statistics.median_low(profiled_s)), len(profiled_s)
    rows = session.executions(timed.steps)
    told = session.profile(timed.steps, median)
    rest = executions.unattributed(rows, profiled_s)
    live_peak_bytes, live_peak_layer = told.live_peak or (None, None)
    return StepProfile(
        fields={
            "ops": executions.totals(rows, told.fused_ops),
            "unattributed": _unattributed(rest.mean()),
            "unowned_s": rows.loc[rows["node"].isin(told.unowned), "self_ns"].sum() / count / 1e9,
            "conversions": tuple(sorted(told.conversions)),
            "fell_back": dict(told.fell_back),
            "fused_into": dict(told.fused_into),
            "add_step_s": statistics.median(told.add_step_s) if told.add_step_s else None,
        },
        memory={
            "requested_bytes": executions.mean_bytes(rows["requested_bytes"], count),
            "persistent_bytes": executions.mean_bytes(rows["persistent_bytes"], count),
            "live_peak_bytes": live_peak_bytes,
            "live_peak_layer": live_peak_layer,
        },
        files=TracedFiles(
            rows,
            told.text,
            timeline.chrome_trace(rows, median, profiled_s[median], _unattributed(rest.iloc[median])),
        ),
    )


def _unattributed(parts: pd.Series[float]) -> UnattributedRecord:
    return UnattributedRecord(**{str(name): float(seconds) for name, seconds in parts.items()})
