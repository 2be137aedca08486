"""The A/A gate: the baseline timed against itself, round after round."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..files import try_writing
from ..machine_records import CheckRecord, PairRecord
from ..params import load_preset, load_variant
from ..project import Project
from ..settings import Runtime
from ..stamps import utc_now
from . import machine
from . import runtime as runtimes
from .latency import TimedStep, time_blocks
from .prepare import load_dataset, prepare_images, prepare_network
from .run import BASELINE
from .session import NetworkSession

PRESET = "check"


def check(
    runtime: Runtime, rounds: int, project: Project, source: str, on_round: Callable[[int], None] = lambda done: None
) -> CheckRecord:
    """Times the baseline against itself and stores the result.

    Every round has two sessions of its own, for where a session's memory lies is part of what makes two alike
    networks differ.

    Args:
        runtime: In which form to run it; the process must have been set up for it.
        rounds: How often.
        project: Where parameters are and the result goes.
        source: Images, as for a run.
        on_round: Called with the number of rounds done.

    Raises:
        CnnprofError: whatever stops the check, in one line; where the result cannot be stored, with where it is kept.
    """
    try_writing(project.store.machine_dir)
    runtimes.set_up(runtime)
    baseline = load_variant(BASELINE, project.params)
    preset = load_preset(PRESET, project.params)
    images = prepare_images(load_dataset(source), baseline.input, preset.batch_size, preset.seed)
    network = prepare_network(baseline, runtime, images, project.store, batch_size=preset.batch_size, seed=preset.seed)
    pairs = []
    for done in range(1, rounds + 1):
        first, second = (NetworkSession(network.frozen, runtime, images.pixels, images.labels) for _ in range(2))
        times = time_blocks(
            {"first": TimedStep(first.step, first.prepare), "second": TimedStep(second.step, second.prepare)},
            blocks=preset.blocks,
            steps_per_block=preset.steps_per_block,
            warmup_steps=preset.warmup_steps,
            rng=np.random.default_rng([preset.seed, done]),
        )
        first.close()
        second.close()
        pairs.append(PairRecord(first_s=times["first"], second_s=times["second"]))
        on_round(done)
    record = CheckRecord(
        created=utc_now(),
        runtime=runtime,
        batch_size=preset.batch_size,
        machine=machine.describe(onednn=False),
        rounds=tuple(pairs),
    )
    project.store.write_check(record)
    return record
