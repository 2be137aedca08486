"""The command line: what it prints, and one line with status 1 for each mistake."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnprof_lib.analysis import estimates
from cnnprof_lib.analysis.variants import numbers as variants
from cnnprof_lib.app import cli, notebook, report, runs
from cnnprof_lib.app.study import Study
from cnnprof_lib.base import units
from cnnprof_lib.base.errors import TrainingError
from cnnprof_lib.measure.images import cache as data
from cnnprof_lib.measure.images.official import CLASSES
from cnnprof_lib.measure.models import evaluate
from cnnprof_lib.measure.runtimes import environment as runtimes
from cnnprof_lib.measure.training import train
from cnnprof_lib.page import pdf
from cnnprof_lib.params.settings import RecipeSpec, RunRequest
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.project import Project
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.records.run_store import TracedFiles
from cnnprof_lib.records.store import Store
from cnnprof_lib.records.training import TrainingRecord
from tests.builders import (
    RUN_ID,
    RUNTIMES,
    Node,
    make_accuracy,
    make_check,
    make_failure,
    make_machine,
    make_ops,
    make_record,
    make_roofline,
    make_training,
    write_run,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params").symlink_to(ROOT / "params")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNPROF_DATA", raising=False)
    monkeypatch.setenv("CNNPROF_CACHE", str(tmp_path / "cache"))
    return tmp_path


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cnnprof", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_variants_are_listed_one_line_each(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "variants") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["variant", "title", "parameters", "MACs", "top-1"]
    macs = [line.split()[0] for line in lines[1:3]]
    assert macs == ["residual-large", "baseline"]
    assert "1,068,298   18.47M  not trained" in lines[2]
    assert len(lines) == 1 + len(list((ROOT / "params").glob("*.yaml")))


def test_a_network_changed_since_it_was_trained_has_no_accuracy(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "outputs/reference/smoke", project / "outputs/reference/smoke")
    (project / "params").unlink()
    (project / "params").mkdir()
    text = (ROOT / "params/smoke.yaml").read_text()
    (project / "params/smoke.yaml").write_text(text.replace("window: 2", "window: 3"))
    assert command(monkeypatch, "variants") == 0
    assert capsys.readouterr().out.splitlines()[1].rstrip().endswith("changed since trained")


BROKEN = (
    "params/broken.yaml: line 2 is not valid: while parsing a flow node, expected the node content, "
    "but found '<stream end>'.\n"
    "params/misnamed.yaml: `name` must be the file's. Received: 'other'. Leave it out, or rename the file.\n"
)


@pytest.fixture
def with_broken_files(project: Path) -> None:
    """Three variants, a file that is no YAML, and one that gives itself another name."""
    (project / "params").unlink()
    shutil.copytree(ROOT / "params/recipes", project / "params/recipes")
    shutil.copy(ROOT / "params/smoke.yaml", project / "params")
    for name in ("a", "b"):
        (project / f"params/{name}.yaml").write_text("title: As smoke\nextends: smoke\n")
    (project / "params/broken.yaml").write_text("title: [\n")
    (project / "params/misnamed.yaml").write_text("title: Misnamed\nname: other\nextends: smoke\n")


@pytest.mark.usefixtures("with_broken_files")
def test_a_broken_file_hides_no_other_variant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "variants") == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["variant", "a", "b", "smoke"]
    assert err == BROKEN


@pytest.mark.usefixtures("with_broken_files")
def test_a_training_of_all_goes_on_after_one_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train_variant(variant: VariantSpec, *_: object, **options: object) -> TrainingRecord:
        if variant.name == "a":
            raise TrainingError("a: the loss is nan in step 1.")
        return make_training("smoke").model_copy(update={"variant": variant})

    images, labels = np.zeros((10, 32, 32, 3), np.uint8), np.arange(10, dtype=np.int32)
    made_up = data.DataSet("made up", "0" * 64, CLASSES, images, labels, images, labels)
    monkeypatch.setattr(data, "load", lambda *_, **options: made_up)
    monkeypatch.setattr(runtimes, "set_up", lambda *_: None)
    monkeypatch.setattr(train, "train", train_variant)
    assert command(monkeypatch, "train", "--all", "--recipe", "short") == 1
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == ["b", "smoke"]
    assert err == f"{BROKEN}a: the loss is nan in step 1.\n"


def test_a_training_keeps_to_the_recipe_of_the_stored_weights(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_images(Path("ten"), CLASSES)
    nothing = np.zeros(1, np.uint8)
    by_another = make_training("smoke", recipe="short", classes=CLASSES)
    Store(Path("outputs")).write_training(by_another, b"weights", nothing, nothing.astype(np.int32))
    trained: dict[str, tuple[str, int]] = {}

    def train_variant(variant: VariantSpec, recipe: RecipeSpec, *_: object, **options: object) -> TrainingRecord:
        trained[variant.name] = (recipe.name, recipe.seed)
        return make_training("smoke").model_copy(update={"variant": variant})

    monkeypatch.setattr(runtimes, "set_up", lambda *_: None)
    monkeypatch.setattr(train, "train", train_variant)
    assert command(monkeypatch, "train", "smoke", "stride2", "--seed", "7", "--data", "ten") == 0
    assert trained == {"smoke": ("short", 7), "stride2": ("fast", 7)}
    assert command(monkeypatch, "train", "smoke", "--recipe", "distil", "--data", "ten") == 0
    assert trained["smoke"] == ("distil", 1)


def test_names_are_checked_before_anything_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "run_notebook", lambda *_: pytest.fail("something was run"))
    for arguments in (("run", "smoke"), ("train",), ("evaluate",)):
        for name in ("presets/quick", "../params/smoke", "", "smoke.yaml"):
            assert command(monkeypatch, *arguments, name) == 1
            assert capsys.readouterr().err == (
                f"params/{name}.yaml: a name must be plain, without folder, space or .yaml. Received: {name!r}. "
                "Known in params: "
                "baseline, filters32, pool-large, residual-3, residual-4, residual-5, residual-large, resnet8, "
                "smoke, stride2, stride2-filters32, stride3, stride5.\n"
            )
    assert not (project / "outputs").exists()


def test_two_networks_of_one_name_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "run_notebook", lambda *_: pytest.fail("something was run"))
    for path in ("old/net.keras", "new/net.keras", "smoke.keras"):
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).touch()
    assert command(monkeypatch, "run", "old/net.keras", "new/net.keras") == 1
    assert capsys.readouterr().err == (
        "old/net.keras, new/net.keras: would both be called `net`. Rename one, or run them apart.\n"
    )
    assert command(monkeypatch, "run", "smoke.keras", "--baseline", "smoke") == 1
    assert capsys.readouterr().err == (
        "smoke.keras, smoke: would both be called `smoke`. Rename one, or run them apart.\n"
    )


def test_data_says_how_to_get_images(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "data") == 0
    assert " ".join(capsys.readouterr().out.split()) == (
        "No images yet. Download the official archive with `cnnprof data --download`, "
        "or name a folder, .zip or .tar.gz with --data PATH or CNNPROF_DATA."
    )


def make_images(folder: Path, classes: Sequence[str]) -> Path:
    """An image of each class in train/ and in test/, and a file that is none."""
    for place in (folder / split / name for split in ("train", "test") for name in classes):
        place.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(place / "0.bmp")
    (folder / "train/notes.txt").write_text("x")
    return folder


def test_data_counts_what_is_read_and_what_is_not(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_images(Path("ten"), CLASSES)
    for _ in range(2):  # decoded, then from the cache
        assert command(monkeypatch, "data", "--data", "ten") == 0
        captured = capsys.readouterr()
        assert captured.out == "ten: folder of images, chosen by --data: ten, 10 training and 10 test images.\n"
        assert captured.err.splitlines()[-1] == (
            "ten: left out 1 file: 1 without the suffix of an image (train/notes.txt)."
        )


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_a_network_of_other_images_is_refused_before_tensorflow_is_loaded(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_images(Path("ten"), CLASSES)
    Path("params").unlink()
    shutil.copytree(ROOT / "params", "params")
    Path("params/five.yaml").write_text("title: Five\nextends: smoke\nclasses: 5\nchange: {logits: {units: 5}}\n")
    monkeypatch.setattr(runtimes, "load_tensorflow", lambda: pytest.fail("TensorFlow is loaded"))
    assert command(monkeypatch, name, "five", "--data", "ten") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "params/five.yaml: `classes` must be 10, as many as ten has. Received: 5. "
        "Change it, name other images, or time the network on generated images with --generated."
    )


def test_evaluate_says_where_the_order_of_the_classes_is_not_known(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_images(Path("ten"), "abcdefghij")
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: make_accuracy())
    result = "top-1 86.00%: 8,600 of 10,000 images of CIFAR-10\n"
    notice = "The weights' record names no classes: the labels are numbered in the data set's order."
    assert command(monkeypatch, "evaluate", "smoke", "--weights", "mine.weights.h5", "--data", "ten") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()[-1]) == (result, notice)
    nothing = np.zeros(1, np.uint8)
    record = make_training("smoke", classes=tuple("abcdefghij"))
    Store(Path("outputs")).write_training(record, b"weights", nothing, nothing.astype(np.int32))
    assert command(monkeypatch, "evaluate", "smoke", "--data", "ten") == 0
    captured = capsys.readouterr()
    assert (captured.out, notice in captured.err) == (result, False)


def test_a_training_on_other_classes_leaves_the_reference(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_images(Path("ten"), "abcdefghij")
    nothing = np.zeros(1, np.uint8)
    Store(Path("outputs")).write_training(make_training(classes=CLASSES), b"weights", nothing, nothing.astype(np.int32))
    monkeypatch.setattr(runtimes, "load_tensorflow", lambda: pytest.fail("TensorFlow is loaded"))
    assert command(monkeypatch, "train", "smoke", "baseline", "--data", "ten") == 1
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith("outputs/reference/baseline/model.weights.h5: were trained on the classes airplane, automobile, ")
    )


def test_show_prints_the_promised_keys(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_record("stride2", "stock", accuracy=make_accuracy())
    Store(Path("outputs")).write_run(record, TracedFiles(make_ops(record), "", b""))
    assert command(monkeypatch, "show", "stride2", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    promised = """variant runtime run_id parameters macs_per_image uncounted_layers batch_size threads baseline
        latency_s profiled_over_plain unattributed_s unattributed_share ratio_to_baseline ops layers blocks
        memory accuracy warnings ratio_to_reference reference precision model_bytes calibration output_agreement"""
    assert set(shown) == set(promised.split())
    assert {"op", "time_s", "time_share", "requested_bytes", "occurrences"} <= set(shown["ops"][0])
    layer = {"layer", "type", "time_s", "time_share", "fused_into", "kernel", "fell_back"}
    layer |= {"macs", "gmacs_per_s", "output_bytes"}
    assert layer == set(shown["layers"][0])
    assert set(shown["latency_s"]) == {"median", "ci95", "steps"}
    assert set(shown["memory"]) == {"requested_bytes", "live_peak_bytes", "rss_bytes"}
    assert set(shown["accuracy"]) == {"top1", "images", "ci95", "dataset", "measured", "weights_sha256"}
    assert command(monkeypatch, "show", "stride2") == 0
    text = capsys.readouterr().out
    assert "stride2, runtime stock" in text
    assert "top-1 86.00%" in text


def test_times_of_nodes_are_written_for_model_explorer(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = (Node("Conv2D", "conv1", 0.006), Node("Relu", "conv1", 0.001), Node("_Arg", "", 0.0005))
    record = make_record("smoke", "stock", nodes=nodes)
    Store(Path("outputs")).write_run(record, TracedFiles(make_ops(record, nodes), "", b""))
    assert command(monkeypatch, "show", "smoke", "--json", "--node-data", "times.json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["variant"] == "smoke"
    assert "  model-explorer times.graph.json --node_data_paths=times.json\n" in told.err
    times = json.loads(Path("times.json").read_text(encoding="utf-8"))
    assert {name: result["value"] for name, result in times["results"].items()} == {
        **{"conv1/Conv2D_0": 6000.0, "conv1/Relu_1": 1000.0, "input/_Arg_2": 500.0},
        "layer:conv1": 7000.0,
    }
    assert [item["stop"] for item in times["gradient"]] == [0, 0.5, 1]
    (graph,) = json.loads(Path("times.graph.json").read_text(encoding="utf-8"))["graphs"]
    assert [node["id"] for node in graph["nodes"][1:]] == ["layer:conv1", "layer:pool1", "layer:logits"]
    assert [edge["sourceNodeId"] for edge in graph["nodes"][2]["incomingEdges"]] == ["layer:conv1"]


def write_processes(variant: str, ratios: Sequence[float], series: str = RUN_ID, **changes: Any) -> None:
    """A run for each ratio to the baseline, as one command makes them in processes of their own."""
    for number, ratio in enumerate(ratios):
        timed = {"plain_s": ((0.01 * ratio,) * 2,) * 6, "baseline_s": ((0.01,) * 2,) * 6}
        run_id = f"{series}-{number:02d}"
        record = make_record(variant, "stock", run_id=run_id, series=series, **timed, **changes)
        Store(Path("outputs")).write_run(record, TracedFiles(make_ops(record), "", b""))


def answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert command(monkeypatch, *arguments, "--json") == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def test_one_measurement_in_several_processes_has_one_answer_everywhere(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last process shows 0.99; the seven together, as the report has it, 1.0."""
    write_processes("baseline", [1.0] * 7)
    write_processes("stride2", [1.003, 1.002, 1.001, 1.0, 0.998, 0.997, 0.99])
    shown = answer(monkeypatch, capsys, "show", "stride2")
    (row,) = variants.overview(Study(Store(Path("outputs"))).records).query("variant == 'stride2'").to_dict("records")
    assert shown["ratio_to_baseline"]["median"] == row["ratio"] == pytest.approx(1.0)
    assert shown["ratio_to_baseline"]["ci95"] == [row["ratio_low"], row["ratio_high"]] == pytest.approx([0.99, 1.003])
    assert (shown["run_id"], shown["latency_s"]["steps"]) == (RUN_ID, 84)
    difference = answer(monkeypatch, capsys, "diff", "baseline", "stride2")
    assert difference["after"]["latency_s"]["median"] == shown["latency_s"]["median"] == pytest.approx(0.01)
    assert difference["after"]["run_id"] == RUN_ID


def test_runs_of_another_batch_size_or_number_of_threads_can_be_shown(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for batch_size, threads in ((1, 1), (1, 2), (64, 2)):
        conditions = {"batch_size": batch_size, "threads": threads, "purpose": "scaling"}
        write_processes("stride2", [0.5], series=f"{RUN_ID}-{batch_size}-{threads}", **conditions)
    shown = answer(monkeypatch, capsys, "show", "stride2", "--batch-size", "1", "--threads", "1")
    assert (shown["batch_size"], shown["threads"]) == (1, 1)
    assert answer(monkeypatch, capsys, "show", "stride2")["batch_size"] == 64  # the newest, where there are no others
    assert answer(monkeypatch, capsys, "diff", "stride2", "stride2", "--batch-size", "1")["batch_size"] == 1
    assert command(monkeypatch, "show", "stride2", "--batch-size", "8") == 1
    assert capsys.readouterr().err == (
        "outputs/runs/stride2/stock: holds no run of stride2 in runtime stock with that batch size and number of "
        "threads, but of --batch-size 1 --threads 1, --batch-size 1 --threads 2, --batch-size 64 --threads 2. "
        "Measure one: cnnprof run stride2\n"
    )
    write_processes("stride2", [0.5])
    assert answer(monkeypatch, capsys, "show", "stride2")["batch_size"] == 128


def test_a_check_of_few_rounds_is_wrong_usage(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "check", "--rounds", "2") == 2
    assert "greater than or equal to 19" in capsys.readouterr().err


def test_the_layers_that_show_prints_add_up_to_the_step(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = (Node("Conv2D", "conv1", 0.006, 1000, kernel="_FusedConv2D"), Node("_Arg", "", 0.001))
    record = make_record("smoke", "stock", nodes=nodes, unattributed_s=0.003, fused_into={"pool1": "conv1"})
    fuses = record.ops[0].model_copy(update={"fuses": ("BiasAdd", "Relu")})
    record = record.model_copy(update={"ops": (fuses, *record.ops[1:])})
    Store(Path("outputs")).write_run(record, TracedFiles(make_ops(record, nodes), "", b""))
    assert command(monkeypatch, "show", "smoke") == 0
    lines = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert lines[-10:] == [
        ["op", "executed as", "time", "share", "requested", "times"],
        ["Conv2D", "_FusedConv2D (with BiasAdd, Relu)", "6.00ms", "60.00%", "1.00KB", "1"],
        ["_Arg", "1.00ms", "10.00%", "0B", "1"],
        ["unattributed", "3.00ms", "30.00%"],
        ["layer", "fused into", "time", "share", "MACs", "output"],
        ["conv1", "6.00ms", "60.00%", "31.10k", "589.82KB"],
        ["pool1", "conv1", "0us", "0.00%", "0", "147.46KB"],
        ["logits", "0us", "0.00%", "2.88k", "5.12KB"],
        ["(no layer)", "1.00ms", "10.00%"],
        ["unattributed", "3.00ms", "30.00%"],
    ]


ERRORS = {
    ("show", "baseline"): (
        "outputs/runs/baseline/stock: holds no run of baseline in runtime stock. Measure one: cnnprof run baseline"
    ),
    ("run", "nosuch", "--generated"): (
        "params/nosuch.yaml: no such file. Known in params: "
        "baseline, filters32, pool-large, residual-3, residual-4, residual-5, residual-large, resnet8, "
        "smoke, stride2, stride2-filters32, stride3, stride5."
    ),
    (
        "run",
        "--preset",
        "slow",
    ): "params/presets/slow.yaml: no such file. Known in params/presets: calibrate, check, full, quick, smoke.",
    ("train",): "No variant named. Name one of `cnnprof variants`, or say --all.",
    ("train", "smoke", "--recipe", "slow"): (
        "params/recipes/slow.yaml: no such file. "
        "Known in params/recipes: distil, distil-48000, fast, proxy, short, smoke, teacher, teacher-12000, thesis, "
        "thesis-20000, tune."
    ),
}


@pytest.mark.parametrize("arguments", ERRORS, ids=" ".join)
def test_a_mistake_is_one_line_and_status_1(
    arguments: tuple[str, ...], project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, *arguments) == 1
    captured = capsys.readouterr()
    assert captured.err == ERRORS[arguments] + "\n"
    assert captured.out == ""


def test_images_that_are_named_and_missing_stop_a_run_and_a_training(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("run", "train"):
        assert command(monkeypatch, name, "smoke", "--data", "nowhere.zip") == 1
        line = capsys.readouterr().err
        assert line.startswith("nowhere.zip: ")
        assert line.count("\n") == 1


def test_wrong_usage_has_status_2(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, "run", "--runtime", "fused") == 2
    assert command(monkeypatch, "nosuch") == 2
    assert command(monkeypatch, "run", "--batch-size", "2147483648") == 2
    assert command(monkeypatch, "run", "--threads", "2147483648") == 2
    assert command(monkeypatch, "train", "smoke", "--seed", "4294967296") == 2


def test_a_folder_without_a_project_is_measured_by_what_cnnprof_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "variants") == 0
    assert "stride2" in capsys.readouterr().out
    assert command(monkeypatch, "show", "smoke") == 1  # its runs are the folder's own
    assert capsys.readouterr().err == (
        "outputs/runs/smoke/stock: holds no run of smoke in runtime stock. Measure one: cnnprof run smoke\n"
    )


def test_without_a_project_and_without_what_cnnprof_brings_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cnnprof_lib.records.project._is_whole", lambda folder: False)
    assert command(monkeypatch, "variants") == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}: neither it nor a folder above it has params/ and notebooks/, and cnnprof was installed without "
        "its own. Go to a cnnprof project, or install cnnprof again.\n"
    )


def test_the_conditions_of_a_run_are_repeatable_options(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[RunRequest] = []

    def run_notebook(request: RunRequest, project: Project, on_stage: object) -> RunRecord:
        asked.append(request)
        return make_record(request.variant, request.runtime)

    monkeypatch.setattr(runs, "run_notebook", run_notebook)
    options = ["--batch-size", "1", "--batch-size", "64", "--threads", "1", "--threads", "2"]
    command(monkeypatch, "run", "smoke", "--runtime", "stock", "--generated", *options)
    assert [(r.batch_size, r.threads, r.purpose) for r in asked] == [
        (1, 1, "scaling"),
        (1, 2, "scaling"),
        (64, 1, "scaling"),
        (64, 2, "scaling"),
    ]
    assert len({r.run_id for r in asked}) == 4
    assert len({r.series for r in asked}) == 1


def test_report_names_its_files_and_what_the_pdf_needs(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "render", lambda project: [Path("report.html"), Path("report.pdf")])
    assert command(monkeypatch, "report") == 0
    assert tuple(capsys.readouterr()) == ("Report: report.html\nReport: report.pdf\n", "")
    monkeypatch.setattr(report, "render", lambda project: [Path("report.html")])
    monkeypatch.setattr(pdf, "NEEDED", ("no_such_package",))
    assert command(monkeypatch, "report") == 0
    assert tuple(capsys.readouterr()) == (
        "Report: report.html\n",
        "The PDF needs the extra cnnprof[pdf]. Install it: make setup, or pip install -e '.[pdf]'\n",
    )


def test_a_report_is_written_again_only_if_another_would_come_of_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    executed: list[str] = []

    def execute(name: str, *_: object) -> tuple[str, None]:
        executed.append(name)
        return "{}", None

    def export(path: Path) -> list[Path]:
        path.with_suffix(".html").write_text("<p>the report")
        return [path.with_suffix(".html")]

    monkeypatch.setattr(notebook, "execute", execute)
    monkeypatch.setattr(report, "export", export)
    write_run(Store(Path("outputs")), make_record("baseline"))
    options = ("report", "--if-changed")
    assert [command(monkeypatch, *options), command(monkeypatch, *options), len(executed)] == [0, 0, 1]
    assert re.fullmatch(
        "Report: outputs/report/report.html\n(The PDF .*\n)?The report is up to date: 3 files, rendered .*\n",
        capsys.readouterr().out,
    )
    assert [command(monkeypatch, "report"), len(executed)] == [0, 2]
    write_run(Store(Path("outputs")), make_record("stride2"))
    assert [command(monkeypatch, *options), len(executed)] == [0, 3]


def test_claims_prints_a_verdict_on_each(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(Store(Path("outputs")), make_record("baseline"))
    assert command(monkeypatch, "claims", "--json") == 0
    judged = json.loads(capsys.readouterr().out)
    assert [claim["number"] for claim in judged] == list(range(1, 17))
    assert command(monkeypatch, "claims") == 0
    text = capsys.readouterr().out
    for claim in judged:
        assert f"\n{claim['number']}. {claim['claim'].rstrip('.')}"[:60] in text, claim


def damage(record: Path) -> str:
    """Makes a stored record one of another version, and returns what is said of it."""
    record.write_text(json.dumps({**json.loads(record.read_text()), "schema_version": 99}))
    return f"{record}: `schema_version`: input should be 2. Received: 99. Remove that folder, or run again: cnnprof run"


@pytest.mark.parametrize(
    "arguments",
    [("report",), ("claims",), ("show", "baseline", "--runtime", "unfused"), ("variants",)],
    ids=lambda arguments: arguments[0],
)
def test_what_is_damaged_is_passed_over_in_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(notebook, "execute", lambda *_: ("{}", None))
    monkeypatch.setattr(report, "export", lambda _: [])
    store = Store(Path("outputs"))
    write_run(store, make_record("baseline", run_id="20261101T000000Z-0000"))
    newest = write_run(store, make_record("baseline", run_id="20261102T000000Z-0000"))
    line = damage(newest / "record.json")
    assert command(monkeypatch, *arguments) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines()[:1] == [f"Passed over: {line}"]
    if arguments[0] == "show":
        assert "run 20261101T000000Z-0000" in captured.out  # the newest that can be read
    (store.outputs / "runs/baseline/unfused/empty").mkdir()
    assert command(monkeypatch, *arguments) == 0
    assert capsys.readouterr().err.splitlines()[:1] == [f"Passed over: {line} (1 more)"]


def test_a_variant_with_nothing_but_damaged_runs_has_none(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = damage(write_run(Store(Path("outputs")), make_record("baseline", "stock")) / "record.json")
    assert command(monkeypatch, "show", "baseline") == 1
    assert capsys.readouterr().err.splitlines() == [
        f"Passed over: {line}",
        "outputs/runs/baseline/stock: holds no run of baseline in runtime stock. Measure one: cnnprof run baseline",
    ]


FULL = (
    "outputs/{}: cannot be written. Received: {}. What was there before is intact: {} and start the same command again."
)
UNWRITABLE = {
    "File exists": "make it writable, or name another folder by --outputs,",
    "No space left on device": "make room",
    "Disk quota exceeded": "make room",
    "Read-only file system": "make it writable, or name another folder by --outputs,",
    "Permission denied": "make it writable, or name another folder by --outputs,",
}
WRITERS = {
    ("run", "smoke", "--generated"): "runs/smoke/unfused",
    ("check", "--generated"): "check",
    ("roofline",): "check",
    ("report",): "report",
}


@pytest.mark.parametrize("reason", UNWRITABLE)
@pytest.mark.parametrize("arguments", WRITERS, ids=lambda arguments: arguments[0])
def test_outputs_that_cannot_be_written_are_one_line_before_anything_is_measured(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.setattr(runtimes, "load_tensorflow", lambda: None)
    monkeypatch.setattr(runtimes, "set_up", lambda *_: None)
    monkeypatch.setattr(notebook, "execute", lambda *_: pytest.fail("executed"))
    folder = WRITERS[arguments]
    if reason == "File exists":
        place = project / "outputs" / folder
        place.parent.mkdir(parents=True)
        place.write_text("a file in its place")
    else:
        number = {os.strerror(number): number for number in errno.errorcode}[reason]
        monkeypatch.setattr(os, "fsync", lambda _: raise_error(number))
    assert command(monkeypatch, *arguments) == 1
    assert capsys.readouterr().err.splitlines() == [FULL.format(folder, reason, UNWRITABLE[reason])]


def raise_error(number: int) -> None:
    raise OSError(number, os.strerror(number))


def test_titles_and_names_of_data_sets_cannot_write_to_the_terminal_but_their_letters(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "params").unlink()
    shutil.copytree(ROOT / "params", project / "params")
    (project / "params/odd.yaml").write_text('title: "[b]bold[/b]\\n\\u202eend"\nextends: smoke\n')
    assert command(monkeypatch, "variants") == 0
    assert "[b]bold[/b] \\u202eend" in capsys.readouterr().out
    (project / "params/odd.yaml").write_text('"\\e[31mkey": 1\nextends: smoke\n')
    assert command(monkeypatch, "run", "odd\x1b[2J", "--generated") == 1
    assert "\x1b" not in capsys.readouterr().err


def test_progress_names_the_conditions_and_the_latency_that_show_prints(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_record("smoke", "stock", plain_s=((1e-3, 1e-3, 9e-3), (1e-3, 1e-3, 9e-3), (8e-3, 8e-3, 8e-3)))
    monkeypatch.setattr(runs, "run_notebook", lambda *_: record)
    command(monkeypatch, "run", "smoke", "--runtime", "stock", "--generated", "--batch-size", "64", "--threads", "1")
    assert capsys.readouterr().out.splitlines() == [
        "[1/1] smoke stock, batch of 64, 1 thread ...",
        f"[1/1] smoke stock, batch of 64, 1 thread: {units.seconds(estimates.latency(record).value)} per step",
    ]
    write_run(Store(Path("outputs")), record)
    assert command(monkeypatch, "show", "smoke") == 0
    assert f"latency {units.seconds(estimates.latency(record).value)} " in capsys.readouterr().out


def test_how_many_runs_failed_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "run_notebook", lambda request, *_: make_failure(request.variant, request.runtime))
    assert command(monkeypatch, "run", "smoke", "--runtime", "stock", "--generated") == 1
    assert capsys.readouterr().err == "1 of 1 run failed; the notebooks are in outputs/runs.\n"


def test_a_report_first_measures_what_it_says_of_the_machine(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    class Process:
        def __init__(self, command: list[str]) -> None:
            started.append(command)

        def wait(self) -> None: ...

        def kill(self) -> None: ...

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(Project, "commit", lambda _: None)  # asks Git, which is a process, too
    monkeypatch.setattr(runs, "run_notebook", lambda request, *_: make_record(request.variant, request.runtime))
    monkeypatch.setattr(report, "render", lambda project: [project.outputs / "report.html"])
    store = Store(Path("outputs"))
    for name in RUNTIMES:
        write_run(store, make_record("baseline", name))

    def started_by_a_report(preset: str) -> list[list[str]]:
        started.clear()
        assert command(monkeypatch, "run", "smoke", "--preset", preset, "--generated", "--report") == 0
        assert {tuple(arguments[:3]) for arguments in started} <= {(sys.executable, "-m", "cnnprof_lib")}
        return [arguments[3:] for arguments in started]

    images = ["--rounds", "20", "--generated", "--outputs", "outputs"]
    roofline = ["roofline", "--outputs", "outputs"]
    stock, unfused = (["check", "--runtime", name, *images] for name in ("stock", "unfused"))
    assert started_by_a_report("quick") == [unfused, stock, roofline]
    store.write_check(make_check(machine=make_machine()))
    store.write_roofline(make_roofline())
    assert started_by_a_report("quick") == [unfused]
    for in_doubt in ({"busy_percent": 40.0}, {"schema_version": 1}):
        store.write_roofline(make_roofline(**in_doubt))
        assert started_by_a_report("quick") == [unfused, roofline]
    elsewhere = make_machine(cpu="Another CPU")
    store.write_check(make_check(machine=elsewhere))
    store.write_roofline(make_roofline(cpu="Another CPU", machine=elsewhere))
    assert started_by_a_report("quick") == [unfused, roofline]
    store.write_roofline(make_roofline(machine=make_machine()))
    assert started_by_a_report("quick") == [unfused]
    for runtime in RUNTIMES:  # the newest runs are those of this machine
        write_run(store, make_record("baseline", runtime, machine=elsewhere, run_id="20300101T000000Z-0000"))
    assert started_by_a_report("quick") == [unfused]
    assert started_by_a_report("smoke") == []
