"""The reference: the study's baseline in the reference runtime, stepped beside a run in any other.

Ratios to it compare runtimes with each other, and in them the drift of the machine cancels. It shares the process of
the run where it can. Threads of one library that wait for work may slow another, see github.com/microsoft/onnxruntime
issue 13808. So its steps are timed alone first; where they are slower beside the runtime, or where both cannot be in
one process, it is stepped in a process of its own.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

import numpy as np

from ..base.errors import MeasureError
from ..base.processes import in_new_process
from ..params.runtimes import REFERENCE_RUNTIME
from ..params.settings import PresetSpec, RunRequest
from ..records.conditions import Blocks
from ..records.project import Project
from .clock import TimedStep, time_blocks
from .runtimes.contract import Runtime, Session, find_runtime, plain_step, ready_runtime

ALONE_BLOCKS = 6
"""As many as an interval of a median needs, see `analysis.estimates.FEWEST`."""
SLOWED = 1.25
"""Own choice: a reference that takes so many times as long beside the runtime gets a process of its own. What noise
does to the medians of a few blocks stays below, on a machine that can be measured on at all."""


@dataclass(frozen=True)
class Reference:
    """What is stepped beside a run.

    Attributes:
        network: Its name.
        step: One step.
        own_process: Whether it is made elsewhere.
        alone_s: Its steps before the runtime was opened.
        close: Frees what it holds.
    """

    network: str
    step: TimedStep
    own_process: bool
    alone_s: Blocks
    close: Callable[[], None]


def within(network: str, session: Session, preset: PresetSpec) -> Reference:
    """A reference in this process, timed while nothing else is open."""
    step = plain_step(session)
    blocks = min(ALONE_BLOCKS, preset.blocks)
    return Reference(network, step, False, _timed({"": step}, blocks, preset)[""], session.close)


def is_slowed(reference: Reference, session: Session, preset: PresetSpec) -> bool:
    """Whether a reference in this process takes longer between steps of the session than it did alone."""
    kinds = {"reference": reference.step, "session": plain_step(session)}
    beside_s = _timed(kinds, len(reference.alone_s), preset)["reference"]
    return _median(beside_s) > SLOWED * _median(reference.alone_s)


def can_share() -> Runtime | None:
    """The reference runtime, where this process is set up as it needs; else None."""
    runtime = find_runtime(REFERENCE_RUNTIME)
    try:
        runtime.set_up()
    except MeasureError:
        return None
    return runtime


def apart(network: str, request: RunRequest, project: Project, preset: PresetSpec) -> Reference:
    """A reference in a process of its own, timed while that of the run waits.

    Args:
        network: Its name.
        request: The run that it is for.
        project: Where parameters and weights are.
        preset: How many steps.

    Raises:
        CnnprofError: whatever stops the process.
    """
    here, there = Pipe()
    pool = ThreadPoolExecutor(max_workers=1)
    process = pool.submit(in_new_process, f"steps {network}", _serve, there, request, project)
    process.add_done_callback(lambda _: there.close())

    def one_step() -> Any:
        try:
            here.send(True)
            return here.recv()
        except (EOFError, OSError):
            process.result()  # raises what ended it
            raise

    def close() -> None:
        here.close()
        pool.shutdown()

    step = TimedStep(one_step, timed_itself=float)
    alone_s = _timed({"": step}, min(ALONE_BLOCKS, preset.blocks), preset)[""]
    return Reference(network, step, True, alone_s, close)


def _serve(connection: Connection, request: RunRequest, project: Project) -> None:
    """The process: steps the reference whenever the other end asks for it, and answers with the seconds it took."""
    ready_runtime(REFERENCE_RUNTIME)
    from .conditions import conditions_of

    conditions = conditions_of(request.model_copy(update={"runtime": REFERENCE_RUNTIME}), project)
    session = conditions.open(conditions.compared, conditions.dataset())
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        session.prepare()
        start = perf_counter()
        session.step()
        connection.send(perf_counter() - start)


def _timed(kinds: dict[str, TimedStep], blocks: int, preset: PresetSpec) -> dict[str, Blocks]:
    return time_blocks(
        kinds,
        blocks=blocks,
        steps_per_block=preset.steps_per_block,
        warmup_steps=preset.warmup_steps,
        rng=np.random.default_rng(preset.seed),
    )


def _median(blocks: Blocks) -> float:
    return statistics.median(statistics.median(block) for block in blocks)
