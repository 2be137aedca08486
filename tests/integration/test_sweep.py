"""Sweeps with real processes on loopback: workers killed, a cluster of jobs, a scheduler that is not ours."""

from __future__ import annotations

import os
import re
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


def sweep(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnprof_lib", "sweep", "one", "--preset", "smoke", "--generated", *options]
    return subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True)


def stored(project: Path) -> list[str]:
    folders = list((project / "outputs/sweeps").glob("*/*/*"))
    return [path.name for folder in folders for path in sorted(folder.iterdir())]


WHOLE = ["notebook.ipynb", "ops.parquet", "profiler.txt", "record.json", "trace.json.gz"]


def test_killed_workers_lose_nothing() -> None:
    command = [sys.executable, "benchmarks/sweep_kills.py", "--kills", "3", "--asker-kills", "1"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
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
