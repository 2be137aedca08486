"""Windows that slide over an image: their sizes in YAML, their places, and the pixels they meet."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, Tag

Padding = Literal["same", "valid"]
WIDEST = 2**16 - 1
"""No image is wider; TensorFlow walks through the whole of a window, whatever of it holds pixels."""
Side = Annotated[int, Field(gt=0, le=WIDEST)]
ONE_SIDE, TWO_SIDES = "(one side)", "(two sides)"
"""How pydantic calls, where it reports an error, what it checked a size against."""


def _given(size: Any) -> str:
    return TWO_SIDES if isinstance(size, list | tuple) else ONE_SIDE


def _shortest(size: int | tuple[int, int]) -> int | tuple[int, int]:
    """A square by its one side, so that it equals itself however it was written."""
    return size[0] if isinstance(size, tuple) and size[0] == size[1] else size


Size: TypeAlias = Annotated[
    Annotated[Side, Tag(ONE_SIDE)] | Annotated[tuple[Side, Side], Field(strict=False), Tag(TWO_SIDES)],
    Discriminator(_given),
    AfterValidator(_shortest),
]
"""A square's one side, or height and width."""


def sides(size: Size) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size


def places(pixels: int, window: int, stride: int, padding: Padding) -> int:
    """How often a window stands along a side of ``pixels``.

    ``same`` gives ceil(n / stride), ``valid`` ceil((n - window + 1) / stride).
    Source: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
    """
    return math.ceil((pixels if padding == "same" else pixels - window + 1) / stride)


def pixels_met(pixels: int, window: int, stride: int, count: int, dilation: int = 1, before: int | None = None) -> int:
    """How many pixels a window meets in its ``count`` places along a side.

    Args:
        pixels: Of the side.
        window: Its values along the side.
        stride: Pixels between two places.
        count: Its places.
        dilation: Pixels between two of its values.
        before: Padding in front of the first pixel; None where it is what the places leave over, of an odd one the
            smaller half. Source: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
    """
    if before is None:
        before = max((count - 1) * stride + (window - 1) * dilation + 1 - pixels, 0) // 2
    starts = range(-before, count * stride - before, stride)
    return sum(max(min(window, -((start - pixels) // dilation)) - max(-(start // dilation), 0), 0) for start in starts)
