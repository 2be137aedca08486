"""Colours and markers: an op has one colour in all figures, and a runtime one colour and marker.

Both palettes hold for the colour-blind: seaborn's "colorblind" for ops, Paul Tol's "muted" for runtimes.
"""

from __future__ import annotations

from typing import Any

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

SOURCE_STYLES: dict[str, dict[str, Any]] = {
    "unfused": {"color": "#332288", "marker": "o"},
    "stock": {"color": "#aa4499", "marker": "s"},
    THESIS: {"color": "#888888", "marker": "D"},
}
"""Colour and marker of each runtime, and of what is published instead of measured."""
