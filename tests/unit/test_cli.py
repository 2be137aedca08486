"""The command line: what it prints, and one line with status 1 for each mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnnprof_lib import cli, report
from cnnprof_lib.export import pdf
from cnnprof_lib.project import Project
from cnnprof_lib.records import RunRecord
from cnnprof_lib.settings import RUNTIMES, RunRequest
from cnnprof_lib.store import Store
from tests.builders import (
    make_accuracy,
    make_check,
    make_machine,
    make_ops,
    make_record,
    make_roofline,
    write_run,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params").symlink_to(ROOT / "params")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNPROF_DATA", raising=False)
    monkeypatch.setenv("CNNPROF_CACHE", str(tmp_path / "cache"))
    return tmp_path


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cnnprof", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_variants_are_listed_one_line_each(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "variants") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["variant", "title", "parameters", "MACs", "top-1"]
    assert lines[1].split()[0] == "baseline"
    assert "1,068,298   18.47M  not trained" in lines[1]
    assert len(lines) == 1 + len(list((ROOT / "params").glob("*.yaml")))


def test_data_says_how_to_get_images(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "data") == 0
    assert " ".join(capsys.readouterr().out.split()) == (
        "No images yet. Download the official archive with `cnnprof data --download`, "
        "or name a folder, .zip or .tar.gz with --data PATH or CNNPROF_DATA."
    )


def test_show_prints_the_promised_keys(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_record("stride2", "stock", accuracy=make_accuracy())
    Store(Path("outputs")).write_run(record, make_ops(record), "", b"")
    assert command(monkeypatch, "show", "stride2", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    promised = """variant runtime run_id parameters macs_per_image batch_size latency_s profiled_over_plain
        unattributed_share ratio_to_baseline ops layers memory accuracy warnings"""
    assert set(shown) == set(promised.split())
    assert {"op", "time_s", "time_share", "requested_bytes", "occurrences"} <= set(shown["ops"][0])
    assert {"layer", "time_s", "time_share", "macs", "output_bytes"} <= set(shown["layers"][0])
    assert set(shown["latency_s"]) == {"median", "ci95", "steps"}
    assert set(shown["memory"]) == {"requested_bytes", "live_peak_bytes", "rss_bytes"}
    assert set(shown["accuracy"]) == {"top1", "images", "ci95", "dataset", "measured", "weights_sha256"}
    assert command(monkeypatch, "show", "stride2") == 0
    text = capsys.readouterr().out
    assert "stride2, runtime stock" in text
    assert "top-1 86.00%" in text


ERRORS = {
    ("show", "baseline"): (
        "outputs/runs/baseline/stock: holds no run of baseline in runtime stock. Measure one: cnnprof run baseline"
    ),
    ("run", "nosuch", "--generated"): (
        "params/nosuch.yaml: no such file. Known in params: "
        "baseline, filters32, pool-large, smoke, stride2, stride2-filters32, stride3, stride5."
    ),
    (
        "run",
        "--preset",
        "slow",
    ): "params/presets/slow.yaml: no such file. Known in params/presets: check, full, quick, smoke.",
    ("train",): "No variant named. Name one of `cnnprof variants`, or say --all.",
    ("train", "smoke", "--recipe", "slow"): (
        "params/recipes/slow.yaml: no such file. Known in params/recipes: fast, short, thesis, thesis-20000."
    ),
}


@pytest.mark.parametrize("arguments", ERRORS, ids=" ".join)
def test_a_mistake_is_one_line_and_status_1(
    arguments: tuple[str, ...], project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, *arguments) == 1
    captured = capsys.readouterr()
    assert captured.err == ERRORS[arguments] + "\n"
    assert captured.out == ""


def test_images_that_are_named_and_missing_stop_a_run_and_a_training(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("run", "train"):
        assert command(monkeypatch, name, "smoke", "--data", "nowhere.zip") == 1
        line = capsys.readouterr().err
        assert line.startswith("nowhere.zip: ")
        assert line.count("\n") == 1


def test_wrong_usage_has_status_2(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, "run", "--runtime", "fused") == 2
    assert command(monkeypatch, "nosuch") == 2


def test_outside_a_project_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "variants") == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}: neither it nor a folder above it has params/ and notebooks/. Go to a cnnprof project.\n"
    )


def test_the_conditions_of_a_run_are_repeatable_options(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[RunRequest] = []

    def run_notebook(request: RunRequest, project: Project, on_stage: object) -> RunRecord:
        asked.append(request)
        return make_record(request.variant, request.runtime)

    monkeypatch.setattr(report, "run_notebook", run_notebook)
    options = ["--batch-size", "1", "--batch-size", "64", "--threads", "1", "--threads", "2"]
    command(monkeypatch, "run", "smoke", "--runtime", "stock", "--generated", *options)
    assert [(r.batch_size, r.threads, r.purpose) for r in asked] == [
        (1, 1, "scaling"),
        (1, 2, "scaling"),
        (64, 1, "scaling"),
        (64, 2, "scaling"),
    ]
    assert len({r.run_id for r in asked}) == 4
    assert len({r.series for r in asked}) == 1


def test_report_names_its_files_and_what_the_pdf_needs(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "render", lambda project: [Path("report.html"), Path("report.pdf")])
    assert command(monkeypatch, "report") == 0
    assert tuple(capsys.readouterr()) == ("Report: report.html\nReport: report.pdf\n", "")
    monkeypatch.setattr(report, "render", lambda project: [Path("report.html")])
    monkeypatch.setattr(pdf, "NEEDED", ("no_such_package",))
    assert command(monkeypatch, "report") == 0
    assert tuple(capsys.readouterr()) == (
        "Report: report.html\n",
        "The PDF needs the extra cnnprof[pdf]. Install it: make setup, or pip install -e '.[pdf]'\n",
    )


def test_a_report_is_written_again_only_if_another_would_come_of_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    executed: list[Path] = []

    def execute(notebook: Path, output: Path, *_: object, **options: object) -> None:
        executed.append(output)
        output.write_text("{}")

    def export(path: Path) -> list[Path]:
        path.with_suffix(".html").write_text("<p>the report")
        return [path.with_suffix(".html")]

    monkeypatch.setattr(report, "_execute", execute)
    monkeypatch.setattr(report, "export", export)
    write_run(Store(Path("outputs")), make_record("baseline"))
    options = ("report", "--if-changed")
    assert [command(monkeypatch, *options), command(monkeypatch, *options), len(executed)] == [0, 0, 1]
    assert re.fullmatch(
        "Report: outputs/report/report.html\n(The PDF .*\n)?The report would be the same: 3 files, rendered .*\n",
        capsys.readouterr().out,
    )
    assert [command(monkeypatch, "report"), len(executed)] == [0, 2]
    write_run(Store(Path("outputs")), make_record("stride2"))
    assert [command(monkeypatch, *options), len(executed)] == [0, 3]


def test_claims_prints_a_verdict_on_each(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(Store(Path("outputs")), make_record("baseline"))
    assert command(monkeypatch, "claims", "--json") == 0
    judged = json.loads(capsys.readouterr().out)
    assert [claim["number"] for claim in judged] == list(range(1, 16))
    assert command(monkeypatch, "claims") == 0
    text = capsys.readouterr().out
    for claim in judged:
        assert f"\n{claim['number']}. {claim['claim'].rstrip('.')}"[:60] in text, claim


@pytest.mark.parametrize("arguments", [("report",), ("claims",)])
def test_damaged_runs_are_named_in_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    folder = write_run(Store(Path("outputs")), make_record("baseline"))
    record = folder / "record.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "schema_version": 99}))
    assert command(monkeypatch, *arguments) == 1
    assert capsys.readouterr().err == (
        f"{record}: `schema_version`: input should be 1. Received: 99. Remove the run's folder and run again.\n"
    )
    record.unlink()
    assert command(monkeypatch, *arguments) == 1
    assert capsys.readouterr().err == f"{record}: is missing. Remove the run's folder and run again.\n"


def test_a_report_first_measures_what_it_says_of_the_machine(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: started.append(command))
    monkeypatch.setattr(report, "run_notebook", lambda request, *_: make_record(request.variant, request.runtime))
    monkeypatch.setattr(report, "render", lambda project: [project.outputs / "report.html"])
    store = Store(Path("outputs"))
    for runtime in RUNTIMES:
        write_run(store, make_record("baseline", runtime))

    def started_by_a_report(preset: str) -> list[list[str]]:
        started.clear()
        assert command(monkeypatch, "run", "smoke", "--preset", preset, "--generated", "--report") == 0
        assert {tuple(arguments[:3]) for arguments in started} <= {(sys.executable, "-m", "cnnprof_lib")}
        return [arguments[3:] for arguments in started]

    images = ["--rounds", "20", "--generated", "--outputs", "outputs"]
    roofline = ["roofline", "--outputs", "outputs"]
    stock, unfused = (["check", "--runtime", name, *images] for name in ("stock", "unfused"))
    assert started_by_a_report("quick") == [unfused, stock, roofline]
    store.write_check(make_check(machine=make_machine()))
    store.write_roofline(make_roofline())
    assert started_by_a_report("quick") == [unfused]
    for in_doubt in ({"busy_percent": 40.0}, {"schema_version": 1}):
        store.write_roofline(make_roofline(**in_doubt))
        assert started_by_a_report("quick") == [unfused, roofline]
    store.write_check(make_check(machine=make_machine(cpu="Another CPU")))
    store.write_roofline(make_roofline(cpu="Another CPU"))
    assert started_by_a_report("quick") == [unfused, stock, roofline]
    assert started_by_a_report("smoke") == []
