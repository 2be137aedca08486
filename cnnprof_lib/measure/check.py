"""The A/A gate: the baseline timed against itself, round after round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base.errors import VariantError
from ..base.files import try_writing
from ..base.stamps import utc_now
from ..params.reading import load_preset, load_variant
from ..params.settings import PresetSpec
from ..records.machine import CheckRecord, PairRecord, PartRecord
from ..records.project import Project
from . import machine
from .clock import TimedStep, time_blocks
from .models.load import LoadedNetwork, load_network
from .prepare import Images, load_dataset, prepare_images
from .runtimes.contract import Runtime, Session, find_runtime, plain_step, traced_step

PRESET = "check"
_SIDES = ("first", "second")


def check(
    runtime_name: str, rounds: int, project: Project, source: str, on_round: Callable[[int], None] = lambda done: None
) -> CheckRecord:
    """Times the baseline against itself and stores the result.

    Every round has two sessions of its own, for where a session's memory lies is part of what makes two alike
    networks differ.

    Args:
        runtime_name: In which runtime; the process must have been set up for it.
        rounds: How often.
        project: Where parameters are and the result goes.
        source: Images, as for a run.
        on_round: Called with the number of rounds done.

    Raises:
        CnnprofError: whatever stops the check, in one line; where the result cannot be stored, with where it is kept.
    """
    try_writing(project.store.machine_dir)
    runtime = find_runtime(runtime_name)
    runtime.set_up()
    preset = load_preset(PRESET, project.params)
    if preset.baseline is None:
        raise VariantError(f"{project.params}/presets/{PRESET}.yaml: `baseline` is required: a file of params/.")
    baseline = load_variant(preset.baseline, project.params)
    images = prepare_images(
        load_dataset(source, project.params, baseline), baseline.network.inputs, preset.batch_size, preset.seed
    )
    network = load_network(baseline, project.store, batch_size=preset.batch_size, seed=preset.seed)
    pairs = []
    for done in range(1, rounds + 1):
        pairs.append(_round(network, runtime, images, preset, np.random.default_rng([preset.seed, done])))
        on_round(done)
    record = CheckRecord(
        created=utc_now(),
        runtime=runtime.name,
        batch_size=preset.batch_size,
        machine=machine.describe(onednn=False),
        rounds=tuple(pairs),
    )
    project.store.write_check(record)
    return record


def _round(
    network: LoadedNetwork, runtime: Runtime, images: Images, preset: PresetSpec, rng: np.random.Generator
) -> PairRecord:
    """Times two new sessions of one network against each other, unprofiled and, where it can be, profiled."""
    sessions = {side: runtime.open(network, images) for side in _SIDES}
    traced: dict[str, list[Any]] = {side: [] for side in _SIDES}
    kinds: dict[str, TimedStep] = {}
    for side, session in sessions.items():
        kinds[side] = plain_step(session)
        if session.can_trace:
            kinds[f"{side}, traced"] = traced_step(session, traced[side].append)
    times = time_blocks(
        kinds,
        blocks=preset.blocks,
        steps_per_block=preset.steps_per_block,
        warmup_steps=preset.warmup_steps,
        rng=rng,
    )
    first, second = (_parts(sessions[side], traced[side]) for side in _SIDES)
    for session in sessions.values():
        session.close()
    parts = (PartRecord(layer=key[0], op=key[1], first_s=first[key], second_s=second[key]) for key in first)
    return PairRecord(first_s=times["first"], second_s=times["second"], parts=tuple(parts))


def _parts(session: Session, steps: Sequence[Any]) -> dict[tuple[str, str], float]:
    """Median time of each layer's ops per step, in seconds; empty where nothing was traced."""
    if not steps:
        return {}
    rows = session.executions(steps)
    seconds = rows.groupby(["layer", "op", "step"])["self_ns"].sum() / 1e9
    medians = seconds.groupby(["layer", "op"]).median().reset_index()
    return {(layer, op): time_s for layer, op, time_s in medians.itertuples(index=False)}
