"""The batches that a session is stepped with: images in turn, from the first again after the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class RowFeed:
    """Arrays to be taken some rows at a time.

    Args:
        arrays: Each (n, ...): of each input in order, mostly, with a row per image.
    """

    def __init__(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        self._arrays, self._next = arrays, 0

    def take(self, count: int) -> list[npt.NDArray[Any]]:
        """The next ``count`` rows of each array."""
        length = len(self._arrays[0])
        indices = np.arange(self._next, self._next + count) % length
        self._next = (self._next + count) % length
        return [array[indices] for array in self._arrays]
