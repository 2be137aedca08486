"""Numbers as TensorFlow's profiler prints them."""

from __future__ import annotations

import pytest

from cnnprof_lib.base import units


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (4e-6, "4us"),
        (999e-6, "999us"),
        (999.9999e-6, "1.00ms"),
        (1e-3, "1.00ms"),
        (31.28e-3, "31.28ms"),
        (1.2, "1.20sec"),
        (0.0, "0us"),
    ],
)
def test_seconds(value_s: float, text: str) -> None:
    assert units.seconds(value_s) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0B"),
        (128, "128B"),
        (300_032, "300.03KB"),
        (23_592_960, "23.59MB"),
        (30_319_744, "30.32MB"),
        (2e9, "2.00GB"),
    ],
)
def test_bytes(value: float, text: str) -> None:
    assert units.num_bytes(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(10, "10"), (322_624, "322.62k"), (18_470_784, "18.47M"), (2.4e9, "2.40G")]
)
def test_counts(value: float, text: str) -> None:
    assert units.count(value) == text


def test_percent() -> None:
    assert units.percent(0.7202) == "72.02%"
    assert units.percent(0.7202, 0) == "72%"


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(-0.0312801, "-31.28ms"), (0.000041, "+41us"), (4e-7, "0us"), (-4e-7, "0us"), (-1.2, "-1.20sec")],
)
def test_a_change_is_written_with_its_sign(value_s: float, text: str) -> None:
    assert units.signed_seconds(value_s) == text


def test_shape() -> None:
    assert units.shape((24, 24, 64)) == "24×24×64"
    assert units.shape((10,)) == "10"
