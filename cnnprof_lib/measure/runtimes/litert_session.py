"""A network in LiteRT, ready to be stepped with or without tracing; see `litert`.

A traced step is of the same flatbuffer, compiled once more with a profiler. At the beginning and the end of a step that
profiler asks the system how much memory is in use: a fixed time outside the operators.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy.typing as npt
import pandas as pd

from ...records.conditions import CalibrationRecord
from ...records.run import EXECUTIONS
from ..models.graph import FrozenGraph
from ..models.to_litert import litert_of
from .contract import Profile, Session
from .litert_api import BUILTIN, DELEGATED, Event, Model
from .litert_flatbuffer import read_flatbuffer
from .litert_ops import Executed, executed
from .rows import RowFeed

_INVOKE = "Invoke"
"""What LiteRT calls the whole of a step's operators."""


Calibration = tuple[Sequence[npt.NDArray[Any]], CalibrationRecord]
"""What int8 is chosen by: of each input, (n, *shape of one image), and what is to be told of it."""


class TimedStepEvents(NamedTuple):
    """What a traced step left behind.

    Attributes:
        seconds: From the call to the return.
        called_us: When it was called, on the clock of the events.
        events: What LiteRT timed.
    """

    seconds: float
    called_us: int
    events: list[Event]

    @property
    def operators(self) -> list[Event]:
        """The events that are operators."""
        return [event for event in self.events if event.kind in (BUILTIN, DELEGATED)]


class LiteRtSession(Session):
    """A network in LiteRT.

    Args:
        frozen: The network.
        values: Of each input, in order, (n, *shape of one image). They are fed in turn.
        threads: Threads that it uses.
        calibration: What int8 is chosen by; None for float32.
        clock: Seconds, monotonic.
    """

    can_trace = True

    def __init__(
        self,
        frozen: FrozenGraph,
        values: Sequence[npt.NDArray[Any]],
        threads: int,
        calibration: Calibration | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._frozen, self._threads, self._clock = frozen, threads, clock
        self._feed = RowFeed(values)
        self._found: dict[Any, Executed] = {}
        self._flatbuffer = litert_of(frozen, calibration[0] if calibration else ())
        self.model_bytes = len(self._flatbuffer)
        if calibration:
            self.precision, self.calibration = "int8", calibration[1]
        self._contents = read_flatbuffer(self._flatbuffer, frozen)
        self._model = Model(self._flatbuffer, threads)
        described, output = enumerate(self._contents.inputs), self._contents.output
        self._inputs = [self._model.values(i, tensor.shape, tensor.dtype) for i, tensor in described]
        self._output = self._model.values(0, output.shape, output.dtype, of_output=True)
        self._run = self._model.on(self._inputs, self._output)

    def prepare(self) -> None:
        """Lays out the batch where LiteRT reads it."""
        self._lay_out(self._feed.take(self._frozen.batch_size))

    def _lay_out(self, batch: Sequence[npt.NDArray[Any]]) -> None:
        for place, values in zip(self._inputs, batch, strict=True):
            place.array[...] = values

    def step(self) -> None:
        """See `Session`."""
        self._run()

    def outputs(self, values: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See `Session`."""
        self._lay_out(values)
        self._run()
        return self._output.array.copy()

    @cached_property
    def _profiled(self) -> tuple[Model, Callable[[], None]]:
        """The network once more with a profiler, made when it is first asked for."""
        model = Model(self._flatbuffer, self._threads, profiled=True)
        return model, model.on(self._inputs, self._output)

    def traced_step(self) -> TimedStepEvents:
        """See `Session`."""
        model, run = self._profiled
        called_us, start = time.monotonic_ns() // 1000, self._clock()
        model.start_profiler()
        run()
        return TimedStepEvents(self._clock() - start, called_us, model.events())

    def traced_s(self, traced: TimedStepEvents) -> float:
        """See `Session`: without the reading of what was timed."""
        return traced.seconds

    def executions(self, steps: Sequence[TimedStepEvents]) -> pd.DataFrame:
        """See `Session`. XNNPACK tells how long an operator took and not when it began: right after the one before."""
        rows = []
        for number, step in enumerate(steps):
            end_us = next((event.start_us for event in step.events if event.tag == _INVOKE), step.called_us)
            for event, named in zip(step.operators, self._executed(step).rows, strict=True):
                start_us = event.start_us if event.kind == BUILTIN else end_us
                end_us = start_us + event.duration_us
                duration_ns = event.duration_us * 1000
                rows.append(
                    {
                        **{"step": number, "device": "CPU:0", "thread": 0, **named._asdict(), "accelerator": False},
                        **{"start_ns": max(start_us - step.called_us, 0) * 1000, "duration_ns": duration_ns},
                        **{"self_ns": float(duration_ns), "profiler_us": event.duration_us},
                        **dict.fromkeys(("requested_bytes", "persistent_bytes"), math.nan),
                    }
                )
        return pd.DataFrame(rows, columns=list(EXECUTIONS)).astype(EXECUTIONS)

    def profile(self, steps: Sequence[TimedStepEvents], median: int) -> Profile:
        """See `Session`."""
        return self._executed(steps[median]).profile

    def _executed(self, step: TimedStepEvents) -> Executed:
        """What ran in a step, which is the same in all of them."""
        ran = tuple((event.tag, event.kind, event.number) for event in step.operators)
        if ran not in self._found:
            self._found[ran] = executed(step.operators, self._contents.operators, self._frozen, self.precision)
        return self._found[ran]

    def close(self) -> None:
        """Frees it."""
        for model in [self._model, *([self._profiled[0]] if "_profiled" in self.__dict__ else [])]:
            model.close()
        for values in (*self._inputs, self._output):
            values.close()
