"""The ways to run a network in TensorFlow.

- ``stock``: the frozen graph as TensorFlow runs it, fused and folded by Grappler, fed by an array.
- ``unfused``: the same network with the ops of the thesis's TensorFlow 1 graph. Grappler and oneDNN are off, weights
  are variables, a FIFO queue feeds the step, a dense layer's bias is an Add, and InTopKV2 compares with the labels.
- ``xla``: the frozen graph, compiled as a whole.

oneDNN is switched by an environment variable that TensorFlow reads once, so a process serves one runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .contract import Runtime
from .environment import ONEDNN

if TYPE_CHECKING:
    from ..models.load import LoadedNetwork
    from ..prepare import Images
    from .compiled import CompiledSession
    from .session import TensorFlowSession


class _TensorFlow(Runtime):
    loads = "tensorflow"

    def limit_threads(self, threads: int) -> None:
        """Holds TensorFlow to ``threads`` threads within an op, and as many ops at a time.

        The first op makes the process's thread pool, and a session's own setting is ignored from then on.
        """
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


class Stock(_TensorFlow):
    """TensorFlow as shipped, which uses oneDNN's kernels on processors with AVX-512 VNNI."""

    name = "stock"
    environment = {ONEDNN: None}  # noqa: RUF012

    def open(self, network: LoadedNetwork, images: Images) -> TensorFlowSession:  # noqa: D102
        from .session import ArrayFedSession

        return ArrayFedSession(network.frozen, images.values, images.labels)


class Xla(_TensorFlow):
    """The frozen graph compiled by XLA, which fuses across layers and so tells nothing of them."""

    name = "xla"
    environment = {ONEDNN: None}  # noqa: RUF012

    def open(self, network: LoadedNetwork, images: Images) -> CompiledSession:  # noqa: D102
        from .compiled import CompiledSession

        return CompiledSession(network.frozen, images.values)


class Unfused(_TensorFlow):
    """TensorFlow with the ops of the thesis."""

    name = "unfused"
    environment = {ONEDNN: "0"}  # noqa: RUF012

    def open(self, network: LoadedNetwork, images: Images) -> TensorFlowSession:  # noqa: D102
        from .session import QueueFedSession

        return QueueFedSession(network.frozen, images.values, images.labels)
