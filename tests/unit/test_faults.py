"""Page faults of timed steps, with a counter that the test turns."""

from __future__ import annotations

import mmap

import numpy as np

from cnnprof_lib.measure.clock import TimedStep, time_blocks
from cnnprof_lib.measure.load import FaultCount, page_faults
from tests.unit.test_latency import FakeClock


class FakeFaults:
    """Page faults that only `happen` adds to."""

    def __init__(self) -> None:
        self.total = 0

    def __call__(self) -> int:
        return self.total

    def happen(self, count: int) -> int:
        self.total += count
        return count


def test_only_the_faults_of_the_step_itself_count() -> None:
    clock, faults, kept = FakeClock(), FakeFaults(), []
    steps = iter(range(1, 100))

    def run() -> int:
        clock.step(1.0)
        return faults.happen(next(steps))

    def keep(result: int) -> None:
        kept.append(result)
        faults.happen(7000)

    count = FaultCount(TimedStep(run, prepare=lambda: faults.happen(5000), keep=keep), faults)
    settings = {"blocks": 2, "steps_per_block": 3, "warmup_steps": 2}
    times = time_blocks({"plain": count.step}, rng=np.random.default_rng(0), clock=clock, **settings)
    # Two steps to warm up, and one before each block, are not timed.
    assert count.by_block(3) == ((4, 5, 6), (8, 9, 10))
    assert kept == [4, 5, 6, 8, 9, 10]
    assert times == {"plain": ((1.0,) * 3,) * 2}


def test_without_a_counter_nothing_is_noted() -> None:
    clock = FakeClock()
    count = FaultCount(TimedStep(lambda: clock.step(1.0)), lambda: None)
    settings = {"blocks": 2, "steps_per_block": 3, "warmup_steps": 0}
    time_blocks({"plain": count.step}, rng=np.random.default_rng(0), clock=clock, **settings)
    assert count.by_block(3) == ()


def test_the_system_counts_memory_that_is_touched_first() -> None:
    before = page_faults()
    with mmap.mmap(-1, 1 << 24) as fresh:  # never an array: an allocator may have that much at hand
        fresh.write(bytes(1 << 24))
    after = page_faults()
    if before is not None and after is not None:
        assert after > before
