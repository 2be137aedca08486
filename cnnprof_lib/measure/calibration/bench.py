"""Times one network after the other beside a reference in the same runtime, as it is if nothing else runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ...base.errors import VariantError
from ...params.reading import load_preset, load_variant
from ...params.settings import PresetSpec
from ...params.variant import VariantSpec
from ...records.calibration import ProbeRecord
from ...records.project import Project
from ..clock import time_blocks
from ..machine import LoadWatch
from ..models.load import load_network
from ..prepare import prepare_images
from ..runtimes.contract import Runtime, Session, plain_step, traced_step
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
        self.reference = f"{self.baseline.name} with batches of {self.preset.batch_size}"
        """The reference in words."""
        self._reference = self._open(self.baseline, self.preset.batch_size)

    def measure(self, wanted: Designed) -> ProbeRecord:
        """Times one network and the reference in alternating blocks, longer where the machine is busy.

        Raises:
            CnnprofError: the runtime refuses the network.
        """
        session = self._open(wanted.variant, wanted.batch_size)
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

    def _open(self, variant: VariantSpec, batch_size: int) -> Session:
        seed = self.preset.seed
        network = load_network(variant, self.project.store, batch_size=batch_size, seed=seed)
        return self.runtime.open(network, prepare_images(None, network.network.inputs, batch_size, seed))

    def _timed(self, session: Session) -> tuple[Undisturbed, Undisturbed, dict[str, float]]:
        """The steps of a network and the reference, and the time of its layers if they can be traced."""
        traced: list[Any] = []
        kinds = {"plain": plain_step(session), "reference": plain_step(self._reference)}
        if session.can_trace:
            kinds["traced"] = traced_step(session, traced.append)
        for kind in kinds.values():  # makes the runtime's threads
            kind.prepare()
            kind.run()
        waits, load = ThreadWaits(), LoadWatch()
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
            others_share = load.others_percent() / 100
            found = {name: kind.undisturbed(seconds[name], others_share) for name, kind in watched.items()}
            if max(each.waited_share for each in found.values()) <= QUIET_SHARE:
                break
        waits.close()
        kept = [traced[index] for index in found["traced"].steps] if traced else []
        return found["plain"], found["reference"], _layers(session, kept, found["plain"].time_s)


def _layers(session: Session, steps: Sequence[Any], step_s: float) -> dict[str, float]:
    """Median time of each layer's kernels per step, in seconds; empty where nothing was traced.

    Where tracing slows kernels down, they are made shorter alike, for together they take no longer than a step.
    """
    if not steps:
        return {}
    rows = session.executions(steps)
    seconds = rows.groupby(["layer", "step"])["self_ns"].sum() / 1e9
    medians = seconds.groupby("layer").median()
    longer = max(medians.sum() / step_s, 1.0)
    return {str(layer): float(time_s / longer) for layer, time_s in medians.items() if layer}
