"""How much memory a step holds at once: at least, from shapes, and measured, from the allocators' records."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from ...base.errors import MeasureError
from ...base.units import counted, num_bytes
from ...params.costs import least_bytes
from ...params.network import Network


def require_memory(network: Network, batch_size: int) -> None:
    """Refuses a network that this machine cannot hold, before it is built; on a GPU its own memory decides.

    Args:
        network: The network.
        batch_size: Images per step.

    Raises:
        MeasureError: a step needs more than all memory and swap, used or not.
    """
    needed, layer = least_bytes(network, batch_size)
    there = psutil.virtual_memory().total + psutil.swap_memory().total
    if needed > there and not tf.config.list_physical_devices("GPU"):
        images = counted(batch_size, "image")
        raise MeasureError(
            f"{network.file}: needs at least {num_bytes(needed)} of memory for {images}, most of it "
            f"for `{layer}`. Received: {num_bytes(there)} in this machine. Make the layer or the batch smaller."
        )


def live_peak(metadata: config_pb2.RunMetadata, layer_of: Callable[[str], str]) -> tuple[int, str]:
    """Most bytes alive at one moment of a step, and the layer that allocated last before it.

    Counted from the allocators' records of each node; at the same microsecond allocations count before releases.
    Weights were allocated before the step and are not included.
    """
    events = []
    for device in metadata.step_stats.dev_stats:
        for node in device.node_stats:
            for memory in node.memory:
                for record in memory.allocation_records:
                    events.append((record.alloc_micros, -record.alloc_bytes, node.node_name))
    live = peak = 0
    at_peak = ""
    for _, negative_bytes, node_name in sorted(events):
        live -= negative_bytes
        if live > peak:
            peak, at_peak = live, layer_of(node_name)
    return peak, at_peak
