"""A network compiled by OpenVINO, ready to be stepped with or without its performance counters; see `openvino`."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import openvino as ov
import pandas as pd

from ...base.errors import MeasureError
from ...records.run import EXECUTIONS
from ..models.graph import FrozenGraph
from ..models.to_onnx import onnx_of
from ..private import simplify_openvino
from .contract import Profile, Session
from .openvino_nodes import ExecutedNode, Placed, place, restore_names
from .rows import RowFeed

_PRECISIONS = {"f32": "float32", "bf16": "bfloat16"}


class CountedStep(NamedTuple):
    """A step that was counted.

    Attributes:
        compiled: Which compilation ran it.
        number: How many steps that had run with it.
        seconds: What it took.
    """

    compiled: int
    number: int
    seconds: float


def openvino_of(frozen: FrozenGraph) -> Any:
    """A frozen graph as an ``openvino.Model``.

    Raises:
        MeasureError: tf2onnx or OpenVINO cannot convert it, in one line.
    """
    try:
        converted = onnx_of(frozen)
        restore_names(converted, frozen)
        model = ov.Core().read_model(converted.SerializeToString(), b"")
        simplify_openvino(model)
    except RuntimeError as error:
        raise _refused("convert", error) from error
    return model


def _refused(what: str, error: Exception) -> MeasureError:
    """OpenVINO's reason is its first item, or else its last line; above are the places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    reason = next((line.removeprefix("-- ") for line in lines if line.startswith("-- ")), lines[-1])
    return MeasureError(f"network: OpenVINO cannot {what} it ({reason}). Use another runtime.")


class OpenVinoSession(Session):
    """A network on one stream of OpenVINO's CPU device.

    Its counters hold, for each node, the mean of all steps of a compilation in whole microseconds. So the traced steps
    have a compilation of their own, which is made anew in the first traced step after plain ones: the counters then
    tell what the steps of a block took.

    Args:
        frozen: The network.
        model: The same as an ``openvino.Model``, quantised or not. It is not changed.
        values: Of each input, in order, (n, *shape of one image). They are fed in turn.
        precision: Of all that is not quantised: ``f32`` or ``bf16``.
        threads: Of a step; 0 leaves the choice to OpenVINO.

    Raises:
        MeasureError: OpenVINO cannot compile it, or the processor has no such precision.
    """

    can_trace = True

    def __init__(
        self,
        frozen: FrozenGraph,
        model: Any,
        values: Sequence[npt.NDArray[Any]],
        precision: str = "f32",
        threads: int = 0,
    ) -> None:
        self.frozen, self.precision = frozen, _PRECISIONS[precision]
        self._model, self._feed = model, RowFeed(values)
        self._settings: Mapping[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # The hint alone would leave the second thread of each core out, which TensorFlow uses.
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_HYPER_THREADING": True,
            # TensorFlow does not pin its threads either. A pinned one waits for whoever else has its core.
            "ENABLE_CPU_PINNING": False,
        }
        self._request = self._compiled().create_infer_request()
        self.model_bytes = _stored_bytes(model)
        self._counted: Any = None
        self._compilations = self._steps = 0
        self._is_stale = True
        self._means_us: dict[tuple[int, int], list[int]] = {}
        self.prepare()

    def _compiled(self, **more: Any) -> Any:
        core, wanted = ov.Core(), self._settings["INFERENCE_PRECISION_HINT"]
        able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if wanted == "bf16" and "BF16" not in able:
            raise MeasureError(
                "Runtime openvino-bf16: the processor must multiply bfloat16. "
                f"Received: one with {', '.join(able)}. Use another runtime."
            )
        try:
            return core.compile_model(self._model, "CPU", {**self._settings, **more})
        except RuntimeError as error:
            raise _refused("compile", error) from error

    def prepare(self) -> None:
        """Lays out the batch to feed. Reads the counters of the step before."""
        self._read()
        self._batch = _tensors(self._feed.take(self.frozen.batch_size))

    def _infer(self, request: Any, batch: Sequence[Any]) -> None:
        for feed, tensor in zip(self.frozen.feeds, batch, strict=True):
            request.set_tensor(f"{feed.node}:0", tensor)
        request.infer(share_outputs=True)

    def step(self) -> None:
        """See `Session`. Ends when the results are there."""
        self._infer(self._request, self._batch)
        self._is_stale = True

    def outputs(self, values: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See `Session`."""
        self._infer(self._request, _tensors(values))
        return self._request.get_output_tensor(0).data.copy()

    def traced_step(self) -> CountedStep:
        """Runs one prepared batch with counters on. The first after plain ones compiles and warms up, untimed."""
        if self._is_stale:
            self._renew()
        self._read()
        start = perf_counter()
        self._infer(self._counted, self._batch)
        seconds = perf_counter() - start
        self._steps += 1
        return CountedStep(self._compilations, self._steps, seconds)

    def traced_s(self, traced: CountedStep) -> float:
        """See `Session`."""
        return traced.seconds

    def _renew(self) -> None:
        self._read()
        self._counted = self._compiled(PERF_COUNT=True).create_infer_request()
        self._compilations, self._steps, self._is_stale = self._compilations + 1, 1, False
        self._infer(self._counted, self._batch)

    def _read(self) -> None:
        """Keeps the counters as they are after the last traced step."""
        key = (self._compilations, self._steps)
        if self._counted is not None and key not in self._means_us:
            self._means_us[key] = _counters_us(self._counted)

    @cached_property
    def _ran(self) -> npt.NDArray[np.bool_]:
        """Of all nodes, those that took a microsecond at any time: OpenVINO calls what took less not executed."""
        if self._counted is None:
            self._renew()
        self._read()
        return np.array(list(self._means_us.values())).max(axis=0) > 0

    @cached_property
    def _placed(self) -> Placed:
        """The nodes that run, in order, and what they run for. Their numbers differ in each compilation."""
        ran = itertools.compress(self._counted.profiling_info, self._ran)
        nodes = _executed_nodes(self._counted.get_compiled_model().get_runtime_model())
        return place(nodes, {node.node_name: node.node_type for node in ran}, self.frozen)

    def executions(self, steps: Sequence[CountedStep]) -> pd.DataFrame:
        """One row per node and step, see `Session`.

        A node's time is its mean over the steps of a compilation, in proportion to what each step took. OpenVINO cuts
        it to whole microseconds twice, so up to 2 of them for each node count as unattributed. It does not tell when a
        node started: the rows follow one another from the call on, which is the order in which they ran. Of bytes it
        tells nothing.
        """
        self._read()
        mean_us = {compiled: self._mean_us(steps, compiled) for compiled in {step.compiled for step in steps}}
        rows = []
        for number, step in enumerate(steps):
            # Never more than the step: see `executions.unattributed`.
            per_s = mean_us[step.compiled] / max(1.0, mean_us[step.compiled].sum() / 1e6)
            durations = np.floor(per_s * step.seconds * 1e3).astype(np.int64)
            starts = np.cumsum(durations) - durations
            for node, start, duration in zip(self._placed.nodes, starts, durations, strict=True):
                rows.append(
                    {
                        **{"step": number, "device": "CPU", "thread": 0, "node": node.label, "op": node.op},
                        **{"kernel": node.kernel, "layer": node.layer, "accelerator": False},
                        **{"start_ns": start, "duration_ns": duration, "self_ns": duration},
                        "profiler_us": round(duration / 1e3),
                    }
                )
        numbers = {name: kind for name, kind in EXECUTIONS.items() if kind != "str"}
        return pd.DataFrame(rows, columns=list(EXECUTIONS)).astype(numbers)

    def _mean_us(self, steps: Sequence[CountedStep], compiled: int) -> npt.NDArray[np.float64]:
        """Of each node that ran: microseconds of each second that the steps of one compilation took."""
        own = [step for step in steps if step.compiled == compiled]
        last = max(step.number for step in own)
        before = min(step.number for step in own) - 1
        total = last * np.array(self._means_us[compiled, last]) - before * np.array(self._means_us[compiled, before])
        return np.maximum(total[self._ran], 0) / sum(step.seconds for step in own)

    def profile(self, steps: Sequence[CountedStep], median: int) -> Profile:
        """See `Session`."""
        placed = self._placed
        return Profile(
            fused_into=placed.fused_into,
            fused_ops={node.label: node.fuses for node in placed.nodes if node.fuses},
            unowned=frozenset(node.label for node in placed.nodes if node.is_unowned),
            conversions=frozenset(node.label for node in placed.nodes if node.is_conversion),
            fell_back={node.label: told for node in placed.nodes if (told := node.fell_back(self.precision))},
        )

    def close(self) -> None:
        """Frees what it holds."""
        del self._request, self._counted


def _tensors(values: Sequence[npt.NDArray[Any]]) -> list[Any]:
    return [ov.Tensor(np.ascontiguousarray(array), shared_memory=True) for array in values]


def _counters_us(request: Any) -> list[int]:
    """The mean time of each node over the steps so far, in whole microseconds."""
    return [round(node.real_time.total_seconds() * 1e6) for node in request.profiling_info]


def _executed_nodes(model: Any) -> list[ExecutedNode]:
    """The nodes of OpenVINO's runtime model, constants included."""
    nodes = []
    for operation in model.get_ordered_ops():
        told = {key: str(getattr(value, "value", value)) for key, value in operation.get_rt_info().items()}
        nodes.append(
            ExecutedNode(
                name=operation.get_friendly_name(),
                type=told["layerType"],
                kernel=told["primitiveType"],
                precision=told["runtimePrecision"],
                made_of=tuple(filter(None, told["originalLayersNames"].split(","))),
                reads=tuple(read.get_source_output().get_node().get_friendly_name() for read in operation.inputs()),
            )
        )
    return nodes


def _stored_bytes(model: Any) -> int:
    """Size of the network as OpenVINO stores it, in the precision that it has."""
    with tempfile.TemporaryDirectory() as folder:
        ov.save_model(model, Path(folder) / "model.xml", compress_to_fp16=False)
        return sum(path.stat().st_size for path in Path(folder).iterdir())
