"""LiteRT in int8, from the command to what scripts read, on real images where there are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert")

ROOT = Path(__file__).parents[2]
REAL_IMAGES = os.environ.get("CNNPROF_DATA", "")


def cnnprof(folder: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-m", "cnnprof_lib", *arguments]
    paths = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=folder, env=environment | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not REAL_IMAGES, reason="needs CNNPROF_DATA")
def test_a_run_tells_where_its_time_goes_and_how_it_scores(tmp_path: Path) -> None:
    for name in ("params", "notebooks", "outputs/reference/smoke", "outputs/reference/baseline"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*-seed*"))
    cnnprof(tmp_path, "run", "smoke", "--preset", "smoke", "--runtime", "litert-int8")
    told = json.loads(cnnprof(tmp_path, "show", "smoke", "--runtime", "litert-int8", "--json"))
    assert told["runtime"] == "litert-int8"
    assert {layer["layer"]: layer["fused_into"] for layer in told["layers"]} == dict.fromkeys(
        ("conv1", "pool1", "logits")
    )
    kernels = {op["op"]: op["kernels"] for op in told["ops"]}
    assert kernels["Conv2D"][0].startswith("XNNPACK Convolution (NHWC, QC8)")
    assert kernels["Quantize"] == kernels["Dequantize"] == ["XNNPACK Convert (NC)"]
    parts = [*(op["time_s"] for op in told["ops"]), told["unattributed_s"]]
    assert sum(parts) == pytest.approx(sum(layer["time_s"] for layer in told["layers"]) + told["unattributed_s"])
    assert told["accuracy"]["measured"] is True
    assert told["accuracy"]["images"] == 10_000
    assert told["memory"]["requested_bytes"] is None
    (stored,) = (tmp_path / "outputs/runs/smoke/litert-int8").glob("*/record.json")
    record = json.loads(stored.read_text())
    assert record["agreement"]["argmax_share"] > 0.9
    assert (record["precision"], record["calibration"]["images"]) == ("int8", 384)
    assert "training images" in record["calibration"]["which"]
    assert len(record["latency"]["reference_s"]) == len(record["latency"]["plain_s"])
    assert record["fell_back"] == {}
