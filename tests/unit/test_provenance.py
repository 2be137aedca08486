"""What a report was made of, and what is said when that changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cnnprof_lib.app import provenance
from cnnprof_lib.base.errors import ReportError
from cnnprof_lib.records.project import Project
from tests.builders import MACHINE_KEY, make_check, make_failure, make_record, write_run

RUN_ID = "20261124T000000Z-0000"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with two runs, a failure, a check and a report."""
    project = Project(tmp_path, tmp_path / "outputs")
    (tmp_path / "requirements.lock").write_text("numpy==2.2\n")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "report.ipynb").write_text("{}")
    for runtime in ("unfused", "stock"):
        write_run(project.store, make_record("baseline", runtime))
    project.store.write_failure(make_failure("stride2"))
    project.store.write_check(make_check())
    html = project.store.report_dir / "report.html"
    html.parent.mkdir(parents=True)
    html.write_text("<p>the report")
    provenance.write(project, provenance.inputs(project.store), provenance.sources(project), [html])
    return project


def test_a_report_names_every_file_it_reads(project: Project) -> None:
    record = provenance.check(project)
    runs = [f"runs/baseline/{runtime}/{RUN_ID}" for runtime in ("stock", "unfused")]
    assert sorted(record.inputs) == [
        f"check/{MACHINE_KEY}/stock.json",
        *(f"{run}/{name}" for run in runs for name in ("ops.parquet", "profiler.txt", "record.json")),
        f"runs/stride2/unfused/{RUN_ID}/failure.json",
    ]
    assert list(record.files) == ["report/report.html"]
    assert record.lock_sha256 == provenance.lock_sha256(project)


def complaint(project: Project) -> str:
    with pytest.raises(ReportError) as caught:
        provenance.check(project)
    return str(caught.value)


def test_what_changed_is_named(project: Project) -> None:
    (project.outputs / f"check/{MACHINE_KEY}/stock.json").unlink()
    profile = project.outputs / "runs/baseline/stock" / RUN_ID / "profiler.txt"
    profile.write_text("another")
    (project.outputs / "report/report.html").write_text("<p>written over")
    newer = make_record("baseline", "unfused", run_id="20261124T000001Z-0000")
    write_run(project.store, newer)
    assert complaint(project) == (
        f"{project.outputs}/report: the report no longer matches what is stored. Received: "
        f"check/{MACHINE_KEY}/stock.json is gone, "
        f"runs/baseline/stock/{RUN_ID}/profiler.txt changed, runs/baseline/unfused/{RUN_ID}/ops.parquet is gone "
        "and 6 more. Write it again: cnnprof report"
    )


def test_a_report_that_was_written_over_is_found(project: Project) -> None:
    (project.outputs / "report/report.html").write_text("<p>written over")
    assert complaint(project) == (
        f"{project.outputs}/report: the report no longer matches what is stored. "
        "Received: report/report.html changed. Write it again: cnnprof report"
    )


def test_without_a_report_it_says_so(tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path / "outputs")
    assert complaint(project) == (
        f"{tmp_path}/outputs/report/report.json: there is no report to check. Write it: cnnprof report"
    )


@pytest.mark.parametrize(
    "name",
    [
        "notebooks/report.ipynb",
        "requirements.lock",
        f"outputs/check/{MACHINE_KEY}/stock.json",
        "outputs/report/report.html",
    ],
)
def test_a_report_is_current_until_a_file_changes(project: Project, name: str) -> None:
    assert provenance.is_current(project)
    path = project.root / name
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    assert not provenance.is_current(project)
    path.write_bytes(before)
    assert provenance.is_current(project)


@pytest.mark.parametrize("name", ["app/provenance.py", "templates/paper/report.typ", "thesis/claims.yaml", None])
def test_a_report_of_another_library_is_not_current(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    library = project.root / "cnnprof_lib"
    shutil.copytree(Path(provenance.__file__).parents[1], library, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "__file__", str(library / "app/provenance.py"))
    assert provenance.is_current(project)
    if name is None:
        (library / "new.py").touch()
    else:
        (library / name).write_text("another")
    assert not provenance.is_current(project)


def test_a_report_of_another_commit_or_other_packages_is_not_current(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name, value in ((Project, "commit", "another"), (provenance, "distributions", [])):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, lambda *_, value=value: value)
            assert not provenance.is_current(project), name
    assert provenance.is_current(project)


def test_a_report_that_cannot_be_judged_is_not_current(project: Project) -> None:
    (project.outputs / "runs/baseline/stock" / RUN_ID / "record.json").write_text("{}")
    assert not provenance.is_current(project)
    shutil.rmtree(project.outputs)
    assert not provenance.is_current(project)
