"""Multiply-adds by the convention and on real pixels, which are counted one by one here."""

from __future__ import annotations

import itertools

import pytest
from pydantic import TypeAdapter

from cnnprof_lib.params.layers import AnyLayer, Layer, Shape
from cnnprof_lib.params.reading import load_variant
from tests.builders import PARAMS


def layer(**keys: object) -> Layer:
    return TypeAdapter(AnyLayer).validate_python({"name": "layer", **keys})


def pixels_met(pixels: int, stride: int, window: int, padding: str) -> list[int]:
    """How many pixels each place of a window sees along one side, by TensorFlow's notes on padding, one by one."""
    missing = max(window - (pixels % stride or stride), 0) if padding == "same" else 0
    before = missing // 2
    padded = [0] * before + [1] * pixels + [0] * (missing - before)
    return [sum(padded[start : start + window]) for start in range(0, len(padded) - window + 1, stride)]


def windows() -> list[tuple[int, int, int, int, str]]:
    sides, sizes = (1, 2, 3, 4, 5, 7, 8, 12, 13), (1, 2, 3, 4, 5, 7)
    every = itertools.product(sides, sides, sizes, sizes, ("same", "valid"))
    return [case for case in every if case[4] == "same" or case[3] <= min(case[:2])]


def test_products_on_pixels_are_those_a_window_meets_whatever_its_size_and_stride() -> None:
    for height, width, stride, window, padding in windows():
        conv = layer(type="conv", filters=2, kernel=window, stride=stride, padding=padding)
        down, across = (pixels_met(side, stride, window, padding) for side in (height, width))
        assert conv.output_shape((height, width, 3)) == (len(down), len(across), 2)
        case = (height, width, stride, window, padding)
        assert conv.macs((height, width, 3), with_padding=False) == sum(down) * sum(across) * 3 * 2, case
        assert conv.macs((height, width, 3)) == len(down) * len(across) * window**2 * 3 * 2, case


@pytest.mark.parametrize(
    ("keys", "shape", "convention", "on_pixels"),
    [
        ({"type": "conv", "filters": 2, "kernel": 2}, (4, 4, 1), 128, 98),
        ({"type": "conv", "filters": 10, "kernel": 3, "padding": "valid"}, (32, 32, 3), 243_000, 243_000),
        ({"type": "depthwise_conv", "kernel": 3}, (13, 13, 512), 778_752, 37**2 * 512),
        ({"type": "depthwise_conv", "kernel": 3, "depth_multiplier": 2}, (4, 4, 1), 288, 200),
        ({"type": "separable_conv", "filters": 5, "kernel": 3}, (4, 4, 2), 2 * (144 + 80), 2 * (100 + 80)),
        ({"type": "dense", "units": 7}, (4, 4, 2), 224, 224),
        ({"type": "avg_pool", "window": 3}, (4, 4, 2), 0, 0),
    ],
)
def test_padding_is_counted_by_the_convention_alone(
    keys: dict[str, object], shape: Shape, convention: int, on_pixels: int
) -> None:
    counted = layer(**keys)
    assert counted.macs(shape) == convention
    assert counted.macs(shape, with_padding=False) == on_pixels


def test_a_network_counts_either_way() -> None:
    variant = load_variant("stride5", PARAMS)
    (convention,) = [layer.macs for layer in variant.network.layers if layer.name == "conv2"]
    (on_pixels,) = [layer.pixel_macs for layer in variant.network.layers if layer.name == "conv2"]
    assert (convention, on_pixels) == (102_400, 36_864)
