"""The library without the wing of the thesis: profiling, comparing and reporting stay intact."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnprof_lib.measure.machine import describe
from cnnprof_lib.records.store import Store
from tests.builders import make_accuracy, make_record, write_run

ROOT = Path(__file__).parents[2]
HIDES = """
import sys

class Hider:
    def find_spec(self, name, *_):
        if name.startswith("cnnprof_lib.thesis"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hider())
"""
"""An editable installation would find the folder in the checkout."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with stored runs, and a library that lacks the folder."""
    for name in ("params", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "cnnprof_lib", tmp_path / "cnnprof_lib", ignore=shutil.ignore_patterns("thesis", "__pyc*"))
    (tmp_path / "sitecustomize.py").write_text(HIDES)
    for name in ("baseline", "stride2"):
        for runtime in ("unfused", "stock"):
            here = describe(onednn=True)  # as of another machine it would not be shown in full
            made = make_record(name, runtime, accuracy=make_accuracy(), machine=here)
            write_run(Store(tmp_path / "outputs"), made)
    return tmp_path


def cnnprof(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-m", "cnnprof_lib", *arguments]
    environment = {**kept, "PYTHONPATH": str(project)}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)


def test_runs_are_made_compared_and_reported(project: Path) -> None:
    done = cnnprof(project, "run", "smoke", "--preset", "smoke", "--runtime", "stock", "--generated", "--report")
    assert done.returncode == 0, done.stderr
    assert json.loads(cnnprof(project, "show", "stride2", "--json").stdout)["variant"] == "stride2"
    assert json.loads(cnnprof(project, "diff", "baseline", "stride2", "--json").stdout)["runtime"] == "stock"
    page = (project / "outputs/report/report.html").read_text(encoding="utf-8")
    assert "Ops of stride2, unfused" in page
    assert "Ops of smoke, stock" in page
    for text in ("Claims of the thesis", "Published figures", "In the thesis", "Table 4.4"):
        assert text not in page


def test_only_its_own_command_needs_it(project: Path) -> None:
    done = cnnprof(project, "claims")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cnnprof_lib/thesis: is missing. It holds the claims. Install the whole of cnnprof.\n"
