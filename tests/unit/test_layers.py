"""Multiply-adds by the convention and on real pixels, which are counted one by one here."""

from __future__ import annotations

import itertools

import pytest
from pydantic import TypeAdapter

from cnnprof_lib.params import windows as windows_of_yaml
from cnnprof_lib.params.layers import AnyLayer, Layer, Shape, ShapeError
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


def test_a_dilated_window_meets_the_pixels_under_its_values_alone() -> None:
    cases = itertools.product((1, 4, 7), (1, 2, 5), (1, 2, 3), (1, 3, 5), (1, 2, 3), (0, 1, 4))
    for pixels, window, stride, count, dilation, before in cases:
        starts = range(-before, count * stride - before, stride)
        one_by_one = sum(0 <= at + tap * dilation < pixels for at in starts for tap in range(window))
        assert windows_of_yaml.pixels_met(pixels, window, stride, count, dilation, before) == one_by_one


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_height_and_width_are_counted_apart(padding: str) -> None:
    for kernel, stride in itertools.product(itertools.product((1, 2, 3), (1, 4, 5)), itertools.product((1, 3), (1, 2))):
        met = [pixels_met(*side, padding) for side in zip((7, 8), stride, kernel, strict=True)]
        conv = layer(type="conv", filters=6, groups=3, kernel=kernel, stride=stride, padding=padding)
        assert conv.output_shape((7, 8, 9)) == (len(met[0]), len(met[1]), 6)
        case = (kernel, stride)
        assert conv.macs((7, 8, 9), with_padding=False) == sum(met[0]) * sum(met[1]) * 3 * 6, case
        assert conv.macs((7, 8, 9)) == len(met[0]) * len(met[1]) * kernel[0] * kernel[1] * 3 * 6, case
        assert conv.parameters((7, 8, 9)) == kernel[0] * kernel[1] * 3 * 6 + 6
        pool = layer(type="max_pool", window=kernel, stride=stride, padding=padding)
        assert pool.output_shape((7, 8, 9)) == (len(met[0]), len(met[1]), 9)


def test_a_square_is_one_number_however_it_is_written() -> None:
    assert layer(type="max_pool", window=[3, 3], stride=[2, 2]) == layer(type="max_pool", window=3, stride=2)


@pytest.mark.parametrize(
    ("keys", "shape", "convention", "on_pixels"),
    [
        ({"type": "conv", "filters": 2, "kernel": 2}, (4, 4, 1), 128, 98),
        ({"type": "conv", "filters": 10, "kernel": 3, "padding": "valid"}, (32, 32, 3), 243_000, 243_000),
        ({"type": "depthwise_conv", "kernel": 3}, (13, 13, 512), 778_752, 37**2 * 512),
        ({"type": "depthwise_conv", "kernel": 5}, (13, 13, 512), 2_163_200, 59**2 * 512),
        ({"type": "depthwise_conv", "kernel": [3, 1]}, (4, 4, 1), 48, 40),
        ({"type": "conv", "filters": 4, "kernel": [1, 3], "groups": 2}, (4, 4, 2), 192, 160),
        ({"type": "separable_conv", "filters": 5, "kernel": [1, 3]}, (4, 4, 2), 2 * (48 + 80), 2 * (40 + 80)),
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


def test_one_convolution_has_the_parameters_that_others_count() -> None:
    assert layer(type="conv", filters=10, kernel=3, padding="valid").parameters((32, 32, 3)) == 280


def test_what_is_joined_has_the_shape_of_the_sum_or_all_channels() -> None:
    shapes = ((4, 5, 2), (4, 5, 2), (4, 5, 2))
    add, concat = (layer(type=kind, inputs=["a", "b", "c"]) for kind in ("add", "concat"))
    assert (add.joined(shapes), concat.joined(shapes)) == ((4, 5, 2), (4, 5, 6))
    assert (add.joined(((7,), (7,))), concat.joined(((7,), (3,)))) == ((7,), (10,))
    with pytest.raises(ShapeError, match="must name layers of one height and width, but theirs are 4x5x2, 7"):
        concat.joined(((4, 5, 2), (7,)))
    assert (add.macs((4, 5, 2)), add.parameters((4, 5, 2)), add.output_shape((4, 5, 2))) == (0, 0, (4, 5, 2))


def test_a_network_counts_either_way() -> None:
    variant = load_variant("stride5", PARAMS)
    (convention,) = [layer.macs for layer in variant.network.layers if layer.name == "conv2"]
    (on_pixels,) = [layer.pixel_macs for layer in variant.network.layers if layer.name == "conv2"]
    assert (convention, on_pixels) == (102_400, 36_864)
