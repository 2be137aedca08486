"""Data sets against networks and weights: mapped, or refused in a line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnnprof_lib.base.errors import CnnprofError
from cnnprof_lib.measure import run
from cnnprof_lib.measure.images import fit
from cnnprof_lib.measure.images.official import CLASSES
from cnnprof_lib.measure.images.sources import DataSet
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.records.store import Store
from tests.builders import PARAMS, make_training

SMOKE = load_variant("smoke", PARAMS)
MIXED = tuple(sorted(name.upper() if "i" in name else name for name in CLASSES))
PLANE = ("bird", "car", "cat", "deer", "dog", "frog", "horse", "plane", "ship", "truck")


def made_up(classes: tuple[str, ...] = CLASSES) -> DataSet:
    """Ten images of each kind, without a picture; a label is the place of its class in sorted folder names."""
    labels = np.arange(10, dtype=np.int32)
    images = np.zeros((10, 32, 32, 3), np.uint8)
    return DataSet("small", "0" * 64, classes, images, labels, images, labels)


def trained(tmp_path: Path, **changes: Any) -> Store:
    store = Store(tmp_path / "outputs")
    nothing = np.zeros(10, np.uint8)
    store.write_training(make_training("smoke", **changes), b"weights", nothing, nothing.astype(np.int32))
    return store


def refusal(call: Any) -> str:
    with pytest.raises(CnnprofError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("classes", [CLASSES, MIXED, tuple(map(str.title, CLASSES)), PLANE[::-1]])
def test_labels_are_numbered_as_the_weights_outputs_are(classes: tuple[str, ...], tmp_path: Path) -> None:
    wanted = PLANE if classes == PLANE[::-1] else CLASSES
    dataset = fit.in_order_of_weights(made_up(classes), SMOKE, trained(tmp_path, classes=wanted))
    assert dataset.classes == wanted
    for labels in (dataset.train_labels, dataset.test_labels):
        assert [wanted[label] for label in labels] == [name.lower() for name in classes]
        assert labels.dtype == np.int32


def test_0_to_9_are_the_official_order_whatever_the_weights_is(tmp_path: Path) -> None:
    digits = tuple("0123456789")
    backwards = fit.in_order_of_weights(made_up(digits), SMOKE, trained(tmp_path, classes=CLASSES[::-1]))
    assert backwards.test_labels.tolist() == list(range(9, -1, -1))
    by_digits = trained(tmp_path, classes=digits)
    assert fit.in_order_of_weights(made_up(MIXED), SMOKE, by_digits).test_labels.tolist() == [
        CLASSES.index(name.lower()) for name in MIXED
    ]
    assert fit.in_order_of_weights(made_up(digits), SMOKE, by_digits).test_labels.tolist() == list(range(10))


def test_other_classes_are_refused_with_both_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = trained(Path(), classes=CLASSES)
    assert refusal(lambda: fit.in_order_of_weights(made_up(PLANE), SMOKE, store)) == (
        "outputs/reference/smoke/model.weights.h5: were trained on the classes airplane, automobile, bird, cat, deer, "
        "dog, frog, horse, ship, truck. Received: bird, car, cat, deer, dog, frog, horse, plane, ship, truck in small. "
        "Name the folders so, or 0 to 9 in the order of CIFAR-10; to train on classes of your own, name another folder "
        "with --outputs."
    )
    twice = ("Cat", *CLASSES[1:])
    assert "Received: Cat, automobile, bird, cat, " in refusal(
        lambda: fit.in_order_of_weights(made_up(twice), SMOKE, store)
    )
    weights = store.weights_path("smoke")
    assert refusal(lambda: fit.in_order_of_weights(made_up(PLANE), SMOKE, Store(Path("none")), weights)).startswith(
        "outputs/reference/smoke/model.weights.h5: were trained on the classes airplane, "
    )


def test_records_without_classes(tmp_path: Path) -> None:
    plane = made_up(PLANE)
    own = trained(tmp_path, dataset="shapes")
    assert fit.classes_of(own.read_training("smoke")) == ()
    assert fit.in_order_of_weights(plane, SMOKE, own) is plane
    assert fit.in_order_of_weights(plane, SMOKE, Store(tmp_path / "none")) is plane
    # CIFAR-10 was known by the order of its classes before it was written down.
    old = trained(tmp_path, dataset="CIFAR-10 (JPEG copy)")
    assert fit.classes_of(old.read_training("smoke")) == CLASSES
    assert "were trained on the classes" in refusal(lambda: fit.in_order_of_weights(plane, SMOKE, old))


@pytest.mark.parametrize(
    ("dataset", "origin", "classes", "told"),
    [
        (made_up(), "reference", (), True),
        (made_up(), "reference", CLASSES, False),
        (made_up(), "initial", (), False),
        (None, "reference", (), False),
    ],
)
def test_a_run_cautions_where_the_order_is_not_known(
    tmp_path: Path, dataset: DataSet | None, origin: str, classes: tuple[str, ...], told: bool
) -> None:
    network: Any = SimpleNamespace(weights=SimpleNamespace(origin=origin))
    images: Any = SimpleNamespace(dataset=dataset)
    caution = "The weights' record names no classes: the labels are numbered in the data set's order"
    conditions: Any = SimpleNamespace(spec=SMOKE, store=trained(tmp_path, dataset="drawn", classes=classes))
    assert (caution in run._warnings(network, images, conditions, slowed=False)) == told


def test_a_damaged_record_is_left_to_those_who_load_or_replace_it(tmp_path: Path) -> None:
    store = trained(tmp_path, classes=CLASSES)
    (store.reference_dir("smoke") / "training.json").write_text("{")
    plane = made_up(PLANE)
    assert fit.in_order_of_weights(plane, SMOKE, store) is plane


SIZES = {
    ("channels", 1): "`input.channels` must be 3, as the images of small have. Received: 1.",
    ("height", 224): "`input.height` must be at most 32, as the images of small have. Received: 224.",
    ("width", 33): "`input.width` must be at most 32, as the images of small have. Received: 33.",
}
REMEDY = "Change it, name other images, or time the network on generated images with --generated."


@pytest.mark.parametrize(("key", "value"), SIZES)
def test_a_network_of_other_images_is_refused(key: str, value: int) -> None:
    variant = SMOKE.model_copy(update={"input": SMOKE.input.model_copy(update={key: value})})
    assert refusal(lambda: fit.check_images(made_up(), variant, Path("params"))) == (
        f"params/smoke.yaml: {SIZES[key, value]} {REMEDY}"
    )


@pytest.mark.parametrize("classes", [5, 100])
def test_a_network_of_other_classes_is_refused(classes: int) -> None:
    variant = SMOKE.model_copy(update={"classes": classes})
    assert refusal(lambda: fit.check_images(made_up(), variant, Path("params"))) == (
        f"params/smoke.yaml: `classes` must be 10, as many as small has. Received: {classes}. {REMEDY}"
    )


def test_smaller_crops_and_the_whole_image_are_taken() -> None:
    for side in (1, 24, 32):
        size = SMOKE.input.model_copy(update={"height": side, "width": side})
        fit.check_images(made_up(), SMOKE.model_copy(update={"input": size}), PARAMS)


def test_positions_need_all_classes_once() -> None:
    data = dataclasses.replace(made_up(("a", "a", *CLASSES[2:])))
    assert fit.class_positions(data.classes, CLASSES) is None
    assert fit.class_positions(CLASSES, data.classes) is None
    assert fit.class_positions(data.classes, data.classes) is None
