"""Captions of the report's figures by the key under which its prose refers to them: ``[Figure](#F_stride)``."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..page import hover

CAPTIONS = {
    "choice": (
        "What a faster network loses: accuracy lost against the baseline on the same test images, over the part of the "
        "baseline's latency that is left, each with its 95% interval"
    ),
    "accuracy": (
        "Left: accuracy against latency with 95% intervals; the steps are the efficient frontier of each runtime, and "
        "a hollow point is dominated. A latency here is the baseline's times the ratio to the right, so that points "
        "compare although each was timed in processes of its own. Right: what is left of the baseline's latency"
    ),
    "ops": "What a profiled step of each variant is made of in {}: milliseconds to the left, shares to the right",
    "stride": "Latency and Conv2D's share of the ops' time against the stride of both convolutions, ours and published",
    "overhead": "How many times longer a step takes under the profiler, and with the profiler's reading in the loop",
    "memory": "Memory of each variant in {}: requested in a step, live at its peak, and resident in the process",
    "roofline": "Each layer of the baseline under the roofline of this machine, in {}",
    "training": "How accuracy grows with training",
    "training-time": (
        "Median time of a training step by the recipes and machines that trained the baseline too, beside what the "
        "thesis's times of a whole training come to; the lines of these are what its rounding leaves open"
    ),
    "network": (
        "What the profiled step of a batch is spent on in {}, layer by layer from the input to the classes: each "
        "layer's output shape, parameters and MACs of one image, and its share of the step as colour"
    ),
}
"""By key; braces stand for a runtime."""


def caption(figure: Figure, key: str, runtime: str = "") -> None:
    """Gives a figure its caption and key, which is followed by the runtime where there is one: ``ops-stock``."""
    hover.caption(figure, CAPTIONS[key].format(runtime), key=f"{key}-{runtime}" if runtime else key)
