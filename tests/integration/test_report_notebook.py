"""The notebooks of the analysis side, executed on made-up records."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from cnnprof_lib.analysis.accuracy import shown as accuracy_shown
from cnnprof_lib.app import provenance
from cnnprof_lib.app.report import render
from cnnprof_lib.records.project import Project
from cnnprof_lib.records.store import Store
from tests.builders import RUN_ID, RUNTIMES, make_accuracy, make_failure, make_record, write_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _package_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outputs")


def execute(name: str, store: Store) -> nbformat.NotebookNode:
    return papermill.execute_notebook(
        ROOT / "notebooks" / name,
        store.outputs.parent / name,
        {"outputs": str(store.outputs)},
        kernel_name="python3",
        cwd=ROOT / "notebooks",
        progress_bar=False,
    )


def outputs_of(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """All outputs of one MIME type, in order."""
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def test_report_shows_runs_failures_and_the_thesis(store: Store) -> None:
    hostile = make_record("baseline").variant.model_copy(update={"title": "<script>alert(1)</script>"})
    write_run(store, make_record(hostile, accuracy=make_accuracy(8600, measured=False)))
    write_run(store, make_record("baseline", "stock"))
    write_run(store, make_record("stride2", accuracy=make_accuracy(7960)))
    store.write_failure(make_failure("stride2", "stock", error="out of memory"))
    store.write_failure(make_failure("stride3", error="out of memory"))

    notebook = execute("report.ipynb", store)

    html, prose = "".join(outputs_of(notebook, "text/html")), "\n".join(outputs_of(notebook, "text/markdown"))
    assert re.findall(r"^### `(.*?)`", prose, flags=re.MULTILINE) == ["baseline", "stride2", "stride3"]
    assert prose.count("the run failed**: out of memory") == 2
    assert "Profiled here: 3 variants, in 2 runtimes (unfused and stock)." in prose
    assert html.count("failed: out of memory") == 2
    assert html.count("recorded, not measured here") == 1
    assert re.findall(r"<caption>(Ops.*?|Table.*?)</caption>", html) == [
        "Ops of baseline, unfused",
        "Table 4.3 of the thesis, as printed",
        "Ops of baseline, stock",
        "Ops of stride2, unfused",
        "Table 4.4 of the thesis, its rows named by their bytes: the printed names are misaligned",
    ]
    assert html.count("<details>") == 4
    assert html.count("not testable here") > 0
    assert "Of 79 printed rows" not in prose  # only tables of variants that were measured are judged
    assert re.search(r"Of \d+ printed rows, \d+ cannot belong to the op they are named after", prose)
    assert "Conv2D | 22.84MB (100.00%, 31.86%)" in html
    drawn = [re.search(r'id="caption:([\w-]*):', svg)[1] for svg in outputs_of(notebook, "image/svg+xml")]
    keys = ["ratio", "ops-unfused", "ops-stock", "stride", "overhead", "memory-unfused", "network-unfused", "", ""]
    assert drawn == keys
    referred = set(re.findall(r"\(#([FT]_[\w-]+)\)", prose))
    assert referred == {
        "T_overview", "T_claims", "F_ops-unfused", "F_stride", "F_overhead"
    }  # fmt: skip
    assert prose.count(accuracy_shown.NO_FRONTIER) == 1  # these runs have no reference
    assert referred <= {f"F_{key}" for key in drawn} | set(re.findall(r'id="(T_[a-z]+)"', html))
    assert "<script" not in html + prose


def test_report_is_the_same_without_tensorflow(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for runtime in RUNTIMES:
        for name in ("baseline", "stride2"):
            write_run(store, make_record(name, runtime, accuracy=make_accuracy(8600)))
    usual = execute("report.ipynb", store)

    hidden = store.outputs.parent / "hidden"
    hidden.mkdir()
    for package in ("tensorflow", "keras"):
        (hidden / f"{package}.py").write_text(f"raise ImportError('{package} is hidden')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(hidden), str(ROOT)]))
    without = execute("report.ipynb", store)
    for kind in ("text/markdown", "text/html", "image/svg+xml"):
        shown, again = (
            [re.sub(r"T_[0-9a-f]{5}|\d{4}-\d\d-\d\dT[\d:.]+", "", text) for text in outputs_of(notebook, kind)]
            for notebook in (usual, without)
        )
        assert shown, kind
        assert shown == again, kind


def test_report_of_nothing_fails_in_one_line(store: Store) -> None:
    with pytest.raises(PapermillExecutionError) as caught:
        execute("report.ipynb", store)
    assert caught.value.ename == "StoreError"
    assert caught.value.evalue == f"{store.outputs / 'runs'}: nothing measured yet. Measure first: cnnprof run"


def test_report_of_failures_alone_still_reports(store: Store) -> None:
    store.write_failure(make_failure("stride2", error="out of memory"))
    notebook = execute("report.ipynb", store)
    assert "failed: out of memory" in "".join(outputs_of(notebook, "text/html"))
    assert outputs_of(notebook, "image/svg+xml") == []


def test_a_run_without_its_executions_is_passed_over_and_told(store: Store) -> None:
    write_run(store, make_record("baseline"))
    missing = write_run(store, make_record("stride2")) / "ops.parquet"
    missing.unlink()
    html, *_ = render(Project(ROOT, store.outputs))
    assert "ops.parquet: is missing. Remove that folder, or run again: cnnprof run" in html.read_text()
    assert provenance.check(Project(ROOT, store.outputs)).inputs[f"runs/stride2/unfused/{RUN_ID}"] == "cannot be read"
