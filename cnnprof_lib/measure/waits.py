"""Which steps nothing else disturbed: those in which no thread of this process waited for a processor.

Where a runtime has more threads than there are processors, as TensorFlow does, its threads wait for each other too. So
no wait counts for more than the share of the processors that others had.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from .clock import TimedStep

_TASKS = Path("/proc/self/task")
QUIET_SHARE = 0.01
"""Of its time; a step whose threads waited no longer is undisturbed."""
_FEWEST = 5
"""Steps that are taken in any case."""


class ThreadWaits:
    """Seconds that this process's threads, as many as there are at its making, have waited in a run queue so far.

    Linux keeps them as the second number of ``/proc/<pid>/task/<tid>/schedstat``, in nanoseconds. Source:
    https://docs.kernel.org/scheduler/sched-stats.html. Elsewhere they are 0.
    """

    def __init__(self) -> None:
        self._files: list[int] = []
        with contextlib.suppress(OSError):
            for task in _TASKS.iterdir():
                self._files.append(os.open(task / "schedstat", os.O_RDONLY))

    def read_s(self) -> float:
        """The seconds; threads that have ended count no more."""
        waited_ns = 0
        for file in self._files:
            with contextlib.suppress(OSError):
                waited_ns += int(os.pread(file, 64, 0).split()[1])
        return waited_ns / 1e9

    def close(self) -> None:
        """Closes the files."""
        for file in self._files:
            os.close(file)
        self._files.clear()


class Undisturbed(NamedTuple):
    """A step as it is if nothing else runs.

    Attributes:
        time_s: The median of the steps that waited least.
        waited_share: How much of their time threads waited for others even so, the median.
        steps: Which they are.
    """

    time_s: float
    waited_share: float
    steps: tuple[int, ...]


@dataclass
class WatchedStep:
    """A step to time, beside which it is noted how long threads waited.

    Attributes:
        step: The step.
        read_s: Tells the seconds waited so far.
    """

    step: TimedStep
    read_s: Callable[[], float]
    _before_s: float = 0.0
    _waited_s: list[float] = field(default_factory=list)

    @property
    def timed(self) -> TimedStep:
        """The step for `clock.time_blocks`."""
        return replace(self.step, prepare=self._prepare, keep=self._keep)

    def _prepare(self) -> None:
        self.step.prepare()
        self._before_s = self.read_s()

    def _keep(self, result: Any) -> None:
        self._waited_s.append(self.read_s() - self._before_s)
        self.step.keep(result)

    def undisturbed(self, seconds: Sequence[float], others_share: float = 1.0) -> Undisturbed:
        """Of the steps kept those that waited for nothing, or else the few that waited least.

        Args:
            seconds: Their times, in order.
            others_share: Of the time of all processors, what went to other processes.
        """
        waits = zip(self._waited_s, seconds, strict=True)
        shares = [min(waited_s / time_s, others_share) for waited_s, time_s in waits]
        least = sorted(range(len(shares)), key=shares.__getitem__)
        quiet = sum(share <= QUIET_SHARE for share in shares)
        chosen = tuple(sorted(least[: max(quiet, _FEWEST)]))
        return Undisturbed(
            statistics.median(seconds[step] for step in chosen),
            statistics.median(shares[step] for step in chosen),
            chosen,
        )
