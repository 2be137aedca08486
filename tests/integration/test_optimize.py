"""`cnnprof optimize` on a model of one's own and on a variant, with real images, and what is left measured."""

from __future__ import annotations

import io
import os
import re
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cnnprof_lib.measure.images import cache as images
from cnnprof_lib.measure.optimizing.rebuild import network_of_model
from cnnprof_lib.records.store import Store
from tests.builders import PARAMS
from tests.integration.test_commands import run

REAL_IMAGES = os.environ.get("CNNPROF_DATA", "")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(PARAMS, tmp_path / "params")
    shutil.copytree(PARAMS.parent / "notebooks", tmp_path / "notebooks")
    recipe = tmp_path / "params" / "recipes" / "tune.yaml"
    text = re.sub(r"^steps: \d+$", "steps: 60", recipe.read_text(encoding="utf-8"), flags=re.MULTILINE)
    recipe.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photos(path: Path, each: int = 1000) -> Path:
    """Two classes of the real images, as a user's own."""
    data = images.load(Path(REAL_IMAGES))
    with zipfile.ZipFile(path, "w") as archive:
        for split, pixels, labels in (
            ("train", data.train_images, data.train_labels),
            ("test", data.test_images, data.test_labels),
        ):
            for name in ("ship", "frog"):
                for place in np.flatnonzero(labels == data.classes.index(name))[:each]:
                    content = io.BytesIO()
                    Image.fromarray(pixels[place]).save(content, "PNG")
                    archive.writestr(f"{split}/{name}/{place}.png", content.getvalue())
    return path


def trained(path: Path, source: Path) -> Path:
    """A small model of one's own that tells the two apart."""
    data = images.load(source)
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.layers.Input((16, 16, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    small = np.stack([np.asarray(Image.fromarray(image).resize((16, 16), 2)) for image in data.train_images])
    model.fit(small.astype(np.float32), data.train_labels, batch_size=32, epochs=6, verbose=0)
    model.save(path)
    return path


@pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")
def test_a_model_of_ones_own_becomes_cheaper_and_is_measured(project: Path) -> None:
    source = photos(project / "photos.zip")
    trained(project / "mine.keras", source)
    status, out, err = run(
        project, "optimize", "mine.keras", "--data", str(source), "--lose-at-most", "8", "--step", "0.7"
    )
    assert status == 0, err
    assert "Runtime stock is not calibrated, so gains are of multiply-adds and values written." in err
    assert (
        "photos: 200 training images held out to choose by, 1,800 to train on; the 2,000 test images are read once"
        in err
    )
    (record,) = Store(project / "outputs").optimizations()
    kept = [each.method for each in record.tried if each.outcome == "kept"]
    assert "prune" in kept
    assert record.gain < 0.75
    assert (record.lost.images, record.lost.low <= record.lost.loss <= record.lost.high) == (2000, True)
    path = project / "outputs/optimized/mine-optimized.keras"
    model = keras.models.load_model(path)
    assert (
        network_of_model(model).macs_per_image
        < 0.8 * network_of_model(keras.models.load_model(project / "mine.keras")).macs_per_image
    )
    assert f"cnnprof run {path.relative_to(project)} --baseline mine.keras --data {source} --runtime stock" in out

    status, _, err = run(
        project,
        *("run", str(path.relative_to(project)), "--baseline", "mine.keras", "--runtime", "stock"),
        *("--preset", "smoke", "--data", str(source)),
    )
    assert status == 0, err
    (measured,) = Store(project / "outputs").newest_runs("mine-optimized", "stock")
    assert measured.accuracy is not None
    right = round(2000 * measured.accuracy.top1)
    before = keras.models.load_model(project / "mine.keras")
    data = images.load(source)
    fitted = np.stack([np.asarray(Image.fromarray(image).resize((16, 16), 2)) for image in data.test_images])
    right_before = int((before.predict(fitted, verbose=0).argmax(axis=1) == data.test_labels).sum())
    assert abs((right_before - right) / 2000 - record.lost.loss) < 0.005  # another kernel may turn an image over


@pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")
def test_a_variant_loses_its_lrn_and_is_measured_beside_what_it_was(project: Path) -> None:
    shutil.copytree(PARAMS.parent / "outputs/reference/stride5", project / "outputs/reference/stride5")
    arguments = ("optimize", "stride5", "--method", "no-lrn", "--lose-at-most", "3", "--data", REAL_IMAGES)
    status, _, err = run(project, *arguments, "--measure")
    assert status == 0, err
    assert "5,000 training images held out to choose by, 45,000 to train on; the 10,000 test images" in err
    store = Store(project / "outputs")
    (record,) = store.optimizations()
    (tried,) = record.tried
    assert (tried.method, tried.outcome, tried.changed) == ("no-lrn", "kept", "without norm1, without norm2")
    (run_record,) = store.newest_runs("stride5-no-lrn", "stock")
    assert run_record.baseline == "stride5"
    training = store.read_training("stride5")
    assert training is not None
    assert run_record.accuracy is not None
    lost = training.test.top1 - run_record.accuracy.top1
    assert abs(lost - record.lost.loss) < 0.002  # images are cropped and standardised as for the variant


def test_what_cannot_be_made_cheaper_is_refused_in_one_line(project: Path) -> None:
    for arguments, message in (
        (["baseline", "--method", "no-lrn"], "baseline: must have trained weights. Received: initial ones. "),
        (["none.keras"], "none.keras: no such file. Name a model: .keras, .h5, .onnx or a SavedModel folder."),
        (["baseline", "--recipe", "none"], "params/recipes/none.yaml: no such file. "),
    ):
        if "trained" in message and not REAL_IMAGES:
            continue
        status, _, err = run(project, "optimize", *arguments, *(["--data", REAL_IMAGES] if REAL_IMAGES else []))
        assert status == 1
        assert message in err
    status, _, err = run(project, "optimize", "baseline", "--method", "magic")
    assert status == 2
    assert "'magic' is not one of fold, no-lrn, lrn-to-bn, prune, low-rank, separable." in " ".join(
        err.replace("│", " ").split()
    )
