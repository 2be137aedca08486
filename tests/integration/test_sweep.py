"""Sweeps with real processes on loopback: workers killed, a cluster of jobs, a scheduler that is not ours."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("distributed")

ROOT = Path(__file__).parents[2]
ONE = "title: One small network\nextends: smoke\nchanges:\n  wide: {conv1: {filters: 12}}\nruntimes: [stock]\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose only sweep has one network."""
    for folder in ("params/sweeps", "params/presets"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("params/smoke.yaml", "params/presets/smoke.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "params/sweeps/one.yaml").write_text(ONE)
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    return tmp_path


def environment() -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    return {**clean, "PYTHONPATH": str(ROOT)}


def command(name: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "cnnprof_lib", "sweep", name, "--preset", "smoke", "--generated", *options]


def sweep(project: Path, *options: str, name: str = "one") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(name, *options), cwd=project, env=environment(), capture_output=True, text=True)


def stored(project: Path) -> list[str]:
    folders = list((project / "outputs/sweeps").glob("*/*/*"))
    return [path.name for folder in folders for path in sorted(folder.iterdir())]


WHOLE = ["notebook.ipynb", "ops.parquet", "profiler.txt", "record.json", "trace.json.gz"]


def test_killed_workers_lose_nothing() -> None:
    kills = [sys.executable, "benchmarks/sweep_kills.py", "--kills", "3", "--asker-kills", "1"]
    done = subprocess.run(kills, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "killed 3 workers and 1 commands: lost 0, doubled 0, half 0, left 0"


def test_jobs_of_a_batch_system_make_runs(project: Path) -> None:
    (project / "jobs.yaml").write_text("kind: local\njobs: 1\noptions: {cores: 1, memory: 2GB}\n")
    done = sweep(project, "--cluster", "jobs.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored(project) == WHOLE
    assert re.fullmatch(
        r"one: 1 run: 0 stored, 1 to make; no stored run tells how long that takes\.\n"
        r"\[1/1\] smoke-wide stock, batch of 32: \S+ per step\n",
        done.stdout,
    )
    again = sweep(project, "--cluster", "jobs.yaml")
    assert again.stdout == "one: 1 run, all stored.\n"


@contextmanager
def started(*arguments: str, folder: Path) -> Iterator[None]:
    log = (folder / f"{arguments[0]}.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
        cwd=folder, env=environment(), stdout=log, stderr=log,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_a_scheduler_elsewhere_is_reached_by_tls_alone(project: Path, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=cnnprof"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    files = [str(certificate), str(certificate), str(key)]
    tls = [word for pair in zip(("--tls-ca-file", "--tls-cert", "--tls-key"), files, strict=True) for word in pair]
    address_file = tmp_path / "scheduler.json"
    at = ["--scheduler-file", str(address_file), *tls]
    with started("scheduler", *at, "--host", "tls://127.0.0.1", "--port", "0", "--no-dashboard", folder=tmp_path):
        for _ in range(300):
            if address_file.exists():
                break
            time.sleep(0.1)
        address = re.search(r"tls://127\.0\.0\.1:\d+", address_file.read_text())
        assert address
        with started("worker", *at, "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard", folder=tmp_path):
            done = sweep(project, "--scheduler", address[0], "--tls", *files)
        assert done.returncode == 0, done.stdout + done.stderr
        assert stored(project) == WHOLE
        (project / "outputs/sweeps/smoke-wide").rename(tmp_path / "aside")
        without = sweep(project, "--scheduler", address[0])
        assert without.returncode == 1
        assert without.stderr.startswith(f"{address[0]}: cannot be reached or started. Received: ")
        assert len(without.stderr.splitlines()) == 1


def test_a_run_that_always_fails_is_tried_twice_and_kept_with_its_notebook(project: Path) -> None:
    (project / "broken.onnx").write_bytes(b"no model")
    (project / "params/sweeps/broken.yaml").write_text(f"{ONE}variants: [broken.onnx]\n")
    done = sweep(project, name="broken")
    assert done.returncode == 1
    failed = re.search(r"broken stock, batch of 32: failed: (.+) It is tried once more\.\n", done.stderr)
    assert failed, done.stderr
    assert done.stderr.count("It is tried once more.") == 1
    assert done.stderr.endswith(
        "1 of 2 runs failed; the notebooks are in outputs/sweeps. The same command tries them again.\n"
    )
    (kept,) = (project / "outputs/sweeps/broken/stock").iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["failure.json", "notebook.ipynb"]
    assert json.loads((kept / "failure.json").read_bytes())["error"] == failed[1]
    (made,) = (project / "outputs/sweeps/smoke-wide/stock").iterdir()
    assert sorted(path.name for path in made.iterdir()) == WHOLE


def test_a_disk_that_fills_up_loses_nothing_complete(project: Path) -> None:
    """The system refuses the second result: whoever asked may not write so large a file any more."""
    (project / "params/sweeps/two.yaml").write_text(ONE.replace("runtimes", "  thin: {conv1: {filters: 4}}\nruntimes"))
    home = project / "outputs/sweeps"
    pipe = subprocess.PIPE
    asked = subprocess.Popen(command("two"), cwd=project, env=environment(), stdout=pipe, stderr=pipe, text=True)
    while asked.poll() is None and not list(home.glob("*/*/*/record.json")):
        time.sleep(0.05)
    resource.prlimit(asked.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    _, told = asked.communicate(timeout=300)
    assert asked.returncode == 1
    assert re.fullmatch(
        r"outputs/sweeps/smoke-(wide|thin)/stock/\S+: cannot be written\. Received: File too large\. What was there "
        r"before is intact: make room and start the same command again\.",
        told.splitlines()[-1],
    ), told
    assert stored(project) == WHOLE
    assert [path for path in home.rglob(".*") if path.is_dir()] == []
    again = sweep(project, name="two")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("two: 2 runs: 1 stored, 1 to make")
    assert stored(project) == WHOLE * 2
