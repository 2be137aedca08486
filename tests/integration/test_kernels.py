"""Notebooks that die, and what is said of it; where they run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

from cnnprof_lib.app import notebook, runs
from cnnprof_lib.params.settings import RunRequest
from cnnprof_lib.records.project import find_project
from cnnprof_lib.records.run import FailureRecord

KILLED = "The kernel was killed (SIGKILL): by somebody, or because the machine ran out of memory."
DEATHS = {
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": KILLED,
    "import os, signal; os.write(2, b'Allocation of 8 GB\\n\\n'); os.kill(os.getpid(), signal.SIGKILL)": (
        f"{KILLED} Its last words: Allocation of 8 GB"
    ),
    "import os; os.write(2, b'F check failed: n > 0\\n'); os.abort()": (
        "The kernel died of SIGABRT. Its last words: F check failed: n > 0"
    ),
    "import os; os._exit(3)": "The kernel ended early, with status 3.",
    "raise SystemExit('no way')": "SystemExit: no way",
    "raise MemoryError('Unable to allocate 8 GiB')": "MemoryError: Unable to allocate 8 GiB",
    "from cnnprof_lib.base.errors import MeasureError; raise MeasureError('one line')": "one line",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params", "notebooks", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def write_notebook(folder: Path, code: str) -> None:
    parameters = nbformat.v4.new_code_cell("outputs = ''", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(code)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "run_variant.ipynb")


@pytest.mark.parametrize("code", DEATHS)
def test_a_kernel_that_dies_is_a_failure_that_says_how(project: Path, code: str) -> None:
    write_notebook(project / "notebooks", code)
    request = RunRequest(variant="smoke", runtime="stock", preset="smoke", run_id="a", series="a")
    result = runs.run_notebook(request, find_project(), lambda *_: None)
    assert isinstance(result, FailureRecord)
    assert result.error == DEATHS[code]
    folder = project / "outputs/runs/smoke/stock/a"
    assert sorted(path.name for path in folder.iterdir()) == ["failure.json", "notebook.ipynb"]
    assert list((project / "tmp").iterdir()) == []


def test_a_notebook_runs_where_the_command_was_called(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_notebook(project / "notebooks", "import os; print(os.getcwd(), outputs)")
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    said = io.StringIO()
    executed, error = notebook.execute("run_variant.ipynb", {}, find_project(), said)
    assert error is None
    assert said.getvalue() == f"{project}/below ../outputs\n"
    assert f"{project}/below ../outputs" in executed


def test_by_hand_a_notebook_finds_its_project_from_its_own_folder(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    code = "from cnnprof_lib.records.project import find_project; print(find_project().params)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root / "notebooks", env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.stdout == "../params\n"
