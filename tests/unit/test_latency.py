"""Timing, with a clock that the test turns."""

from __future__ import annotations

import numpy as np
import pytest

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure.clock import TimedStep, time_blocks


class FakeClock:
    """A clock that stands still unless a step moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def step(self, seconds: float, result: object = None) -> object:
        self.now_s += seconds
        return result


def measure(clock: FakeClock, kinds: dict[str, TimedStep], **changes: int) -> dict[str, tuple[tuple[float, ...], ...]]:
    settings = {"blocks": 3, "steps_per_block": 2, "warmup_steps": 1, **changes}
    return time_blocks(kinds, rng=np.random.default_rng(0), clock=clock, **settings)


def test_only_the_step_itself_is_timed() -> None:
    clock = FakeClock()
    slow_preparation = TimedStep(
        run=lambda: clock.step(0.25), prepare=lambda: clock.step(7.0), keep=lambda result: clock.step(5.0)
    )
    times = measure(clock, {"plain": slow_preparation})
    assert times == {"plain": ((0.25, 0.25), (0.25, 0.25), (0.25, 0.25))}


def test_each_kind_gets_its_own_times_whatever_the_order() -> None:
    clock = FakeClock()
    kinds = {"plain": TimedStep(lambda: clock.step(1.0)), "profiled": TimedStep(lambda: clock.step(2.0))}
    times = measure(clock, kinds)
    assert times == {"plain": ((1.0, 1.0),) * 3, "profiled": ((2.0, 2.0),) * 3}


def test_blocks_alternate_in_an_order_that_the_seed_gives() -> None:
    clock = FakeClock()
    order: list[str] = []
    kinds = {
        name: TimedStep(lambda: clock.step(1.0, "result"), keep=lambda _, name=name: order.append(name))
        for name in ("a", "b", "c")
    }
    measure(clock, kinds, blocks=20, steps_per_block=1)
    rounds = [tuple(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 3
    first, order[:] = list(order), []
    measure(clock, kinds, blocks=20, steps_per_block=1)
    assert order == first


def test_warm_up_and_the_first_step_of_a_block_are_run_but_not_timed() -> None:
    clock = FakeClock()
    runs, kept = [], []
    step = TimedStep(lambda: (clock.step(1.0), runs.append(0)), keep=kept.append)
    times = measure(clock, {"plain": step}, blocks=4, steps_per_block=3, warmup_steps=5)
    assert len(runs) == 5 + 4 * (1 + 3)
    assert len(kept) == sum(len(block) for block in times["plain"]) == 12


def test_rounds_are_told() -> None:
    clock = FakeClock()
    told: list[int] = []
    kinds = {"plain": TimedStep(lambda: clock.step(1.0))}
    time_blocks(
        kinds,
        blocks=3,
        steps_per_block=1,
        warmup_steps=0,
        rng=np.random.default_rng(0),
        clock=clock,
        on_round=told.append,
    )
    assert told == [1, 2, 3]


def test_a_clock_that_stands_still_is_refused() -> None:
    with pytest.raises(MeasureError) as caught:
        measure(FakeClock(), {"plain": TimedStep(lambda: None)})
    assert str(caught.value) == "The clock did not advance during a plain step. Received: 0.0 s."
