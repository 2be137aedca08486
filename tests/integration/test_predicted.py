"""A runtime calibrated for real, with few steps, and networks predicted from it: a variant and a model of one's own."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import keras
import pytest

pytest.importorskip("sklearn")

from cnnprof_lib.analysis.prediction.numbers import FEWEST_PROBES
from cnnprof_lib.app import cli
from cnnprof_lib.measure.calibration import bench
from cnnprof_lib.measure.calibration.calibrate import measure_probes
from cnnprof_lib.params.runtimes import runtime_names
from cnnprof_lib.records.project import find_project
from tests.builders import PARAMS

RUNTIME = "unfused"  # what the process of the tests is set up for
LIGHT = {"warmup_steps": 1, "blocks": 2, "steps_per_block": 2}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["cnnprof", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code


def test_a_runtime_is_calibrated_and_predicts_networks_that_were_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert RUNTIME in runtime_names()
    shutil.copytree(PARAMS, tmp_path / "params")
    shutil.copytree(PARAMS.parent / "notebooks", tmp_path / "notebooks")
    preset = tmp_path / "params" / "presets" / "calibrate.yaml"
    text = preset.read_text(encoding="utf-8")
    for key, value in LIGHT.items():
        text = re.sub(rf"^{key}: \d+$", f"{key}: {value}", text, flags=re.MULTILINE)
    preset.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "_MOST_TRIES", 1)  # also on a busy machine

    run(monkeypatch, "calibrate", "--runtime", RUNTIME, "--minutes", "0.05", "--batch-size", "1", "--batch-size", "4")
    assert f"{RUNTIME}: " in capsys.readouterr().out
    project, minutes = find_project(), 0.05
    record = project.store.read_probes(RUNTIME)
    assert record is not None
    while len(record.probes) < FEWEST_PROBES:  # goes on from where it was
        minutes += 0.1
        record = measure_probes(RUNTIME, minutes, project, batch_sizes=(1, 4))
    assert {probe.batch_size for probe in record.probes} == {1, 4}
    made_of = [(probe.network.name, probe.batch_size) for probe in record.probes]
    assert len(set(made_of)) == len(made_of)
    assert all(probe.layers_s for probe in record.probes)

    model = keras.Sequential([keras.layers.Input((24, 24, 3)), keras.layers.Conv2D(16, 3, activation="relu")])
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(10))
    model.save(tmp_path / "own.keras")
    for name in ("stride2", "own.keras"):
        run(monkeypatch, "predict", name, "--runtime", RUNTIME, "--batch-size", "4", "--json")
        shown = json.loads(capsys.readouterr().out)
        low, high = shown["latency_s"]["ci95"]
        assert 0 < low < shown["latency_s"]["median"] < high
        assert all(row["time_s"] is None or row["time_s"] > 0 for row in shown["layers"])
