"""A frozen graph in a TensorFlow session, ready to be stepped with or without tracing; see `tensorflow`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from time import time_ns
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from ..models.executed import ExecutedGraph, trace_layers
from ..models.graph import FrozenGraph, as_thesis_graph
from ..prepare import queue_capacity
from ..private import prepared_step
from . import ops
from .contract import Profile, Session
from .memory import live_peak
from .rows import RowFeed

tf1 = tf.compat.v1


class TracedStep(NamedTuple):
    """What a traced step left behind.

    Attributes:
        serialized: Its RunMetadata.
        called_ns: When it was called, on the clock of the step statistics (nanoseconds since 1970).
    """

    serialized: bytes
    called_ns: int


class _RawMetadata:
    """Stands in for RunMetadata and keeps its bytes, so that nothing is parsed while time is taken."""

    serialized = b""

    def ParseFromString(self, serialized: bytes) -> None:
        self.serialized = serialized


def trace_level() -> int:
    """How much a traced step records.

    ``SOFTWARE_TRACE`` collects the executor's step statistics. ``FULL_TRACE`` collects the same and opens a session of
    the device tracer beside it (``DirectSession::RunInternal``), which tells of GPU kernels alone and costs each step
    a fixed time.
    """
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return config_pb2.RunOptions.FULL_TRACE if on_gpu else config_pb2.RunOptions.SOFTWARE_TRACE  # type: ignore[no-any-return]


class TensorFlowSession(Session):
    """A network in a session of its own.

    Args:
        frozen: The network.
        values: Of each input, in order, (n, *shape of one image); n at least a batch. They are fed in turn.
        labels: (n,).
    """

    can_trace = True

    def __init__(self, frozen: FrozenGraph, values: Sequence[npt.NDArray[Any]], labels: npt.NDArray[np.int32]) -> None:
        self.frozen = frozen
        self._images = RowFeed([*values, labels])
        self._feed: Sequence[npt.NDArray[Any]] = ()
        self.graph = tf.Graph()
        config = tf1.ConfigProto()
        config.gpu_options.allow_growth = True
        self._configure(config)
        with self.graph.as_default():
            self._feeds, self._fetch = self._build()
        self.session = tf1.Session(graph=self.graph, config=config)
        self._fill()
        self._plain = self._callable(self._feeds, self._fetch, trace=False)
        self._profiled = self._callable(self._feeds, self._fetch, trace=True)

    def _configure(self, config: Any) -> None:
        """Changes the session's configuration."""

    @abstractmethod
    def _build(self) -> tuple[list[str], str]:
        """Puts the network into the graph; returns the names of what is fed and of what is fetched."""

    def _fill(self) -> None:
        """Gets the new session ready."""

    @property
    def batch_size(self) -> int:
        """Images per step."""
        return self.frozen.batch_size

    def _callable(self, feeds: list[str], fetch: str, trace: bool) -> Callable[..., Any]:
        """A prepared step, built once with its trace options."""
        options = config_pb2.CallableOptions(feed=feeds, fetch=[fetch])
        if trace:
            options.run_options.trace_level = trace_level()
        return prepared_step(self.session, options)

    def step(self) -> None:
        """Runs one prepared batch without tracing."""
        self._plain(*self._feed)

    def traced_step(self) -> TracedStep:
        """Runs one prepared batch with tracing."""
        metadata = _RawMetadata()
        called_ns = time_ns()
        self._profiled(*self._feed, run_metadata=metadata)
        return TracedStep(metadata.serialized, called_ns)

    def run_with(self, options: Any, metadata: Any) -> None:
        """Runs one prepared batch by ``Session.run``, as a user of TensorFlow's own profiler does."""
        self.session.run(self._fetch, dict(zip(self._feeds, self._feed, strict=True)), options, metadata)

    @cached_property
    def executed(self) -> ExecutedGraph:
        """What TensorFlow executes of the graph, and for which layer: prepares and runs a batch to see."""
        self.prepare()
        metadata = config_pb2.RunMetadata()
        self.run_with(config_pb2.RunOptions(output_partition_graphs=True), metadata)
        executed = [node for graph in metadata.partition_graphs for node in graph.node]
        return trace_layers(self.graph.as_graph_def().node, executed, self.frozen.owners)

    def executions(self, steps: Sequence[TracedStep]) -> pd.DataFrame:
        """See `Session`."""
        rows = ops.node_rows(_parsed(steps), [step.called_ns for step in steps], self.executed.layer_of)
        return rows.assign(
            op=[self.frozen.calls.get(node, op) for node, op in zip(rows["node"], rows["op"], strict=True)]
        )

    def profile(self, steps: Sequence[TracedStep], median: int) -> Profile:
        """See `Session`."""
        metadata = _parsed(steps)
        report = ops.profiler_report(self.graph, metadata)
        nodes = {node.node_name for step in metadata for dev in step.step_stats.dev_stats for node in dev.node_stats}
        return Profile(
            fused_into=self.executed.fused_into,
            fused_ops=self.executed.fused_ops,
            unowned=frozenset(node for node in nodes if not self.executed.knows(node)),
            live_peak=live_peak(metadata[median], self.executed.layer_of),
            add_step_s=report.add_step_s,
            text=report.text,
        )

    @property
    def _inputs(self) -> list[str]:
        """The tensors that hold a batch of each input, wherever a step has them from."""
        return self._feeds

    def outputs(self, values: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See `Session`."""
        fed = dict(zip(self._inputs, values, strict=True))
        return self.session.run(f"{self.frozen.logits_name}:0", fed)  # type: ignore[no-any-return]

    def results(self) -> npt.NDArray[Any]:
        """Runs one prepared batch and returns what it fetches: logits, or right and wrong in ``unfused``."""
        return self._plain(*self._feed)[0]  # type: ignore[no-any-return]

    def close(self) -> None:
        """Frees the session."""
        self.session.close()


class ArrayFedSession(TensorFlowSession):
    """The frozen graph as it is, fed by an array."""

    def _build(self) -> tuple[list[str], str]:
        tf.import_graph_def(self.frozen.graph_def, name="")
        return [f"{feed.node}:0" for feed in self.frozen.feeds], self.frozen.outputs[0]

    def prepare(self) -> None:
        """Lays out the array to feed."""
        *self._feed, _ = self._images.take(self.batch_size)


class QueueFedSession(TensorFlowSession):
    """The network in the ops of the thesis, without Grappler, fed by a queue."""

    def _configure(self, config: Any) -> None:
        # Off as a whole: remapping alone would leave the removal of the Identity and Reshape rows.
        config.graph_options.rewrite_options.disable_meta_optimizer = True

    def _build(self) -> tuple[list[str], str]:
        feeds = self.frozen.feeds
        shapes = [*(feed.shape[1:] for feed in feeds), ()]
        dtypes = [*(feed.dtype for feed in feeds), tf.int32]
        queue = tf1.FIFOQueue(self._capacity, dtypes, shapes, name="input_queue")
        self._placeholders = [
            tf1.placeholder(dtype, (None, *shape)) for dtype, shape in zip(dtypes, shapes, strict=True)
        ]
        self._enqueue = queue.enqueue_many(self._placeholders)
        *values, labels = queue.dequeue_many(self.batch_size)
        self._dequeued = [value.name for value in values]
        labels = tf.reshape(labels, [self.batch_size])
        (logits,) = tf.import_graph_def(
            as_thesis_graph(self.frozen),
            input_map={f"{feed.node}:0": value for feed, value in zip(feeds, values, strict=True)},
            return_elements=[f"{self.frozen.logits_name}:0"],
            name="",
        )
        right = tf1.nn.in_top_k(predictions=logits, targets=labels, k=1) if self.frozen.gives_classes else logits
        self._assigned = []
        for name, value in self.frozen.weights.items():
            placeholder = tf1.placeholder(value.dtype, value.shape)
            assign = tf1.raw_ops.Assign(ref=self.graph.get_tensor_by_name(f"{name}:0"), value=placeholder)
            self._assigned.append((assign.op, {placeholder: value}))
        return [], right.name

    @property
    def _inputs(self) -> list[str]:
        return self._dequeued

    def _fill(self) -> None:
        for operation, feed in self._assigned:
            self.session.run(operation, feed)
        self._top_up = self.session.make_callable(self._enqueue, self._placeholders)
        self._top_up(*self._images.take(self._capacity - self.batch_size))

    @property
    def _capacity(self) -> int:
        return queue_capacity([feed.shape for feed in self.frozen.feeds])

    def prepare(self) -> None:
        """Tops the queue up by a batch."""
        self._top_up(*self._images.take(self.batch_size))


def _parsed(steps: Sequence[TracedStep]) -> list[config_pb2.RunMetadata]:
    return [ops.parse(step.serialized) for step in steps]
