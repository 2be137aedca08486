"""What a session answers: the class of every image, and how far its outputs are from the reference runtime's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..records.run import AgreementRecord
from .prepare import Images
from .runtimes.contract import Session

MADE_UP = 512
"""Made-up images whose outputs are compared: own choice."""

Values = Sequence[npt.NDArray[Any]]


class Answers(NamedTuple):
    """What a session makes of images.

    Attributes:
        predicted: (n,), the most probable class of each test image; None where there are none, or no classes.
        agreement: With other outputs; None where there are none to compare with.
    """

    predicted: npt.NDArray[np.int32] | None
    agreement: AgreementRecord | None


def answers(session: Session, images: Images, batch_size: int, other: Callable[..., Any] | None) -> Answers:
    """Runs all test images, or some of the made-up ones.

    Args:
        session: The network.
        images: What it was fed.
        batch_size: Images per step; the last batch is filled up.
        other: The same network elsewhere, from its inputs to its first output; None for none.
    """
    predicted: list[npt.NDArray[np.int32]] = []
    max_abs, alike = 0.0, 0
    classes = len(images.dataset.classes) if images.dataset else None
    gives_classes = False
    for values, count in _batches(images, batch_size):
        outputs = session.outputs(values)[:count]
        gives_classes = outputs.ndim == 2 and classes in (None, outputs.shape[1])
        if gives_classes:
            predicted.append(np.argmax(outputs, axis=1).astype(np.int32))
        if other is not None:
            theirs = np.asarray(other(*values))[:count]
            max_abs = max(max_abs, float(np.abs(outputs - theirs).max(initial=0.0)))
            alike += int((predicted[-1] == np.argmax(theirs, axis=1)).sum()) if gives_classes else 0
    total = _count(images, batch_size)
    agreement = None
    if other is not None:
        share = alike / total if gives_classes else None
        agreement = AgreementRecord(images=total, max_abs=max_abs, argmax_share=share)
    return Answers(np.concatenate(predicted) if gives_classes and images.dataset else None, agreement)


def _count(images: Images, batch_size: int) -> int:
    """Images to run."""
    if images.dataset is not None:
        return len(images.dataset.test_labels)
    return min(max(MADE_UP, batch_size), len(images.values[0]))


def _batches(images: Images, batch_size: int) -> Iterator[tuple[Values, int]]:
    """Whole batches of each input, each with how many of its images are wanted."""
    total = _count(images, batch_size)
    for start in range(0, total, batch_size):
        part = np.arange(start, start + batch_size) % total
        if images.dataset is not None and images.prepare is not None:
            values: Values = (images.prepare(images.dataset.test_images[part]),)
        else:
            values = tuple(array[part] for array in images.values)
        yield values, min(batch_size, total - start)
