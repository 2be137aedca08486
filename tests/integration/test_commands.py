"""The main job as a user runs it: commands in processes of their own, on real images where there are."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from cnnprof_lib.base.errors import DataError, TrainingError
from cnnprof_lib.base.processes import STOPPED
from cnnprof_lib.measure.images import cache as data
from cnnprof_lib.measure.images import fit
from cnnprof_lib.measure.images.official import CLASSES
from cnnprof_lib.measure.training import apart
from cnnprof_lib.params.reading import load_recipe, load_variant
from cnnprof_lib.params.settings import RunRequest
from cnnprof_lib.records.project import find_project
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.records.store import Store

ROOT = Path(__file__).parents[2]
REAL_IMAGES = os.environ.get("CNNPROF_DATA", "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own: parameters, notebooks and the reference weights of the small network."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    for name in ("smoke", "baseline"):
        beside = shutil.ignore_patterns("*-seed*")  # what somebody trained with --beside
        shutil.copytree(ROOT / "outputs/reference" / name, tmp_path / "outputs/reference" / name, ignore=beside)
    return tmp_path


def command(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts ``cnnprof`` in a process group of its own, so that a test can kill it whole."""
    code = "from cnnprof_lib.__main__ import main; main()"
    environment = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(project: Path, *arguments: str) -> tuple[int, str, str]:
    process = command(project, *arguments)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def test_run_report_and_show_with_one_variant_that_fails(project: Path) -> None:
    (project / "params/broken.yaml").write_text("title: Broken\nextends: smoke\nchange: {conv1: {stride: -1}}\n")
    status, out, err = run(project, "run", "smoke", "broken", "--preset", "smoke", "--generated", "--report")
    assert status == 1
    assert err.strip() == "2 of 4 runs failed; the notebooks are in outputs/runs."
    assert "[2/4] smoke stock: " in out
    reason = "broken.yaml: `conv1.stride` must be greater than 0. Received: -1."
    assert "[3/4] broken unfused failed: " in out
    assert reason in out

    records = {(Path(f).parts[-3], Path(f).parts[-2]): Path(f) for f in Store(project / "outputs").run_dirs()}
    assert {path.name for path in records["smoke", "stock"].iterdir()} == {
        "record.json", "ops.parquet", "profiler.txt", "trace.json.gz", "notebook.ipynb"
    }  # fmt: skip
    assert {path.name for path in records["broken", "stock"].iterdir()} == {"failure.json", "notebook.ipynb"}
    assert reason in (records["broken", "stock"] / "notebook.ipynb").read_text()

    html = (project / "outputs/report/report.html").read_text()
    assert "A small network for trials" in html
    assert "`conv1.stride` must be greater than 0. Received: -1." in html
    assert "recorded, not measured here" in html

    status, out, err = run(project, "show", "smoke", "--json")
    shown = json.loads(out)
    assert (status, shown["variant"], shown["runtime"], shown["parameters"]) == (0, "smoke", "stock", 3114)
    assert shown["latency_s"]["ci95"][0] <= shown["latency_s"]["median"] <= shown["latency_s"]["ci95"][1]
    shares = [op["time_share"] for op in shown["ops"]] + [shown["unattributed_share"]]
    assert sum(shares) == pytest.approx(1)
    assert shown["accuracy"]["measured"] is False
    assert shown["accuracy"]["images"] == 10_000


NORMALISED = """
title: A convolution, its normalisation and its activation as layers
input: {height: 12, width: 12, channels: 3}
classes: 10
layers:
  - {name: conv, type: conv, filters: 8, kernel: 3, use_bias: false}
  - {name: norm, type: batch_norm}
  - {name: activation, type: relu}
  - {name: mean, type: global_avg_pool}
  - {name: logits, type: dense, units: 10}
"""


def test_layers_that_onednn_fuses_name_the_one_that_holds_their_time(project: Path) -> None:
    (project / "params/normalised.yaml").write_text(NORMALISED)
    status, _, err = run(project, "run", "normalised", "--preset", "smoke", "--runtime", "stock", "--generated")
    assert (status, err) == (0, "")
    shown = json.loads(run(project, "show", "normalised", "--json")[1])
    assert {row["layer"]: row["fused_into"] for row in shown["layers"]} == {
        **{"conv": None, "norm": "conv", "activation": "conv", "mean": None, "logits": None, "(no layer)": None}
    }
    assert {row["layer"] for row in shown["layers"] if row["time_s"] == 0} == {"norm", "activation"}
    assert sum(row["time_share"] for row in shown["layers"]) + shown["unattributed_share"] == pytest.approx(1)


@pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")
def test_accuracy_is_measured_on_all_real_test_images(project: Path) -> None:
    status, _, err = run(project, "run", "smoke", "--preset", "smoke", "--runtime", "stock", "--data", REAL_IMAGES)
    assert (status, err.replace("Decoding", "")) == (0, err.replace("Decoding", ""))
    (record,) = Store(project / "outputs").newest_runs("smoke", "stock")
    training = Store(project / "outputs").read_training("smoke")
    assert record.accuracy is not None
    assert training is not None
    assert (record.accuracy.images, record.accuracy.measured) == (10_000, True)
    if record.images.sha256 == training.dataset_sha256:
        # The same weights on the same images, on what may be another processor.
        assert abs(record.accuracy.correct - training.test.correct) <= 5
    assert not record.images.generated


def renamed(path: Path, names: dict[str, str]) -> Path:
    """All real test images and a few for training, in class folders of other names."""
    data_set = data.load(Path(REAL_IMAGES))
    with zipfile.ZipFile(path, "w") as archive:
        for split, images, labels in (
            ("train", data_set.train_images[::2_500], data_set.train_labels[::2_500]),
            ("test", data_set.test_images, data_set.test_labels),
        ):
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                content = io.BytesIO()
                Image.fromarray(image).save(content, "BMP")
                archive.writestr(f"{split}/{names[data_set.classes[label]]}/{index:05}.bmp", content.getvalue())
    return path


@pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")
def test_class_folders_of_other_names_are_put_in_order_or_refused(project: Path) -> None:
    training = Store(project / "outputs").read_training("smoke")
    assert training is not None
    mixed = {name: name.upper() if "i" in name else name for name in CLASSES}
    status, out, _ = run(project, "evaluate", "smoke", "--data", str(renamed(project / "mixed.zip", mixed)))
    assert status == 0
    correct = int(re.search(r": ([\d,]+) of 10,000 images of mixed$", out.strip())[1].replace(",", ""))  # type: ignore[index]
    assert abs(correct - training.test.correct) <= 5  # on what may be another processor
    plane = {name: name for name in CLASSES} | {"airplane": "plane"}
    others = data.load(renamed(project / "plane.zip", plane))
    with pytest.raises(DataError, match="were trained on the classes airplane, automobile, bird, "):
        fit.in_order_of_weights(others, load_variant("smoke", project / "params"), Store(project / "outputs"))


def write_brief_recipe(project: Path, steps: int, checkpoint_every: int) -> None:
    recipe = (project / "params/recipes/thesis.yaml").read_text()
    changed = recipe.replace("steps: 100000", f"steps: {steps}").replace(
        "checkpoint_every: 500", f"checkpoint_every: {checkpoint_every}"
    )
    (project / "params/recipes/brief.yaml").write_text(changed)


@pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")
def test_a_short_training_learns_from_real_images(project: Path) -> None:
    write_brief_recipe(project, steps=300, checkpoint_every=100)
    status, out, _ = run(project, "train", "smoke", "--recipe", "brief", "--data", REAL_IMAGES)
    assert status == 0
    record = Store(project / "outputs").read_training("smoke")
    assert record is not None
    assert (record.recipe, [row.step for row in record.history]) == ("brief", [100, 200, 300])
    assert record.test.top1 > 0.2  # a guess is right once in ten
    assert "step 200 of 300" in out
    status, out, _ = run(project, "evaluate", "smoke", "--data", REAL_IMAGES)
    assert (status, out.strip()) == (
        0,
        f"top-1 {100 * record.test.top1:.2f}%: {record.test.correct:,} of 10,000 images of {record.dataset}",
    )


@pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")
def test_a_training_killed_three_times_ends_as_one_that_was_not(project: Path) -> None:
    write_brief_recipe(project, steps=250, checkpoint_every=50)
    store = Store(project / "outputs")
    reference = store.read_training("smoke")
    training = ("train", "smoke", "--recipe", "brief", "--beside", "--data", REAL_IMAGES)
    for place in ("step 50 of", "step 100 of", "step 200 of"):
        process = command(project, *training)
        assert process.stdout is not None
        while place not in process.stdout.readline():
            pass
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert store.read_training("smoke") == reference
        assert store.trained_keys("smoke") == []
    status, out, _ = run(project, *training)
    assert (status, "step 50 of 250" in out, "step 250 of 250" in out) == (0, False, True)
    status, _, _ = run(project, *training, "--outputs", "uninterrupted")
    assert status == 0
    whole = Store(project / "uninterrupted")
    resumed, uninterrupted = (each.read_training("smoke", "brief-seed1") for each in (store, whole))
    assert resumed is not None
    assert uninterrupted is not None
    assert [(row.step, row.loss, row.learning_rate) for row in resumed.history] == [
        (row.step, row.loss, row.learning_rate) for row in uninterrupted.history
    ]
    assert resumed.weights_sha256 == uninterrupted.weights_sha256
    assert store.read_training("smoke") == reference


@pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")
def test_a_run_trains_first_where_it_is_asked_to(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the process that trains
    write_brief_recipe(project, steps=20, checkpoint_every=10)
    (project / "params/small.yaml").write_text("title: Not trained yet\nextends: smoke\n")
    monkeypatch.chdir(project)
    found = find_project()
    told: list[str] = []

    def train_first(train: str, source: str = REAL_IMAGES) -> bool:
        request = RunRequest(
            variant="small", runtime="unfused", preset="smoke", source=source, train=train, recipe="brief",
            run_id="a", series="a",
        )  # type: ignore[arg-type] # fmt: skip
        return apart.train_first(request, found, told.append)

    with pytest.raises(TrainingError) as caught:
        train_first("always", "generated")
    assert str(caught.value) == (
        "small: training needs images. Received: none. Name them with --data PATH or CNNPROF_DATA."
    )
    assert [train_first(when) for when in ("never", "if missing", "if missing")] == [False, True, False]
    record = found.store.read_training("small")
    assert record is not None
    assert (record.recipe, record.steps) == ("brief", 20)
    assert told == [
        f"{row.describe_rest(load_recipe('brief', found.params))}: {row.describe()}" for row in record.history
    ]
    assert told[1].startswith("step 20 of 20, 0.0 min left: loss ")


@pytest.mark.parametrize("arguments", [("run", "smoke", "--preset", "smoke"), ("check", "--rounds", "19")])
@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGINT, 0.5), (signal.SIGINT, 5.0), (signal.SIGTERM, 8.0)])
def test_a_command_told_to_stop_ends_in_one_line_and_leaves_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], number: signal.Signals, seconds: float
) -> None:
    places = {name: project / name for name in ("TMPDIR", "JUPYTER_RUNTIME_DIR")}
    for name, place in places.items():
        place.mkdir()
        monkeypatch.setenv(name, str(place))
    process = command(project, *arguments, "--generated")
    time.sleep(seconds)  # somewhere in it
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert (err, process.returncode) == (f"{STOPPED}\n", 128 + number)
    assert [list(place.iterdir()) for place in places.values()] == [[], []]
    assert not list((project / "outputs").rglob(".partial-*"))
    with pytest.raises(ProcessLookupError):  # nothing of it is left
        os.killpg(process.pid, 0)


@pytest.mark.parametrize("seconds", [2.0, 7.5, 11.0])
def test_a_killed_run_leaves_no_record_and_the_next_succeeds(project: Path, seconds: float) -> None:
    store = Store(project / "outputs")
    process = command(project, "run", "smoke", "--preset", "smoke", "--runtime", "unfused", "--generated")
    time.sleep(seconds)  # somewhere in it: which stage is left to chance
    with contextlib.suppress(ProcessLookupError):  # on a fast machine it may have ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for record in store.latest():  # raises if anything there reads as a record and is not whole
        assert isinstance(record, RunRecord)
        assert len(store.read_ops(record)) > 0
    if seconds == 2.0:  # once is enough for the run that follows
        status, _, err = run(project, "run", "smoke", "--preset", "smoke", "--runtime", "unfused", "--generated")
        assert (status, err) == (0, "")
        assert store.newest_runs("smoke", "unfused")[0].variant.name == "smoke"
        assert not list((project / "outputs/runs").rglob(".partial-*"))


def test_models_are_run_compared_and_reported_from_an_empty_folder(tmp_path: Path) -> None:
    """A nested Keras model and one in a parameter's place, by the notebooks that cnnprof brings."""
    code = """
import keras
c = keras.layers
block = [keras.Input((32, 32, 3)), c.Conv2D(8, 3, name="c1"), c.BatchNormalization(name="bn"), c.ReLU(name="r")]
inner = keras.Sequential(block, name="inner")
image = keras.Input((32, 32, 3))
keras.Model(image, c.Dense(10, name="head")(c.GlobalAveragePooling2D()(inner(image)))).save("nested.keras")
plain = [keras.Input((32, 32, 3)), c.Conv2D(8, 5, name="c1"), c.Flatten(name="flatten"), c.Dense(10, name="head")]
keras.Sequential(plain).save("plain.keras")
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    images = ("--data", REAL_IMAGES) if REAL_IMAGES else ("--generated",)
    how = ("--runtime", "stock", "--preset", "smoke", "--preprocessing", "scale", "--report")
    status, out, err = run(tmp_path, "run", "nested.keras", "plain.keras", *how, *images)
    assert (status, err) == (0, "")
    record = Store(tmp_path / "outputs").runs()[0]
    assert isinstance(record, RunRecord)
    assert (record.name, record.variant, record.weights.origin) == ("nested", None, "file")
    assert {layer.name: layer.macs for layer in record.network.layers if layer.macs} == {
        "inner/c1": 30 * 30 * 27 * 8,
        "head": 80,
    }
    assert record.fused_into["inner/bn"] == "inner/c1"
    assert (record.accuracy is not None) == bool(REAL_IMAGES)
    status, out, _ = run(tmp_path, "diff", "plain.keras", "nested.keras", "--json")
    assert status == 0
    presence = {step["layer"]: step["presence"] for step in json.loads(out)["steps"] if step["layer"]}
    assert (presence["flatten"], presence["c1 -> inner/c1"], presence["head"]) == ("gone", "both", "both")
    page = (tmp_path / "outputs/report/report.html").read_text()
    assert "nested" in page
    assert "Traceback" not in page
    assert "No network of the thesis was run here, so none of its claims can be judged." in page
