"""Counts the page faults of timed steps. Knows no TensorFlow; the counter is injected.

An allocator that gives memory back to the system after a step gets it page by page in the next one, zeroed: that
lengthens the step by what no kernel and no profiler accounts for, and differs from one process to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .clock import TimedStep

Counter = Callable[[], int | None]


def page_faults() -> int | None:
    """Page faults of this process so far that needed no input or output; None where the system does not count them."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


class FaultCount:
    """The page faults of one kind of step.

    Args:
        step: The step to watch.
        counter: Page faults so far.
    """

    def __init__(self, step: TimedStep, counter: Counter = page_faults) -> None:
        self._step, self._counter, self._before = step, counter, counter()
        self._by_step: list[int] = []

    @property
    def step(self) -> TimedStep:
        """The same step with its page faults counted, outside its time."""
        return replace(self._step, prepare=self._prepare, keep=self._keep)

    def _prepare(self) -> None:
        self._step.prepare()
        self._before = self._counter()

    def _keep(self, result: Any) -> None:
        after = self._counter()
        if after is not None and self._before is not None:
            self._by_step.append(after - self._before)
        self._step.keep(result)

    def by_block(self, steps_per_block: int) -> tuple[tuple[int, ...], ...]:
        """Page faults of each timed step, by block; empty where the system does not count them."""
        steps, steps_per_block = self._by_step, self._step.per_block or steps_per_block
        return tuple(tuple(steps[i : i + steps_per_block]) for i in range(0, len(steps), steps_per_block))
