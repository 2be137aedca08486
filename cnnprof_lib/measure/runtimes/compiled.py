"""A frozen graph compiled by XLA; see `tensorflow`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from ..models.graph import FrozenGraph, function_of
from .contract import Session
from .rows import RowFeed


class CompiledSession(Session):
    """A network as one compiled function.

    Args:
        frozen: The network.
        values: Of each input, in order, (n, *shape of one image). They are fed in turn.
    """

    def __init__(self, frozen: FrozenGraph, values: Sequence[npt.NDArray[Any]]) -> None:
        self._feed, self._batch_size = RowFeed(values), frozen.batch_size
        self._run = tf.function(function_of(frozen), jit_compile=True, autograph=False)
        self.prepare()

    def prepare(self) -> None:
        """Lays out the array to feed."""
        self._batch = [tf.constant(values) for values in self._feed.take(self._batch_size)]

    def step(self) -> None:
        """See `Session`. Ends when the results are there."""
        self._run(*self._batch).numpy()

    def outputs(self, values: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See `Session`."""
        return self._run(*map(tf.constant, values)).numpy()
