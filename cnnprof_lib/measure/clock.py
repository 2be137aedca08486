"""Times steps of several kinds in alternating blocks. Knows no TensorFlow; the clock is injected."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base.errors import MeasureError

Clock = Callable[[], float]


@dataclass(frozen=True)
class TimedStep:
    """Something to time.

    Attributes:
        run: One step; what it returns is handed to ``keep`` after the clock has stopped.
        prepare: Called before each step, outside its time.
        keep: Called after each timed step with its result, outside its time.
        timed_itself: The seconds that a result says the step took, where the call does more than the step, or makes it
            elsewhere; None where the call is the step.
        per_block: Timed steps in a block; None for as many as the others have.
    """

    run: Callable[[], Any]
    prepare: Callable[[], None] = lambda: None
    keep: Callable[[Any], None] = lambda result: None
    timed_itself: Callable[[Any], float | None] = lambda result: None
    per_block: int | None = None


def time_blocks(
    kinds: Mapping[str, TimedStep],
    *,
    blocks: int,
    steps_per_block: int,
    warmup_steps: int,
    rng: np.random.Generator,
    clock: Clock = time.perf_counter,
    on_round: Callable[[int], None] = lambda done: None,
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Times each kind of step in ``blocks`` blocks.

    A round is one block of each kind, in random order, so that a drift of the machine falls on all kinds
    alike. Each block starts with one step that is not timed: it meets the caches of the kind before.

    Args:
        kinds: What to time, by name.
        blocks: Blocks of each kind.
        steps_per_block: Timed steps in a block, unless a kind has its own number.
        warmup_steps: Steps of each kind before the first round, not timed.
        rng: Draws the order of kinds in each round.
        clock: Seconds, monotonic.
        on_round: Called after each round with the number of rounds done.

    Returns:
        By kind, the seconds of each step, block by block.

    Raises:
        MeasureError: the clock did not advance during a step.
    """
    for kind in kinds.values():
        for _ in range(warmup_steps):
            kind.prepare()
            kind.run()

    times: dict[str, list[tuple[float, ...]]] = {name: [] for name in kinds}
    names = list(kinds)
    for done in range(1, blocks + 1):
        for index in rng.permutation(len(names)):
            name = names[index]
            times[name].append(_time_block(name, kinds[name], kinds[name].per_block or steps_per_block, clock))
        on_round(done)
    return {name: tuple(blocks_of_kind) for name, blocks_of_kind in times.items()}


def _time_block(name: str, kind: TimedStep, steps: int, clock: Clock) -> tuple[float, ...]:
    kind.prepare()
    kind.run()
    seconds = []
    collecting = gc.isenabled()
    gc.disable()  # as timeit does: a collection would be booked on whichever step it meets
    try:
        for _ in range(steps):
            kind.prepare()
            start = clock()
            result = kind.run()
            elapsed = clock() - start
            elapsed = elapsed if (own_s := kind.timed_itself(result)) is None else own_s
            if elapsed <= 0:
                raise MeasureError(f"The clock did not advance during a {name} step. Received: {elapsed} s.")
            kind.keep(result)
            seconds.append(elapsed)
    finally:
        if collecting:
            gc.enable()
    return tuple(seconds)
