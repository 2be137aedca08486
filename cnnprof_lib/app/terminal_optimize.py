"""What `cnnprof optimize` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..base import units
from ..records.optimized import OptimizedRecord, PairedRecord, TriedRecord
from .terminal import LiveBar

if TYPE_CHECKING:
    from ..measure.optimizing.tune import Tuner


def images_text(tuner: Tuner, *, is_model: bool) -> str:
    """Which images are used for what, and what losses so many of them can tell."""
    from ..analysis.accuracy.numbers import paired_loss

    held_out, test = (
        units.counted(len(images), kind)
        for images, kind in ((tuner.held_out, "training image"), (tuner.data.test_labels, "test image"))
    )
    alike = np.ones(len(tuner.held_out), bool)
    least = 100 * paired_loss(alike, alike).high
    may_know = " If the model learnt from those held out, losses come out too large." if is_model else ""
    return (
        f"{tuner.data.name}: {held_out} held out to choose by, {len(tuner.train):,} to train on; the {test} are read "
        f"once, at the end.{may_know} So many held out tell no loss of less than {least:.2f} points."
    )


def gains_text(runtime: str, batch_size: int, *, is_predicted: bool) -> str:
    """What is called a gain."""
    if is_predicted:
        return f"Gains are of the latency predicted in {runtime} for {units.counted(batch_size, 'image')}."
    return (
        f"Runtime {runtime} is not calibrated, so gains are of multiply-adds and values written. "
        f"For latency: cnnprof calibrate --runtime {runtime}"
    )


def show_step(bar: LiveBar, name: str, steps: int, step: int, loss: float) -> None:
    """A step of training on."""
    bar.show(step, f"{name}: step {step} of {steps}, loss {loss:.3f}")


def tried_text(tried: TriedRecord) -> str:
    """What became of one method, in a line."""
    gain = f", {units.ratio(tried.gain)} of the cost before" if tried.gain is not None else ""
    lost = f", loses {lost_text(tried.lost)}" if tried.lost else ""
    changed = f"; {tried.changed}" if tried.changed else ""
    tuned = " after training on" if tried.tuned else ""
    return f"{tried.method}: {tried.outcome}{tuned}{gain}{lost}{changed}"


def lost_text(lost: PairedRecord) -> str:
    """A loss with its interval, in percentage points."""
    loss, low, high = (f"{100 * share:.2f}" for share in (lost.loss, lost.low, lost.high))
    return f"{loss} points (95%: {low} to {high}, {units.counted(lost.images, 'image')})"


def written_text(record: OptimizedRecord, path: object) -> str:
    """What was written, and what it is expected to cost and lose."""
    of = f"predicted latency in {record.runtime}" if record.is_predicted else "multiply-adds and values written"
    return (
        f"{path}: {units.ratio(record.gain)} of the {of} of {record.source}; "
        f"on the test images of {record.dataset} it loses {lost_text(record.lost)}."
    )


def measure_text(record: OptimizedRecord, path: object, images: object) -> str:
    """The commands that measure it, accuracy included."""
    how = "" if record.preprocessing == "none" else f" --preprocessing {record.preprocessing}"
    run = f"cnnprof run {path}{how} --baseline {record.source} --data {images}"
    return f"Measure it: {run} --runtime {record.runtime}\nIn int8: {run} --runtime openvino-int8"


NOTHING_KEPT = "Nothing was kept, so no network is written."
