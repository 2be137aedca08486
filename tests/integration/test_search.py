"""The search `smoke` on real images: tried, trained and told, then stopped in the middle and gone on with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from cnnprof_lib.measure.calibration.design import designed
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.records.calibration import ProbeRecord, ProbesRecord
from cnnprof_lib.records.store import Store
from tests.builders import PARAMS, make_machine

ROOT = Path(__file__).parents[2]
REAL_IMAGES = os.environ.get("CNNPROF_DATA", "")
pytestmark = pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")


def calibration(count: int = 60) -> ProbesRecord:
    """A machine that does a multiply-add in a nanosecond; what it really does is no matter of this test."""
    baseline = load_variant("baseline", PARAMS)
    drawn = [designed(index, 1, baseline, (32,)) for index in range(count)]
    probes = tuple(
        ProbeRecord(
            family=each.family,
            network=each.variant.network,
            batch_size=each.batch_size,
            step_s=1e-4 + 1e-9 * each.variant.network.macs_per_image * each.batch_size,
            reference_s=2e-3,
            waited_share=0.0,
        )
        for each in drawn
    )
    return ProbesRecord(
        created="2026-11-24T00:00:00+00:00",
        runtime="stock",
        machine=make_machine("stock"),
        versions={},
        reference="baseline with batches of 8",
        seed=1,
        drawn=count,
        spent_s=60.0,
        probes=probes,
    )


def search(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-m", "cnnprof_lib", "search", "smoke", "--data", REAL_IMAGES, *options]
    where = {"cwd": project, "env": {**environment, "PYTHONPATH": str(ROOT)}}
    return subprocess.run(command, **where, capture_output=True, text=True)  # type: ignore[call-overload]


def test_a_search_on_real_images_goes_on_and_ends_in_a_variant_that_can_be_run(tmp_path: Path) -> None:
    for name in ("params", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    store = Store(tmp_path / "outputs")
    store.write_probes(calibration())

    done = search(tmp_path, "--keep")
    assert done.returncode == 0, done.stderr
    assert (
        "smoke: 2 candidates and 1 picked: 3 to try by smoke (20 steps), up to 1 to train by smoke (20 steps); "
        "no stored training tells how long that takes."
    ) in done.stdout.splitlines()
    found = store.read_search("smoke")
    assert found is not None and (found.networks, found.within) == (2, 2)
    tried = store.candidates("smoke")
    assert sorted(each.variant.name for each in tried.values()) == ["smoke", "smoke-s8d2-8x1d2", "smoke-s8d2-p8x1d2"]
    assert {each.trial.held_out.images for each in tried.values() if each.trial} == {1000}
    (winner,) = (tried[key].variant for key in found.finalists)
    assert store.trained_variants() == [winner.name]
    assert load_variant(winner.name, tmp_path / "params").layers == winner.layers
    assert (store.search_dir("smoke") / "tried.svg").is_file()

    lost = next(path for path in (store.search_dir("smoke") / "candidates").iterdir() if winner.name not in path.name)
    lost.unlink()
    again = search(tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 to try by smoke (20 steps), up to 1 to train" in again.stdout
    assert store.candidates("smoke").keys() == tried.keys()
    told = search(tmp_path).stdout.splitlines()
    assert "smoke: 2 candidates and 1 picked, all tried, and the finalists trained." in told
