"""A frozen graph in a session, ready to be stepped with or without tracing.

Two runtimes (see `Runtime`):

- ``stock``: the frozen graph as TensorFlow runs it, fused and folded by Grappler, fed by an array.
- ``unfused``: the same network with the ops of the thesis's TensorFlow 1 graph. Grappler is off, weights are
  variables, a FIFO queue feeds the step, a dense layer's bias is an Add, and InTopKV2 compares with the labels.

oneDNN is switched by an environment variable that TensorFlow reads once, so a process serves one runtime;
`cnnprof_lib.measure.runtimes.environment` sets it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import time_ns
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from ...base.errors import MeasureError
from ...base.units import plural
from ...params.settings import Runtime
from ..models.executed import ExecutedGraph, trace_layers
from ..models.graph import FrozenGraph, as_thesis_graph

tf1 = tf.compat.v1

_MIN_QUEUE_EXAMPLES = 4000  # 0.4 x 10,000 images, as the tutorial has it
_QUEUE_BYTES = 256 << 20  # nine times the tutorial's queue of 24x24x3 images
_COUNTABLE_BYTES = 2**31  # ``TypedQueue::MemoryUsed`` (typed_queue.h) adds a queue's bytes up in 32 bits, with a sign


def queue_capacity(input_shape: tuple[int, int, int, int]) -> int:
    """Examples in the input queue, and images to lay out for a feed.

    They are as many as in the tutorial's ``_generate_image_and_label_batch`` (4,384 for batches of 128), but no more
    than 256 MiB hold, and at least a batch.

    Args:
        input_shape: (batch, height, width, channels).

    Raises:
        MeasureError: a batch has more bytes than TensorFlow counts right.
    """
    batch_size, *image_shape = input_shape
    image_bytes = 4 * math.prod(image_shape) + 4  # float32 values, and an int32 label
    if batch_size * image_bytes >= _COUNTABLE_BYTES:
        images = f"{batch_size} {plural(batch_size, 'image')} of {'x'.join(map(str, image_shape))}"
        raise MeasureError(
            f"batch size: a batch must have less than {_COUNTABLE_BYTES:,} bytes, which is as far as TensorFlow counts "
            f"those of a queue. Received: {batch_size * image_bytes:,}, {images}. "
            f"Choose at most {(_COUNTABLE_BYTES - 1) // image_bytes} with --batch-size."
        )
    return max(batch_size, min(_MIN_QUEUE_EXAMPLES + 3 * batch_size, _QUEUE_BYTES // image_bytes))


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


class NetworkSession:
    """A network in a session of its own, stepped one batch at a time.

    Args:
        frozen: The network.
        runtime: In which form to run it; the process must have been set up for it.
        images: (n, height, width, channels), standardised; n at least a batch. They are fed in turn.
        labels: (n,).
    """

    def __init__(
        self,
        frozen: FrozenGraph,
        runtime: Runtime,
        images: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int32],
    ) -> None:
        self.frozen = frozen
        self._images, self._labels = images, labels
        self._next = 0
        self.graph = tf.Graph()
        config = tf1.ConfigProto()
        config.gpu_options.allow_growth = True
        if runtime == "unfused":
            # Off as a whole: remapping alone would leave the removal of the Identity and Reshape rows.
            config.graph_options.rewrite_options.disable_meta_optimizer = True
            with self.graph.as_default():
                feeds, fetch, self._setup, self._enqueue = self._queue_fed()
        else:
            with self.graph.as_default():
                feeds, fetch = self._array_fed()
            self._setup, self._enqueue = [], None
        self.session = tf1.Session(graph=self.graph, config=config)
        for operation, feed in self._setup:
            self.session.run(operation, feed)
        self._feeds, self._fetch = feeds, fetch
        self._plain = self._callable(feeds, fetch, trace=False)
        self._profiled = self._callable(feeds, fetch, trace=True)
        self._feed: tuple[npt.NDArray[Any], ...] = ()
        self._fill: Callable[..., Any] | None = None
        if self._enqueue is not None:
            operation, placeholders = self._enqueue
            self._fill = self.session.make_callable(operation, placeholders)
            self._fill(*self._take(queue_capacity(frozen.input_shape) - self.batch_size))  # `prepare` tops it up

    @property
    def batch_size(self) -> int:
        """Images per step."""
        return self.frozen.input_shape[0]

    def _array_fed(self) -> tuple[list[str], str]:
        tf.import_graph_def(self.frozen.graph_def, name="")
        return [f"{self.frozen.input_name}:0"], f"{self.frozen.output_name}:0"

    def _queue_fed(self) -> tuple[list[str], str, list[Any], Any]:
        shape = self.frozen.input_shape[1:]
        capacity = queue_capacity(self.frozen.input_shape)
        queue = tf1.FIFOQueue(capacity, [tf.float32, tf.int32], [shape, ()], name="input_queue")
        placeholders = [tf1.placeholder(tf.float32, (None, *shape)), tf1.placeholder(tf.int32, (None,))]
        enqueue = queue.enqueue_many(placeholders)
        images, labels = queue.dequeue_many(self.batch_size)
        labels = tf.reshape(labels, [self.batch_size])
        (logits,) = tf.import_graph_def(
            as_thesis_graph(self.frozen),
            input_map={f"{self.frozen.input_name}:0": images},
            return_elements=[f"{self.frozen.logits_name}:0"],
            name="",
        )
        right = tf1.nn.in_top_k(predictions=logits, targets=labels, k=1)
        setup = []
        for name, value in self.frozen.weights.items():
            placeholder = tf1.placeholder(value.dtype, value.shape)
            assign = tf1.raw_ops.Assign(ref=self.graph.get_tensor_by_name(f"{name}:0"), value=placeholder)
            setup.append((assign.op, {placeholder: value}))
        return [], right.name, setup, (enqueue, placeholders)

    def _callable(self, feeds: list[str], fetch: str, trace: bool) -> Callable[..., Any]:
        """A prepared step. Built once with its trace options, it costs less per call than ``Session.run``."""
        options = config_pb2.CallableOptions(feed=feeds, fetch=[fetch])
        if trace:
            options.run_options.trace_level = trace_level()
        return self.session._make_callable_from_options(options)  # type: ignore[no-any-return]

    def _take(self, count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """The next ``count`` images and labels, starting over at the end."""
        indices = np.arange(self._next, self._next + count) % len(self._images)
        self._next = (self._next + count) % len(self._images)
        return self._images[indices], self._labels[indices]

    def prepare(self) -> None:
        """Gets the next batch ready: tops the queue up, or lays out the array to feed. Not part of a step's time."""
        batch = self._take(self.batch_size)
        if self._fill is not None:
            self._fill(*batch)
        else:
            self._feed = (batch[0],)

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

    def executed_graph(self) -> ExecutedGraph:
        """Prepares and runs a batch to see what TensorFlow executes of the graph, and for which layer."""
        self.prepare()
        metadata = config_pb2.RunMetadata()
        self.run_with(config_pb2.RunOptions(output_partition_graphs=True), metadata)
        executed = [node for graph in metadata.partition_graphs for node in graph.node]
        return trace_layers(self.graph.as_graph_def().node, executed, self.frozen.owners)

    def results(self) -> npt.NDArray[Any]:
        """Runs one prepared batch and returns what it fetches: logits, or right and wrong in ``unfused``."""
        return self._plain(*self._feed)[0]  # type: ignore[no-any-return]

    def close(self) -> None:
        """Frees the session."""
        self.session.close()
