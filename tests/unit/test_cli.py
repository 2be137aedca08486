"""The command line: what it prints, and one line with status 1 for each mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cnnprof_lib import cli
from cnnprof_lib.store import Store
from tests.builders import make_accuracy, make_ops, make_record

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
        "params/recipes/slow.yaml: no such file. Known in params/recipes: fast, short, thesis."
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
