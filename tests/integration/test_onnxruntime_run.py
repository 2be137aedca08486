"""A run in ONNX Runtime, from the command to what scripts and tables are told of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnprof_lib.records.store import Store

pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")

ROOT = Path(__file__).parents[2]
REAL_IMAGES = os.environ.get("CNNPROF_DATA", "")


def cnnprof(project: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-m", "cnnprof_lib", *arguments]
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_is_stored_and_told_with_what_is_known_of_it(tmp_path: Path) -> None:
    for name in ("params", "notebooks", "outputs/reference/smoke", "outputs/reference/baseline"):
        shutil.copytree(ROOT / name, tmp_path / name)
    images = ("--data", REAL_IMAGES) if REAL_IMAGES else ("--generated",)
    cnnprof(tmp_path, "run", "smoke", "--preset", "smoke", "--runtime", "onnxruntime", *images)
    told = json.loads(cnnprof(tmp_path, "show", "smoke", "--runtime", "onnxruntime", "--json"))
    assert told["latency_s"]["median"] > 0
    assert told["profiled_over_plain"] > 0
    assert 0 < told["unattributed_share"] < 1
    assert {"Conv2D", "MaxPool", "MatMul", "Transpose"} <= {op["op"] for op in told["ops"]}
    assert all(op["requested_bytes"] is None for op in told["ops"])
    assert sum(op["time_share"] for op in told["ops"]) + told["unattributed_share"] == pytest.approx(1)
    assert {layer["layer"] for layer in told["layers"] if layer["time_s"]} == {"conv1", "pool1", "logits"}
    (run,) = Store(tmp_path / "outputs").newest_runs("smoke", "onnxruntime")
    assert set(run.versions) == {"onnxruntime", "tf2onnx", "onnx"}
    shown = cnnprof(tmp_path, "show", "smoke", "--runtime", "onnxruntime")
    assert "smoke, runtime onnxruntime" in shown
    assert "memory: an unknown amount requested in a step" in shown
