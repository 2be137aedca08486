"""A frozen graph as a flatbuffer of LiteRT's, whose tensors are still called after its nodes; TensorFlow converts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from ...base.errors import MeasureError
from ...base.stderr import stderr_aside
from ..runtimes.rows import RowFeed
from .graph import FrozenGraph, function_of


def litert_of(frozen: FrozenGraph, calibration: Sequence[npt.NDArray[Any]] = ()) -> bytes:
    """Converts a frozen graph, for its own batch size.

    Args:
        frozen: The network.
        calibration: Of each input, (n, *shape of one image): int8 is chosen by them wherever there are kernels for it,
            while inputs and output stay floats. Nothing is quantised without them.

    Raises:
        MeasureError: TensorFlow cannot convert it, in one line.
    """
    function = function_of(frozen)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    if calibration:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _batches(calibration, frozen.batch_size)
    try:
        with stderr_aside(), warnings.catch_warnings():  # an error raises
            warnings.simplefilter("ignore")
            return bytes(converter.convert())
    except Exception as error:  # the converter names no class of its own
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise MeasureError(
            f"network: TensorFlow cannot convert it to LiteRT ({reason[0]}). Use another runtime."
        ) from error


def _batches(values: Sequence[npt.NDArray[Any]], batch_size: int) -> Iterator[list[npt.NDArray[Any]]]:
    """All values in whole batches; the last is filled up from the first."""
    feed = RowFeed(values)
    for _ in range(0, len(values[0]), batch_size):
        yield feed.take(batch_size)
