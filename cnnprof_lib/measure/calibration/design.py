"""The networks that a calibration measures: an endless sequence, in which the families take turns.

They resemble what people build for small images, because a layer's time depends on the layers around it: on what is
fused into it, and on what lies in the caches. Sizes are drawn evenly on a logarithmic scale. Loads no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from ...params.costs import least_bytes
from ...params.variant import VariantSpec

BASELINE_FAMILY = "baseline"
"""The family of the baseline itself."""
SPACE_FAMILY = "space"
"""The family of all that is drawn from the space of a search."""
_MOST_MACS = 6e9
"""Of a step: 2.5 times the tutorial's network with 128 images."""
_MOST_BYTES = 256e6
_BATCH_SIZES, _BATCH_ODDS = (1, 2, 4, 8, 16, 32, 64, 128, 256), (6, 1, 1, 2, 2, 3, 3, 6, 1)
"""Most draws are of those that networks are mostly measured with."""
_SIDES = (24, 24, 24, 28, 32, 32, 32, 48, 64, 96)
_SIDES_ALONE = (2, 3, 4, 6, 8, 12, 12, 16, 16, 24, 32)
_Layers = list[dict[str, Any]]


@dataclass(frozen=True)
class Designed:
    """One network to measure.

    Attributes:
        family: What it resembles.
        variant: The network.
        batch_size: Images per step.
    """

    family: str
    variant: VariantSpec
    batch_size: int


class _Draw:
    """Draws sizes and collects layers, each of which gets a name."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.layers: _Layers = []

    def one_of(self, values: Sequence[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def width(self, low: int, high: int) -> int:
        """A number of channels; two of three are multiples of 8, as people choose them."""
        drawn = round(float(np.exp(self.rng.uniform(np.log(low), np.log(high)))))
        return max(8, round(drawn / 8) * 8) if self.chance(2 / 3) else drawn

    def add(self, type_: str, **keys: Any) -> str:
        name = f"{type_}{len(self.layers) + 1}"
        self.layers.append({"name": name, "type": type_, **keys})
        return name

    def normed(self, type_: str, activation: str = "relu", **keys: Any) -> str:
        """A convolution with batch normalisation and, unless it is none, an activation."""
        self.add(type_, use_bias=False, **keys)
        last = self.add("batch_norm")
        return self.add(activation) if activation != "none" else last


def _tutorial(draw: _Draw) -> None:
    """Large kernels with biases, pools, LRN, dense layers."""
    for _ in range(draw.one_of((1, 2, 2, 3))):
        draw.add(
            "conv",
            filters=draw.width(8, 128),
            kernel=draw.one_of((3, 5, 5, 7)),
            stride=draw.one_of((1, 1, 1, 2, 2, 3, 4, 5)),
            activation="relu",
        )
        pool = {"window": draw.one_of((2, 3, 3, 4)), "stride": 2, "padding": draw.one_of(("same", "same", "valid"))}
        tail: list[tuple[str, dict[str, Any]]] = [(draw.one_of(("max_pool", "max_pool", "avg_pool")), pool)]
        if draw.chance(0.6):
            lrn = {"depth_radius": 4, "bias": 1.0, "alpha": 1e-4, "beta": 0.75}
            tail.insert(int(draw.chance(0.5)), ("lrn", lrn))
        for type_, keys in tail:
            draw.add(type_, **keys)
    for _ in range(draw.one_of((0, 1, 2, 2))):
        draw.add("dense", units=draw.width(32, 768), activation="relu")


def _residual(draw: _Draw) -> None:
    """Blocks of two 3x3 convolutions beside a shortcut."""
    width = draw.width(8, 48)
    last = draw.normed("conv", filters=width, kernel=3, stride=draw.one_of((1, 2, 2)))
    before = width
    for stage in range(draw.one_of((2, 3, 3, 4))):
        filters, stride = width * (stage + 1), 1 if stage == 0 else 2
        for block in range(draw.one_of((1, 1, 2))):
            step = stride if block == 0 else 1
            draw.normed("conv", inputs=[last], filters=filters, kernel=3, stride=step)
            main = draw.normed("conv", "none", filters=filters, kernel=3)
            side = last
            if step > 1 or filters != before:
                side = draw.normed("conv", "none", inputs=[last], filters=filters, kernel=1, stride=step)
            draw.add("add", inputs=[side, main])
            last, before = draw.add("relu"), filters
    draw.add("global_avg_pool")


def _mobile(draw: _Draw) -> None:
    """Inverted residuals, as in MobileNetV2."""
    before = draw.width(8, 32)
    last = draw.normed("conv", "relu6", filters=before, kernel=3, stride=draw.one_of((1, 2, 2)))
    expansion = draw.one_of((2, 3, 4, 6))
    for _ in range(draw.one_of((2, 3, 4, 5))):
        stride = draw.one_of((1, 1, 2))
        filters = before if draw.chance(0.5) else min(draw.width(before, 2 * before), 160)
        draw.normed("conv", "relu6", inputs=[last], filters=before * expansion, kernel=1)
        draw.normed("depthwise_conv", "relu6", kernel=draw.one_of((3, 3, 5)), stride=stride)
        main = draw.normed("conv", "none", filters=filters, kernel=1)
        last = draw.add("add", inputs=[last, main]) if stride == 1 and filters == before else main
        before = filters
    if draw.chance(0.5):
        draw.normed("conv", "relu6", filters=draw.width(64, 320), kernel=1)
    draw.add("global_avg_pool")


def _separable(draw: _Draw) -> None:
    """Depthwise and pointwise convolutions, as in MobileNet."""
    draw.normed("conv", filters=draw.width(8, 48), kernel=3, stride=draw.one_of((1, 2, 2)))
    for _ in range(draw.one_of((1, 2, 3, 4))):
        kernel, stride, filters = draw.one_of((3, 3, 5)), draw.one_of((1, 1, 2)), draw.width(16, 192)
        if draw.chance(0.3):
            draw.normed("separable_conv", filters=filters, kernel=kernel, stride=stride)
            continue
        draw.normed("depthwise_conv", kernel=kernel, stride=stride)
        draw.normed("conv", filters=filters, kernel=1)
    draw.add("global_avg_pool")


def _plain(draw: _Draw) -> None:
    """Stacked 3x3 and 1x1 convolutions and pools, as in VGG; wide at the end."""
    width = draw.width(8, 96)
    for _ in range(draw.one_of((1, 2, 3))):
        for _ in range(draw.one_of((1, 1, 2))):
            kernel = draw.one_of((1, 3, 3, 3, (1, 3)))
            if draw.chance(0.5):
                draw.normed("conv", filters=width, kernel=kernel, stride=draw.one_of((1, 1, 1, 2)))
            else:
                draw.add("conv", filters=width, kernel=kernel, activation=draw.one_of(("relu", "relu", "none")))
        if draw.chance(0.7):
            draw.add("max_pool", window=draw.one_of((2, 2, 3)), stride=2)
        width = min(int(width * draw.one_of((1, 1.5, 2))), 256)
    draw.add(draw.one_of(("global_avg_pool", "flatten")))
    if draw.chance(0.4):
        draw.add("dense", units=draw.width(16, 256), activation="relu")


def _alone(draw: _Draw) -> None:
    """One or two layers on a wide input, so that a step tells what they take where nothing else does."""
    kind = draw.one_of(
        ("conv", "conv", "conv", "conv", "depthwise_conv", "depthwise_conv", "separable_conv", "pool", "dense")
    )
    if kind == "pool":
        draw.add(draw.one_of(("max_pool", "avg_pool")), window=draw.one_of((2, 3, 4)), stride=2)
        if draw.chance(0.5):
            draw.add("lrn", depth_radius=4, bias=1.0, alpha=1e-4, beta=0.75)
    elif kind == "dense":
        draw.add("global_avg_pool")
        draw.add("dense", units=draw.width(16, 1024), activation="relu")
    else:
        filters = {} if kind == "depthwise_conv" else {"filters": draw.width(4, 256)}
        kernel = draw.one_of((3, 5) if kind != "conv" else (1, 1, 3, 3, 3, 5))
        draw.normed(
            kind, draw.one_of(("relu", "relu6", "none")), kernel=kernel, stride=draw.one_of((1, 1, 1, 2)), **filters
        )
        if draw.chance(0.5):
            draw.add("global_avg_pool")


FAMILIES: Mapping[str, Callable[[_Draw], None]] = {
    "alone": _alone,
    "tutorial": _tutorial,
    "residual": _residual,
    "mobile": _mobile,
    "plain": _plain,
    "separable": _separable,
}
"""Each draws a network."""
_TURNS = (*FAMILIES, "tutorial")
"""The tutorial's come twice: their kernels, strides, pools and dense layers differ most."""


def designed(index: int, seed: int, baseline: VariantSpec, batch_sizes: Sequence[int] = ()) -> Designed:
    """The network at one place of the sequence. The first are the baseline, under one batch size after the other.

    Args:
        index: Its place, from 0.
        seed: Of the whole sequence.
        baseline: What networks are compared with.
        batch_sizes: Images per step to draw from; empty for those that networks are mostly measured with.
    """
    first = batch_sizes or _BATCH_SIZES
    if index < len(first):
        return Designed(BASELINE_FAMILY, baseline, first[index])
    rng = np.random.default_rng([seed, index])
    family = _TURNS[index % len(_TURNS)]
    odds = None if batch_sizes else np.array(_BATCH_ODDS) / sum(_BATCH_ODDS)
    while True:
        draw = _Draw(rng)
        side, channels = draw.one_of(_SIDES), draw.one_of((3, 3, 3, 1))
        if family == "alone":
            side, channels = draw.one_of(_SIDES_ALONE), draw.width(8, 256)
        batch_size = int(rng.choice(first, p=odds))
        FAMILIES[family](draw)
        classes = draw.one_of((2, 10, 10, 10, 100))
        draw.add("dense", units=classes)
        try:
            variant = VariantSpec.model_validate(
                {
                    "name": f"{family}-{index}",
                    "title": f"Number {index} of the calibration",
                    "input": {"height": side, "width": side, "channels": channels},
                    "classes": classes,
                    "layers": draw.layers,
                }
            )
        except ValidationError:
            continue  # an image too small for a window without padding
        if (
            variant.network.macs_per_image * batch_size <= _MOST_MACS
            and least_bytes(variant.network, batch_size)[0] <= _MOST_BYTES
        ):
            return Designed(family, variant, batch_size)


def of_space(index: int, seed: int, space: Sequence[VariantSpec], batch_size: int) -> Designed:
    """The network at one place of a sequence drawn from those that a search will ask for.

    Args:
        index: Its place.
        seed: Of the whole sequence.
        space: The networks.
        batch_size: Images per step.
    """
    rng = np.random.default_rng([seed, index])
    return Designed(SPACE_FAMILY, space[int(rng.integers(len(space)))], batch_size)
