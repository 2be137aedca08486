"""One network in every runtime, from the preset to the report, on real images where there are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnnprof_lib import Study
from cnnprof_lib.records.run import RunRecord

for module in ("onnxruntime", "tf2onnx", "openvino", "nncf", "ai_edge_litert"):
    pytest.importorskip(module)

ROOT = Path(__file__).parents[2]
REAL_IMAGES = os.environ.get("CNNPROF_DATA", "")
RUNTIMES = (
    *("unfused", "stock", "xla", "onnxruntime"),
    *("openvino", "openvino-bf16", "openvino-int8", "litert", "litert-int8"),
)


def cnnprof(project: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    paths = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "cnnprof_lib", *arguments]
    done = subprocess.run(command, cwd=project, env=environment | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the network `smoke` was run in every runtime, and reported."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("params", "notebooks", "outputs/reference/smoke", "outputs/reference/baseline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*-seed*"))
    smoke = (folder / "params/presets/smoke.yaml").read_text()
    every = smoke.replace("[unfused, stock]", f"[{', '.join(RUNTIMES)}]")
    (folder / "params/presets/every.yaml").write_text(every)
    images = ("--data", REAL_IMAGES) if REAL_IMAGES else ("--generated",)
    cnnprof(folder, "run", "smoke", "--preset", "every", "--report", *images)
    return folder


def test_every_run_has_a_reference_and_answers_as_the_reference_runtime_does(project: Path) -> None:
    runs = {run.runtime: run for run in Study.open(project / "outputs").runs}
    assert sorted(runs) == sorted(RUNTIMES)
    for name, run in runs.items():
        assert run.reference is not None
        assert run.reference.network == "baseline"
        assert run.reference.own_process == (name == "unfused") or run.reference.alone_s
        assert len(run.latency.reference_s) == len(run.latency.plain_s)
        assert (run.agreement is None) == (name == "stock")
        if run.agreement is not None and run.agreement.argmax_share is not None:
            assert run.agreement.argmax_share >= (0.999 if run.precision == "float32" else 0.9)
    assert {run.precision for run in runs.values()} == {"float32", "bfloat16", "int8"}
    assert {run.accuracy.images for run in runs.values() if run.accuracy and REAL_IMAGES} <= {10_000}


def test_int8_is_chosen_by_training_images_that_are_held_out(project: Path) -> None:
    for run in Study.open(project / "outputs").runs:
        assert (run.calibration is not None) == (run.precision == "int8")
        if run.calibration is not None and REAL_IMAGES:
            assert run.calibration.images == 384
            assert run.calibration.which.startswith("the first 384 training images of ")
            assert run.calibration.which.endswith(" that are held out")


def test_without_images_only_floats_have_the_accuracy_recorded_with_the_weights(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("runs", "report"))
    for runtime in ("openvino", "openvino-int8"):
        cnnprof(copy, "run", "smoke", "--preset", "smoke", "--generated", "--runtime", runtime)
    floats, int8 = (run.accuracy for run in Study.open(copy / "outputs").runs)
    assert floats is not None
    assert not floats.measured
    assert int8 is None


@pytest.mark.parametrize(
    ("runtime", "kernel"),
    [
        ("onnxruntime", "Conv (NCHWc)"),
        ("openvino-int8", "brgconv_"),
        ("litert-int8", "XNNPACK Convolution (NHWC, QC8)"),
    ],
)
def test_the_books_balance_and_kernels_are_named(project: Path, runtime: str, kernel: str) -> None:
    told: dict[str, Any] = json.loads(cnnprof(project, "show", "smoke", "--runtime", runtime, "--json"))
    assert sum(op["time_share"] for op in told["ops"]) + told["unattributed_share"] == pytest.approx(1)
    assert {layer["layer"] for layer in told["layers"] if layer["time_s"]} >= {"conv1", "logits"}
    assert all(op["requested_bytes"] is None for op in told["ops"])
    conv = next(layer for layer in told["layers"] if layer["layer"] == "conv1")
    assert conv["kernel"].startswith(kernel) or runtime == "openvino-int8"  # whose kernels are the processor's
    assert told["ratio_to_reference"]["median"] > 0
    assert told["reference"] == "baseline"


def test_one_network_is_explained_from_one_runtime_to_another(project: Path) -> None:
    told = json.loads(cnnprof(project, "diff", "smoke", "smoke", "--to", "openvino-int8", "--json"))
    assert (told["before"]["runtime"], told["after"]["runtime"]) == ("stock", "openvino-int8")
    steps = [step for step in told["steps"] if step["cause"] != "latency"]
    assert {step["cause"] for step in steps} >= {"kernels", "conversions", "unattributed", "tracing"}
    between = told["after"]["latency_s"]["median"] - told["before"]["latency_s"]["median"]
    assert sum(step["change_s"] for step in steps) == pytest.approx(between)


def test_the_report_sets_them_side_by_side(project: Path) -> None:
    page = (project / "outputs/report/report.html").read_text(encoding="utf-8")
    assert "Networks by runtimes" in page
    assert "Every network in each runtime" in page
    assert "Kernels of smoke in each runtime" in page
    table = Study.open(project / "outputs").runtimes_table()
    assert list(table["runtime"]) == list(RUNTIMES)
    assert table["ratio"].gt(0).all()
    untraced: list[RunRecord] = [run for run in Study.open(project / "outputs").runs if not run.is_traced]
    assert [run.runtime for run in untraced] == ["xla"]
