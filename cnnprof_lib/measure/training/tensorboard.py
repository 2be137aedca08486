"""The history of a training for TensorBoard, without a need for it: an events file is TFRecords of one message."""

from __future__ import annotations

import os
import time
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.summary_pb2 import Summary
from tensorflow.core.util.event_pb2 import Event

from ...base.files import writing
from ...records.training import HistoryRow


class EventsFile:
    """A new events file, to which rows of a history are added; TensorBoard joins those of one folder.

    Format: tensorflow/core/util/event.proto.

    Args:
        folder: Where TensorBoard looks: ``tensorboard --logdir``.

    Raises:
        StoreError: its folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._writer = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{time.time():.0f}.{os.getpid()}"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, row: HistoryRow) -> None:
        """Adds a row: a curve for every number in it."""
        numbers = row.model_dump(exclude={"step"}, exclude_none=True)
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()])
        self._write(Event(wall_time=time.time(), step=row.step, summary=summary))

    def _write(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
