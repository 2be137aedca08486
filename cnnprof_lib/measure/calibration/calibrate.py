"""Measures designed networks in one runtime, each beside the reference, until the time is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from ...base.errors import CnnprofError, StoreError, VariantError
from ...base.files import try_writing
from ...base.stamps import utc_now
from ...params.reading import load_preset, load_variant
from ...params.runtimes import REFERENCE_RUNTIME
from ...params.settings import PresetSpec
from ...params.variant import VariantSpec
from ...records.calibration import ProbeRecord, ProbesRecord
from ...records.project import Project
from .. import machine
from ..clock import TimedStep, time_blocks
from ..models.load import load_network
from ..prepare import prepare_images
from ..runtimes.contract import Runtime, Session, find_runtime
from ..waits import ThreadWaits, Undisturbed, WatchedStep
from .design import Designed, designed

PRESET = "calibrate"
_SAVE_EVERY_S = 10.0
_QUIET_SHARE = 0.01
"""Steps that waited no longer for a processor count as undisturbed."""
_MOST_TRIES = 4
"""So many times as many steps where they are disturbed."""

OnProbe = Callable[[float, ProbeRecord], None]
"""Told the seconds spent so far and what was measured last."""


@dataclass(frozen=True)
class _Bench:
    """What all networks of a calibration are measured by."""

    runtime: Runtime
    preset: PresetSpec
    project: Project
    reference: Session

    def measure(self, wanted: Designed) -> ProbeRecord:
        """Times one network and the reference in alternating blocks, longer where the machine is busy."""
        session = _open(self.runtime, wanted.variant, wanted.batch_size, self.preset, self.project)
        try:
            step, reference, layers_s = self._timed(session)
        finally:
            session.close()
            keras.backend.clear_session()
        return ProbeRecord(
            family=wanted.family,
            network=wanted.variant.network,
            batch_size=wanted.batch_size,
            step_s=step.time_s,
            reference_s=reference.time_s,
            waited_share=max(step.waited_share, reference.waited_share),
            layers_s=layers_s,
        )

    def _timed(self, session: Session) -> tuple[Undisturbed, Undisturbed, dict[str, float]]:
        """The steps of a network and the reference, and the time of its layers if they can be traced."""
        traced: list[Any] = []
        kinds = {
            "plain": TimedStep(session.step, session.prepare),
            "reference": TimedStep(self.reference.step, self.reference.prepare),
        }
        if session.can_trace:
            kinds["traced"] = TimedStep(session.traced_step, session.prepare, traced.append)
        for kind in kinds.values():  # makes the runtime's threads
            kind.prepare()
            kind.run()
        waits = ThreadWaits()
        watched = {name: WatchedStep(kind, waits.read_s) for name, kind in kinds.items()}
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        rng = np.random.default_rng(self.preset.seed)
        for _ in range(_MOST_TRIES):
            times = time_blocks(
                {name: kind.timed for name, kind in watched.items()},
                blocks=self.preset.blocks,
                steps_per_block=self.preset.steps_per_block,
                warmup_steps=self.preset.warmup_steps,
                rng=rng,
            )
            for name, blocks in times.items():
                seconds[name] += [time_s for block in blocks for time_s in block]
            found = {name: kind.undisturbed(seconds[name]) for name, kind in watched.items()}
            if max(each.waited_share for each in found.values()) <= _QUIET_SHARE:
                break
        waits.close()
        kept = [traced[index] for index in found["traced"].steps] if traced else []
        return found["plain"], found["reference"], _layers(session, kept)


def calibrate(
    runtime_name: str,
    minutes: float,
    project: Project,
    *,
    batch_sizes: Sequence[int] = (),
    again: bool = False,
    on_probe: OnProbe = lambda spent_s, probe: None,
) -> ProbesRecord:
    """Measures designed networks until ``minutes`` are spent, those of earlier commands included, and stores them.

    Interrupted, it keeps what it has; the same command then goes on.

    Args:
        runtime_name: In which runtime; the process must have been set up for it.
        minutes: Of measuring, all commands together.
        project: Where parameters are and the result goes.
        batch_sizes: Images per step to draw from; empty for those of the design.
        again: Begins anew, whatever there is.
        on_probe: Progress.

    Raises:
        CnnprofError: whatever stops the calibration, in one line.
    """
    try_writing(project.store.machine_dir)
    runtime = find_runtime(runtime_name)
    runtime.set_up()
    preset = load_preset(PRESET, project.params)
    if preset.baseline is None:
        raise VariantError(f"{project.params}/presets/{PRESET}.yaml: `baseline` is required: a file of params/.")
    baseline = load_variant(preset.baseline, project.params)
    beside = _reference_runtime(runtime)
    record = ProbesRecord(
        created=utc_now(),
        runtime=runtime.name,
        machine=machine.describe(onednn=False),
        versions=runtime.versions(),
        reference=f"{baseline.name} with batches of {preset.batch_size} in {beside.name}",
        seed=preset.seed,
        drawn=0,
        spent_s=0.0,
        probes=(),
    )
    if not again:
        record = _continued(record, project.store.read_probes(runtime.name))
    if record.spent_s >= 60 * minutes:
        return record
    bench = _Bench(runtime, preset, project, _open(beside, baseline, preset.batch_size, preset, project))
    return _go_on(record, bench, 60 * minutes, baseline, batch_sizes, on_probe)


def _go_on(
    record: ProbesRecord,
    bench: _Bench,
    until_s: float,
    baseline: VariantSpec,
    batch_sizes: Sequence[int],
    on_probe: OnProbe,
) -> ProbesRecord:
    store, probes, drawn, before_s = bench.project.store, list(record.probes), record.drawn, record.spent_s
    start = saved = time.monotonic()
    spent_s, refused = before_s, 0

    def so_far() -> ProbesRecord:
        return record.model_copy(update={"probes": tuple(probes), "drawn": drawn, "spent_s": spent_s})

    try:
        while spent_s < until_s:
            try:
                probe = bench.measure(designed(drawn, record.seed, baseline, batch_sizes))
            except CnnprofError:
                refused += 1  # a layer that the runtime has no kernel for; if it refuses all, that is told
                if refused > 5 and not probes:
                    raise
            else:
                probes.append(probe)
                on_probe(spent_s, probe)
            drawn, now = drawn + 1, time.monotonic()
            spent_s = before_s + now - start
            if now - saved > _SAVE_EVERY_S:
                store.write_probes(so_far())
                saved = now
    finally:
        if probes:
            store.write_probes(so_far())
        bench.reference.close()
    return so_far()


def _open(runtime: Runtime, variant: VariantSpec, batch_size: int, preset: PresetSpec, project: Project) -> Session:
    network = load_network(variant, project.store, batch_size=batch_size, seed=preset.seed)
    return runtime.open(network, prepare_images(None, network.network.inputs, batch_size, preset.seed))


def _reference_runtime(runtime: Runtime) -> Runtime:
    """What the reference runs in: the reference runtime, unless this process is set up otherwise than that needs."""
    wanted = find_runtime(REFERENCE_RUNTIME)
    fits = all(runtime.environment.get(name, value) == value for name, value in wanted.environment.items())
    return wanted if fits else runtime


def _layers(session: Session, steps: Sequence[Any]) -> dict[str, float]:
    """Median time of each layer's kernels per step, in seconds; empty where nothing was traced."""
    if not steps:
        return {}
    rows = session.executions(steps)
    seconds = rows.groupby(["layer", "step"])["self_ns"].sum() / 1e9
    medians = seconds.groupby("layer").median()
    return {str(layer): float(time_s) for layer, time_s in medians.items() if layer}


def _continued(new: ProbesRecord, stored: ProbesRecord | None) -> ProbesRecord:
    """What is stored, if it was measured under the conditions of today."""
    if stored is None:
        return new
    for what in ("machine", "versions", "reference", "seed"):
        here, there = getattr(new, what), getattr(stored, what)
        if here != there:
            raise StoreError(
                f"The calibration of runtime {new.runtime} was made with another {what}, and cannot go on with this "
                f"one. Received: {here}, not {there}. Begin anew: cnnprof calibrate --runtime {new.runtime} --again"
            )
    return stored
