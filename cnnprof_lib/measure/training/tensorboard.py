"""The history of a training for TensorBoard, without a need for it."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from ...base.files import writing
from ...records.training import HistoryRow


class EventsFile:
    """A new events file, to which rows of a history are added; TensorBoard joins those of one folder.

    Args:
        folder: Where TensorBoard looks: ``tensorboard --logdir``.

    Raises:
        StoreError: its folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with tf.Graph().as_default():  # where eager code runs it refuses to; `tf.summary.scalar` needs TensorBoard
            self._writer = tf.compat.v1.summary.FileWriter(str(folder))

    def add(self, row: HistoryRow) -> None:
        """Adds a row: a curve for every number in it."""
        numbers = row.model_dump(exclude={"step"}, exclude_none=True)
        values = [tf.compat.v1.Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]
        self._writer.add_summary(tf.compat.v1.Summary(value=values), row.step)
        self._writer.flush()
