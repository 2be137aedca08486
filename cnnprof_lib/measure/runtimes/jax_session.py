"""A network compiled by JAX; see `jax`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.export
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from jax.experimental.jax2tf import call_tf

from ...base.errors import MeasureError
from ..models.graph import FrozenGraph, function_of
from .contract import Session
from .rows import RowFeed

_UNKNOWN_OP = re.compile(r"No registered '(\w+)' OpKernel")


class JaxSession(Session):
    """A network as one function that JAX compiles for its default device.

    A step begins with the batch on the device and ends when the results are there; nothing is copied to or from it.

    Args:
        frozen: The network.
        values: Of each input, in order, (n, *shape of one image). They are fed in turn.

    Raises:
        MeasureError: XLA has no such op, in one line.
    """

    def __init__(self, frozen: FrozenGraph, values: Sequence[npt.NDArray[Any]]) -> None:
        self._feed, self._batch_size = RowFeed(values), frozen.batch_size
        self.prepare()
        network = exported(frozen)
        self.model_bytes = len(network.serialize())
        self._run = jax.jit(network.call).lower(*self._batch).compile()

    def prepare(self) -> None:
        """Lays out the batch on the device."""
        self._batch = jax.block_until_ready(jax.device_put(self._feed.take(self._batch_size)))

    def step(self) -> None:
        """See `Session`."""
        self._run(*self._batch).block_until_ready()

    def outputs(self, values: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See `Session`."""
        return np.asarray(self._run(*values))

    def close(self) -> None:
        """Frees what it holds."""
        del self._run, self._batch


def exported(frozen: FrozenGraph, platforms: Sequence[str] = ()) -> Any:
    """A frozen graph as XLA's ops, still to be compiled: a ``jax.export.Exported``, which JAX alone can run anywhere.

    Args:
        frozen: The network.
        platforms: For which kinds of devices, such as ``cpu`` and ``cuda``, none of which need be there; empty for the
            default device's.

    Raises:
        MeasureError: XLA has no such op, in one line.
    """
    function = call_tf(tf.function(function_of(frozen), autograph=False), has_side_effects=False)
    inputs = [jax.ShapeDtypeStruct(feed.shape, feed.dtype.as_numpy_dtype) for feed in frozen.feeds]
    try:
        with _float32():
            return jax.export.export(jax.jit(function), platforms=platforms or None)(*inputs)
    except ValueError as error:
        unknown = sorted(set(_UNKNOWN_OP.findall(str(error))))
        reason = f"XLA has no {' and no '.join(unknown)}" if unknown else str(error).strip().splitlines()[-1]
        raise MeasureError(f"network: JAX cannot run it ({reason}). Use another runtime.") from error


@contextmanager
def _float32() -> Iterator[None]:
    """Lowers multiplications of floats as such: a GPU would multiply in TensorFloat-32."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
