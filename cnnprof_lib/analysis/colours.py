"""Colours and markers: an op has one colour in all figures, and a runtime one colour and marker.

Both palettes hold for the colour-blind: seaborn's "colorblind" for ops, Paul Tol's "muted" for runtimes.
"""

from __future__ import annotations

import zlib
from typing import Any

from ..params.runtimes import runtime_names
from .frames import UNATTRIBUTED

OTHER = "other ops"

OP_COLOURS = {
    "Conv2D": "#0173b2",
    "LRN": "#de8f05",
    "MaxPool": "#029e73",
    "BiasAdd": "#d55e00",
    "Relu": "#cc78bc",
    "MatMul": "#ca9161",
    "QueueDequeueManyV2": "#56b4e9",
    "DepthwiseConv2dNative": "#ece133",
    "FusedBatchNormV3": "#fbafe4",
    OTHER: "#949494",
    UNATTRIBUTED: "#dddddd",
}
"""Fixed colour of each op; an op that is not named here is drawn among `OTHER`."""
THESIS = "thesis"
"""Source of what is published, not measured."""

_LOOKS = (
    *(("#aa4499", "s"), ("#332288", "o"), ("#117733", "^"), ("#88ccee", "v"), ("#ddaa33", "P"), ("#882255", "X")),
    *(("#44aa99", "<"), ("#999933", ">"), ("#cc6677", "p"), ("#000000", "h")),
)


def source_style(source: str) -> dict[str, Any]:
    """Colour and marker of a runtime by its name, or of what is published instead of measured.

    The runtimes that can be found have looks in the order of their names; any other gets one of its name's.
    """
    if source == THESIS:
        return {"color": "#888888", "marker": "D"}
    names = runtime_names()
    place = names.index(source) if source in names else len(names) + zlib.crc32(source.encode())
    colour, marker = _LOOKS[place % len(_LOOKS)]
    return {"color": colour, "marker": marker}
