"""What can be drawn of a profile: its columns of numbers with their units, and the colours of its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...base import units
from ..colours import OP_COLOURS, OTHER


class Quantity(NamedTuple):
    """A column of a profile and how it is drawn and written."""

    noun: str
    axis: str
    scale: float
    formatter: Callable[[float], str]

    def label(self, share: bool) -> str:
        """Of the axis."""
        return f"share of a step's {self.noun} [%]" if share else self.axis


QUANTITIES = {
    "time_s": Quantity("time", "time per step [ms]", 1e3, units.seconds),
    "requested_bytes": Quantity("requested bytes", "requested bytes per step [MB]", 1e-6, units.num_bytes),
    "occurrences": Quantity("executions", "executions per step", 1.0, units.count),
}
"""What can be drawn of a profile, by its column."""


def bar_colour(by: str, name: str) -> str:
    """An op's colour, that of other ops if it has none; a layer's or kernel's is one for all."""
    return OP_COLOURS.get(name, OP_COLOURS[OTHER if by == "op" else "Conv2D"])
