"""A network in sessions of ONNX Runtime, one to be timed and one to be traced; see `onnxruntime`."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pandas as pd

from ...base.errors import MeasureError
from ...base.units import counted
from ...records.run import EXECUTIONS
from ..models.graph import FrozenGraph
from ..models.to_onnx import onnx_of
from .contract import Profile, Session
from .executions import self_times_ns
from .onnxruntime_graph import ExecutedOnnx, trace_onnx
from .rows import RowFeed

_PROVIDERS = ["CPUExecutionProvider"]
_ERRORS_ONLY = 3
_KERNEL = "_kernel_time"
_STEP = "model_run"


class ProfiledStep(NamedTuple):
    """Which step of the traced session it was, and when it was called, in nanoseconds of the profiler's clock."""

    number: int
    called_ns: int


class OnnxSession(Session):
    """A network in ONNX Runtime.

    Args:
        frozen: The network.
        values: Of each input, in order, (n, *shape of one image). They are fed in turn.
        threads: Threads within a kernel; kernels run one at a time.
    """

    can_trace = True

    def __init__(self, frozen: FrozenGraph, values: Sequence[npt.NDArray[Any]], threads: int) -> None:
        self._frozen, self._feed, self._threads = frozen, RowFeed(values), threads
        self._names = [f"{feed.node}:0" for feed in frozen.feeds]
        self._model = onnx_of(frozen)
        self._serialized = self._model.SerializeToString()
        self.model_bytes = len(self._serialized)
        self._session = _open(self._serialized, _options(self._threads))
        self._traced = _Traced(self._serialized, _options(self._threads))
        self.prepare()

    def prepare(self) -> None:
        """Lays out the arrays to feed."""
        self._batch = dict(zip(self._names, self._feed.take(self._frozen.batch_size), strict=True))

    def step(self) -> None:
        """See `Session`."""
        self._session.run(None, self._batch)

    def outputs(self, values: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See `Session`."""
        return self._session.run(None, dict(zip(self._names, values, strict=True)))[0]

    def traced_step(self) -> ProfiledStep:
        """See `Session`."""
        return self._traced.step(self._batch)

    def executions(self, steps: Sequence[ProfiledStep]) -> pd.DataFrame:
        """See `Session`. Times are whole microseconds, rounded down, as ONNX Runtime writes them."""
        executed = self._executed
        return pd.DataFrame(
            [row for step, traced in enumerate(steps) for row in self._rows(step, traced, executed)],
            columns=list(EXECUTIONS),
        ).astype({name: kind for name, kind in EXECUTIONS.items() if kind != "str"})

    def profile(self, steps: Sequence[ProfiledStep], median: int) -> Profile:
        """See `Session`."""
        executed = self._executed
        nodes = {_node(event) for step in steps for event in self._traced.kernels(step)}
        return Profile(
            fused_into=executed.fused_into,
            fused_ops=executed.fused_ops,
            unowned=frozenset(node for node in nodes if node not in executed.layers),
            conversions=executed.conversions & nodes,
            fell_back=executed.fell_back,
        )

    def close(self) -> None:
        """See `Session`."""
        self._traced.close()
        del self._session, self._traced

    @cached_property
    def _executed(self) -> ExecutedOnnx:
        return trace_onnx(self._frozen, self._model.graph, self._traced.graph)

    def _rows(self, step: int, traced: ProfiledStep, executed: ExecutedOnnx) -> list[dict[str, Any]]:
        events = self._traced.kernels(traced)
        starts = np.array([self._traced.started_ns + event["ts"] * 1000 for event in events], np.int64)
        durations = np.array([event["dur"] * 1000 for event in events], np.int64)
        shares = self_times_ns(starts, starts + durations)
        return [
            {
                "step": step,
                "device": event["args"]["provider"],
                "thread": event["tid"],
                "node": _node(event),
                "op": executed.ops.get(_node(event), event["args"]["op_name"]),
                "kernel": executed.kernels.get(_node(event), event["args"]["op_name"]),
                "layer": executed.layers.get(_node(event), ""),
                "accelerator": False,
                "start_ns": start - traced.called_ns,
                "duration_ns": duration,
                "self_ns": share,
                "profiler_us": event["dur"],
                # `output_size` leaves out what a kernel needs for itself, and `mem_...` what the arena holds already.
                "requested_bytes": math.nan,
                "persistent_bytes": math.nan,
            }
            for event, start, duration, share in zip(events, starts, durations, shares, strict=True)
        ]


class _Traced:
    """A session whose steps ONNX Runtime's profiler records, in a file that it writes at the end alone.

    Args:
        serialized: The model.
        options: As the session's that is timed.
    """

    def __init__(self, serialized: bytes, options: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cnnprof-")
        optimized = Path(self._folder.name) / "optimized.onnx"
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(self._folder.name) / "profile")
        options.optimized_model_filepath = str(optimized)
        self._session = _open(serialized, options)
        self.graph = onnx.load(optimized).graph
        """What is executed."""
        self.started_ns = self._session.get_profiling_start_time_ns()
        # C++ does not say which clock its finest one is: the system's on Linux, the monotonic one elsewhere.
        clocks = (time.time_ns, time.monotonic_ns)
        self._now_ns = min(clocks, key=lambda clock: abs(clock() - self.started_ns))
        self._count = 0
        self._events: list[list[dict[str, Any]]] | None = None

    def step(self, batch: Mapping[str, npt.NDArray[Any]]) -> ProfiledStep:
        """Runs a batch."""
        self._count += 1
        called_ns = self._now_ns()
        self._session.run(None, batch)
        return ProfiledStep(self._count - 1, called_ns)

    def kernels(self, step: ProfiledStep) -> list[dict[str, Any]]:
        """The events of a step's kernels, in order. No step can be traced from then on.

        Raises:
            MeasureError: the profiler did not record all steps.
        """
        if self._events is None:
            self._events = _kernels_by_step(json.loads(Path(self._session.end_profiling()).read_bytes()))
        if len(self._events) != self._count:
            raise MeasureError(
                f"onnxruntime: its profiler recorded {counted(len(self._events), 'step')}, not {self._count}; "
                "it keeps a million events. Choose a preset of fewer steps."
            )
        return self._events[step.number]

    def close(self) -> None:
        """Frees the session and removes its file."""
        if self._events is None:
            self._session.end_profiling()
        del self._session
        self._folder.cleanup()


def _options(threads: int) -> Any:
    """Options of a session whose kernels run one after the other.

    Args:
        threads: Within a kernel.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    # Threads that spin while they wait take the cores from TensorFlow in the same process. Seen on a busy machine of 2
    # cores: a step of ``stock`` in turn with ONNX Runtime's took 3.0 times what it took alone, and 1.1 times without
    # (resnet8, batch 128, best blocks). Sleeping costs the time to wake: at batch 1 (stride5) none at best, 50us in the
    # median. Source: https://github.com/microsoft/onnxruntime/issues/13808
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _open(serialized: bytes, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(serialized, options, providers=_PROVIDERS)
    except Exception as error:  # its classes share no base
        reason = str(error).strip().splitlines()[0]
        raise MeasureError(f"network: ONNX Runtime cannot open it ({reason}). Use another runtime.") from error


def _kernels_by_step(events: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The kernels' events of each step: those that start in it. Their order in the file differs by version."""
    ordered = sorted(events, key=lambda event: event["ts"])
    starts = [event["ts"] for event in ordered if event["name"] == _STEP]
    steps: list[list[Any]] = [[] for _ in starts]
    for event in ordered:
        if event["name"].endswith(_KERNEL):
            steps[int(np.searchsorted(starts, event["ts"], side="right")) - 1].append(event)
    return steps


def _node(event: Mapping[str, Any]) -> str:
    return str(event["name"]).removesuffix(_KERNEL)
