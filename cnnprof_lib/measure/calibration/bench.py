"""Times one network after the other beside the reference, each as it is if nothing else runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ...base.errors import VariantError
from ...params.reading import load_preset, load_variant
from ...params.runtimes import REFERENCE_RUNTIME
from ...params.settings import PresetSpec
from ...params.variant import VariantSpec
from ...records.calibration import ProbeRecord
from ...records.project import Project
from ..clock import TimedStep, time_blocks
from ..models.load import load_network
from ..prepare import prepare_images
from ..runtimes.contract import Runtime, Session, find_runtime
from ..waits import QUIET_SHARE, ThreadWaits, Undisturbed, WatchedStep
from .design import Designed

_PRESET = "calibrate"
_MOST_TRIES = 4
"""So many times as many steps where they are disturbed."""


class Bench:
    """What networks are measured on: a runtime, and the reference, which stays open.

    Args:
        runtime: For which the process was set up.
        project: Where parameters and reference weights are.

    Raises:
        VariantError: the preset names no baseline, which is to be the reference.
    """

    def __init__(self, runtime: Runtime, project: Project) -> None:
        self.runtime, self.project = runtime, project
        self.preset: PresetSpec = load_preset(_PRESET, project.params)
        if self.preset.baseline is None:
            raise VariantError(f"{project.params}/presets/{_PRESET}.yaml: `baseline` is required: a file of params/.")
        self.baseline: VariantSpec = load_variant(self.preset.baseline, project.params)
        beside = _reference_runtime(runtime)
        self.reference = f"{self.baseline.name} with batches of {self.preset.batch_size} in {beside.name}"
        """The reference in words."""
        self._reference = self._open(beside, self.baseline, self.preset.batch_size)

    def measure(self, wanted: Designed) -> ProbeRecord:
        """Times one network and the reference in alternating blocks, longer where the machine is busy.

        Raises:
            CnnprofError: the runtime refuses the network.
        """
        session = self._open(self.runtime, wanted.variant, wanted.batch_size)
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

    def close(self) -> None:
        """Closes the reference."""
        self._reference.close()

    def _open(self, runtime: Runtime, variant: VariantSpec, batch_size: int) -> Session:
        seed = self.preset.seed
        network = load_network(variant, self.project.store, batch_size=batch_size, seed=seed)
        return runtime.open(network, prepare_images(None, network.network.inputs, batch_size, seed))

    def _timed(self, session: Session) -> tuple[Undisturbed, Undisturbed, dict[str, float]]:
        """The steps of a network and the reference, and the time of its layers if they can be traced."""
        traced: list[Any] = []
        kinds = {
            "plain": TimedStep(session.step, session.prepare),
            "reference": TimedStep(self._reference.step, self._reference.prepare),
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
            if max(each.waited_share for each in found.values()) <= QUIET_SHARE:
                break
        waits.close()
        kept = [traced[index] for index in found["traced"].steps] if traced else []
        return found["plain"], found["reference"], _layers(session, kept)


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
