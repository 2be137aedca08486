"""Searches: which networks are tried, what is stored of them, that they go on, and how they are shown."""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

pytest.importorskip("sklearn")

from cnnprof_lib.analysis.prediction.numbers import Prediction
from cnnprof_lib.analysis.searches import numbers, shown
from cnnprof_lib.app import cli, searching
from cnnprof_lib.app.search_plan import SearchPlan, plan_search
from cnnprof_lib.app.search_sections import search_parts
from cnnprof_lib.app.study import Study
from cnnprof_lib.base.errors import CnnprofError, StoreError, TrainingError, VariantError
from cnnprof_lib.base.locks import only_process
from cnnprof_lib.measure.images.cache import DataSet
from cnnprof_lib.measure.training import train
from cnnprof_lib.params.network import Network
from cnnprof_lib.params.reading import load_recipe, load_variant
from cnnprof_lib.params.search import load_search
from cnnprof_lib.params.settings import RecipeSpec
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records import run as records
from cnnprof_lib.records.project import Project
from cnnprof_lib.records.search import CandidateRecord, ForecastRecord, SearchRecord
from cnnprof_lib.records.store import Store
from cnnprof_lib.records.training import TrialRecord
from tests.builders import PARAMS, make_accuracy, make_machine, make_record, write_run

SEARCH = """title: Tiny networks
space:
  input: {height: 24, width: 24, channels: 3}
  classes: 10
  stem: {filters: [4, 8], stride: [2]}
  stages:
    - {blocks: [0, 1], kind: [residual, plain], filters: [8], stride: [2]}
runtime: stock
batch_size: 32
baseline: baseline
target_ratio: 0.004
candidates: 3
proxy: brief
finalists: 1
recipe: longer
compare: [smoke]
"""
RECIPE = """optimizer: {type: sgd}
schedule: {type: constant, rate: 0.05}
steps: STEPS
batch_size: 16
augmentation: {}
held_out: 20
checkpoint_every: 3
seed: 1
"""
NAMES = ["tiny-s8d2-p8x1d2", "tiny-s8d2", "tiny-s4d2-8x1d2"]


class Killed(Exception):
    """Stands for the end of the process."""


class ByMacs:
    """Predicts one nanosecond a multiply-add, give or take a tenth."""

    def predict(self, network: Network, batch_size: int) -> Prediction:
        latency_s = network.macs_per_image * batch_size * 1e-9
        outside = ("block1_add",) if any(layer.name == "block1_add" for layer in network.layers) else ()
        return Prediction(latency_s, latency_s / 1.1, latency_s * 1.1, {}, 0.0, outside)


@pytest.fixture(autouse=True)
def _predicted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Study, "predictor", lambda self, runtime="stock": ByMacs())
    yield
    plt.close("all")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for folder in ("searches", "recipes"):
        (tmp_path / "params" / folder).mkdir(parents=True)
    for name in ("baseline", "smoke"):
        shutil.copy(PARAMS / f"{name}.yaml", tmp_path / "params")
    (tmp_path / "params/searches/tiny.yaml").write_text(SEARCH)
    for name, steps in (("brief", "6"), ("longer", "9")):
        (tmp_path / f"params/recipes/{name}.yaml").write_text(RECIPE.replace("STEPS", steps))
    (tmp_path / "notebooks").mkdir()
    return Project(tmp_path, tmp_path / "outputs")


@pytest.fixture(scope="module")
def images() -> DataSet:
    rng = np.random.default_rng(0)
    labels = np.arange(120, dtype=np.int32) % 10
    pixels = rng.integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    return DataSet("made up", "0" * 64, tuple("abcdefghij"), pixels[:100], labels[:100], pixels[100:], labels[100:])


def planned(project: Project, old: str = "", new: str = "") -> SearchPlan:
    (project.params / "searches/tiny.yaml").write_text(SEARCH.replace(old, new) if old else SEARCH)
    return plan_search(load_search("tiny", project.params), project)


def make(project: Project, images: DataSet, kill_after: str = "") -> tuple[list[str], list[CnnprofError]]:
    """Makes the search, up to the end of one network's training if so said."""
    ended: list[str] = []

    def on_end(variant: VariantSpec, result: object) -> None:
        ended.append(f"{type(result).__name__} {variant.name}")

    def on_row(variant: VariantSpec, recipe: RecipeSpec, row: Any) -> None:
        if variant.name == kill_after and row.step == 3:
            raise Killed

    found = planned(project)
    searching.store_plan(found, project.store)
    if not found.untried and not found.untrained:
        return ended, []
    return ended, searching.make_search(found, images, project.store, on_row, on_end)


# Which networks are tried


def test_those_that_compute_much_in_their_time_and_are_little_alike_are_tried() -> None:
    macs, ratios = [100, 90, 80, 20, 10, 70], [0.5, 0.4, 0.4, 0.4, 0.3, 0.2]
    choices = [(1, 1, 1), (1, 1, 2), (2, 2, 2), (3, 3, 3), (4, 4, 4), (1, 2, 2)]
    # Shares: 1, 1, 80/90, 20/90, 10/70, 1. The half with the larger ones: the networks 0, 1 and 5.
    assert numbers.most_unlike(macs, ratios, choices, 3) == [0, 5, 1]
    assert numbers.most_unlike(macs, ratios, choices, 4) == [0, 2, 1, 5]  # 80/90 now stays, and differs most
    assert numbers.most_unlike(macs, ratios, choices, 99) == [0, 2, 3, 4, 1, 5]
    assert numbers.most_unlike([], [], [], 3) == []


def test_time_is_expected_by_the_trainings_of_the_same_recipe_that_are_nearest() -> None:
    recipe = load_recipe("proxy", PARAMS)
    others = [("fast", 1e6, 9.0)]
    known = [("proxy", 1e6, 1e-3), ("proxy", 2e6, 3e-3), ("proxy", 4e6, 4e-3), ("proxy", 1e9, 50.0)]
    assert numbers.expected_s(2e6, recipe, []) is None
    assert numbers.expected_s(2e6, recipe, others) == pytest.approx(18 * 128 * recipe.steps)
    assert numbers.expected_s(2e6, recipe, [*known, *others]) == pytest.approx(2e-3 * 128 * recipe.steps)


def test_a_ratio_is_as_unsure_as_both_latencies_together() -> None:
    network, baseline = (load_variant(name, PARAMS).network for name in ("smoke", "baseline"))
    found = numbers.forecast(ByMacs(), ByMacs().predict(baseline, 8), network, 8)  # type: ignore[arg-type]
    assert found.ratio == pytest.approx(network.macs_per_image / baseline.macs_per_image)
    assert found.ratio_high / found.ratio == pytest.approx(1.1 ** (2**0.5))
    assert found.ratio / found.ratio_low == pytest.approx(1.1 ** (2**0.5))


def test_a_plan_says_what_there_is_and_what_it_costs(project: Project) -> None:
    found = planned(project)
    assert [candidate.variant.name for candidate in found.candidates] == [*NAMES, "smoke"]
    assert [candidate.picked for candidate in found.candidates] == [False] * 3 + [True]
    assert list(found.describe()) == [
        "tiny: 6 networks, 5 predicted to take at most 0.004 of the latency of baseline in stock, in stock with "
        "batches of 32. By their 95% intervals 0 of these may be slower, and 1 others as fast.",
        "tiny: some layers of 1 network to try were not calibrated for.",
        "tiny: 3 candidates and 1 picked: 4 to try by brief (6 steps), up to 1 to train by longer (9 steps); no stored "
        "training tells how long that takes.",
    ]
    assert not project.outputs.exists()


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        (
            "target_ratio: 0.004",
            "target_ratio: 0.0001",
            VariantError,
            "{params}/searches/tiny.yaml: `target_ratio` and `least_ratio` must let some network of the space pass. "
            "Received: 0.0001 and 0, where 6 are predicted at ",
        ),
        ("compare: [smoke]", "compare: [nobody]", VariantError, "{params}/nobody.yaml: no such file. Known in "),
        (
            "recipe: longer",
            "recipe: other",
            VariantError,
            "{params}/searches/tiny.yaml: `recipe` must name one that holds out the images that brief does, 20, for "
            "they choose. Received: other, which holds out 10. Name another.",
        ),
        (
            "proxy: brief",
            "proxy: none",
            VariantError,
            "{params}/searches/tiny.yaml: `proxy` must name a recipe that holds images out, for they choose. "
            "Received: none, which holds none. Name another.",
        ),
        (
            "recipe: longer",
            "recipe: taught",
            TrainingError,
            "recipe taught, `teacher.name`: must be a network with reference weights. Received: baseline, which has "
            "none. Train it first: cnnprof train baseline",
        ),
    ],
)
def test_what_cannot_be_searched_is_one_line(
    project: Project, old: str, new: str, error: type[CnnprofError], message: str
) -> None:
    recipes = project.params / "recipes"
    whole = RECIPE.replace("STEPS", "6")
    (recipes / "other.yaml").write_text(whole.replace("held_out: 20", "held_out: 10"))
    (recipes / "none.yaml").write_text(whole.replace("held_out: 20", "held_out: 0"))
    teacher = "teacher: {name: baseline, temperature: 4.0, weight: 0.9, epochs: 2}\n"
    (recipes / "taught.yaml").write_text(whole + teacher)
    with pytest.raises(error) as caught:
        planned(project, old, new)
    assert str(caught.value).startswith(message.format(params=project.params))


# Making it


def test_a_search_that_was_killed_goes_on_and_only_its_finalist_becomes_a_reference(
    project: Project, images: DataSet
) -> None:
    store = project.store
    with pytest.raises(Killed):
        make(project, images, kill_after=NAMES[1])
    assert [bool(record.trial) for record in store.candidates("tiny").values()].count(True) == 1
    assert store.training_dir(NAMES[1], "brief-seed1").joinpath("checkpoint.npz").exists()
    ended, failed = make(project, images)
    assert failed == []
    stored = store.candidates("tiny")
    search = store.read_search("tiny")
    assert search is not None and len(search.finalists) == 1
    winner = stored[search.finalists[0]].variant
    assert ended == [
        *(f"TrialRecord {name}" for name in (*NAMES[1:], "smoke")),
        f"TrainingRecord {winner.name}",
    ]
    assert all(record.trial for record in stored.values())
    assert store.trained_variants() == [winner.name]
    assert numbers.best(stored.values(), 1)[0].variant == winner
    assert make(project, images) == ([], [])
    assert store.unreadable() == {}
    assert list(planned(project).describe())[-1] == (
        "tiny: 3 candidates and 1 picked, all tried, and the finalists trained."
    )


def test_a_network_that_cannot_be_trained_holds_up_no_other(
    project: Project, images: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_out = train.try_out

    def refuse(variant: VariantSpec, *rest: Any) -> TrialRecord:
        if variant.name == NAMES[0]:
            raise TrainingError("no luck")
        return try_out(variant, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(train, "try_out", refuse)
        ended, failed = make(project, images)
    assert list(map(str, failed)) == ["no luck"]
    assert ended[0] == f"TrainingError {NAMES[0]}"
    assert len(project.store.trained_variants()) == 1
    ended, failed = make(project, images)
    assert (ended[0], failed) == (f"TrialRecord {NAMES[0]}", [])


def test_a_changed_file_keeps_what_was_tried_and_says_so(project: Project, images: DataSet) -> None:
    make(project, images)
    found = planned(project, "stride: [2]}\nruntime", "stride: [1]}\nruntime")
    before = {record.variant.name for record in project.store.candidates("tiny").values()}
    assert set(found.earlier) == before - {candidate.variant.name for candidate in found.candidates}
    told = next(line for line in found.describe() if "earlier" in line)
    assert told.startswith("tiny: kept of an earlier file, proxy or calibration, and not counted now: tiny-s")
    searching.store_plan(found, project.store)
    rows = Study(project.store).tried()
    assert set(rows.loc[rows["role"] == numbers.EARLIER, "variant"]) == set(found.earlier)
    assert before <= set(rows["variant"])


def test_a_changed_proxy_tries_all_again(project: Project, images: DataSet) -> None:
    make(project, images)
    brief = project.params / "recipes/brief.yaml"
    brief.write_text(brief.read_text().replace("rate: 0.05", "rate: 0.04"))
    found = planned(project)
    assert len(found.untried) == 4
    assert len(project.store.candidates("tiny")) == 4


def test_other_images_are_refused(project: Project, images: DataSet) -> None:
    make(project, images)
    others = dataclasses.replace(images, name="mine", sha256="1" * 64)
    with pytest.raises(StoreError) as caught:
        searching.check_data(planned(project), others, project)
    assert str(caught.value) == (
        f"{project.outputs}/searches/tiny: holds networks tried on made up. Received: mine, other images. "
        "Name the same, or move the folder aside to begin anew."
    )
    fewer = dataclasses.replace(images, classes=tuple("abc"))
    with pytest.raises(VariantError) as caught:
        searching.check_data(planned(project), fewer, project)
    assert str(caught.value).startswith(f"{project.params}/searches/tiny.yaml: `classes` must be 3, as many as made up")


def test_finalists_are_written_as_variants(project: Project, images: DataSet) -> None:
    make(project, images)
    (path,) = searching.keep_finalists("tiny", project)
    found = project.store.read_training(path.stem)
    assert found is not None and load_variant(path.stem, project.params) == found.variant
    assert path.read_text().startswith("# Found by cnnprof search tiny.\ntitle: ")
    assert searching.keep_finalists("tiny", project) == [path]
    path.write_text("title: mine\n")
    with pytest.raises(CnnprofError) as caught:
        searching.keep_finalists("tiny", project)
    assert str(caught.value) == f"{path}: is there already, and not as the search would write it. Move it aside."


# How it is shown


def candidate(name: str, correct: int | None, ratio: float, **changes: Any) -> CandidateRecord:
    ends = {"ratio": ratio, "ratio_low": ratio * 0.9, "ratio_high": ratio * 1.1}
    trial = TrialRecord(
        created="2026-11-24T00:00:00+00:00",
        machine=make_machine(),
        dataset="CIFAR-10",
        dataset_sha256="0" * 64,
        held_out=make_accuracy(correct or 0, 5000),
        seconds=60.0,
        step_s=0.05,
        history=(),
    )
    fields = {
        "variant": load_variant("smoke", PARAMS).model_copy(update={"name": name}),
        "picked": False,
        "predicted": ForecastRecord(latency_s=1e-3, low_s=9e-4, high_s=1.1e-3, outside=(), **ends),
        "recipe": load_recipe("proxy", PARAMS),
        "trial": None if correct is None else trial,
    }
    return CandidateRecord(**{**fields, **changes})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    tried = [
        candidate("found", 3500, 0.06),
        candidate("second", 3400, 0.05),
        candidate("waits", None, 0.055),
        candidate("person", 3450, 0.062, picked=True),
    ]
    old = candidate("old", 3600, 0.07)
    for record in (*tried, old, candidate("never", None, 0.07)):
        store.write_candidate("residual", record)
    store.write_search(
        SearchRecord(
            created="2026-11-24T00:00:00+00:00",
            spec=load_search("residual", PARAMS).model_copy(update={"runtime": "stock"}),
            recipe=load_recipe("distil", PARAMS),
            networks=1234,
            within=56,
            maybe_slower=7,
            maybe_within=8,
            calibrations={},
            candidates=tuple(record.key for record in tried),
            finalists=(tried[0].key,),
        )
    )
    reference = records.ReferenceRecord(network="baseline", own_process=False)
    spec = load_variant("smoke", PARAMS).model_copy(update={"name": "found"})
    blocks = ((0.001, 0.001),) * 6
    run = make_record(spec, "stock", plain_s=blocks, reference_s=((0.02, 0.02),) * 6)
    write_run(store, run.model_copy(update={"reference": reference}))
    return store


def test_all_that_was_tried_stands_in_one_frame(store: Store) -> None:
    rows = Study(store).tried().set_index("variant")
    assert list(rows.index) == ["found", "person", "second", "waits", "old"]
    assert list(rows["role"]) == ["finalist", "picked by a person", "candidate", "candidate", "of an earlier start"]
    assert rows.loc["found", "held_out"] == 0.7
    assert rows.loc["found", "held_out_low"] < 0.7 < rows.loc["found", "held_out_high"]
    assert rows.loc["found", "measured_ratio"] == pytest.approx(0.05)
    assert rows[["held_out", "seconds"]].loc["waits"].isna().all()
    assert rows["measured_ratio"].drop("found").isna().all()
    assert store.unreadable() == {}


def test_the_figure_marks_finalists_and_what_a_person_picked(store: Store) -> None:
    rows = Study(store).tried()
    ax = shown.tried_figure(rows, 0.0667, ax=plt.figure().gca())
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "asked for", "candidate", "finalist", "picked by a person", "of an earlier start",
    ]  # fmt: skip
    assert {text.get_text() for text in ax.texts} == {"found", "person"}
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "predicted latency / that of the baseline")
    nothing = shown.tried_figure(rows[rows["variant"] == "waits"], 0.0667, ax=plt.figure().gca())
    assert [text.get_text() for text in nothing.texts] == ["no network was tried yet"]


def test_the_report_has_a_chapter_where_a_search_is_stored(store: Store, tmp_path: Path) -> None:
    assert list(search_parts(Study(Store(tmp_path / "elsewhere")))) == []
    heading, text, _, table = search_parts(Study(store))
    assert heading == "## Searches"
    assert str(text).startswith(
        "**Small residual networks for int8 kernels** (`residual`): a space of 1,234 networks, of which 56 are "
        "predicted to take 0.04 to 0.0667 of the latency of `baseline` in `stock`, in `stock` with batches of 128. "
        "By their intervals 7 of these may be slower, and 8 others may be as fast."
    )
    assert str(text).endswith(
        "The images held out chose 1 of them to be trained by `distil-48000`; the test images chose nothing."
    )
    html = table.to_html()  # type: ignore[attr-defined]
    assert "measured ratio" in html and "layers not calibrated for" not in html and "full training" not in html
    assert html.index(">found<") < html.index(">person<") < html.index(">second<")


def test_a_damaged_record_is_told_of_and_passed_over(store: Store) -> None:
    path = next((store.search_dir("residual") / "candidates").glob("second-*.json"))
    path.write_text("{}", encoding="utf-8")
    (unreadable,) = store.unreadable().items()
    assert unreadable[0] == path
    assert unreadable[1].endswith("Try it again: cnnprof search residual")
    assert "second" not in set(Study(store).tried()["variant"])


# The command


def asked(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cnnprof", "search", *words])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_costs_a_search_and_refuses_a_second_one_of_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.root)
    assert asked(monkeypatch, "tiny", "--dry-run") == 0
    assert capsys.readouterr().out.startswith(
        "tiny: 6 networks, 5 predicted to take at most 0.004 of the latency of baseline in stock"
    )
    assert not (project.root / "outputs").exists()
    assert asked(monkeypatch, "hills") == 1
    assert capsys.readouterr().err == "params/searches/hills.yaml: no such file. Known in params/searches: tiny.\n"
    with only_process(Path("outputs/searches/tiny"), "waits"):
        assert asked(monkeypatch, "tiny") == 1
    told = capsys.readouterr().err
    assert re.fullmatch(
        r"outputs/searches/tiny/lock: held by process \d+, which makes the same search\. Wait for it, or stop it\.\n",
        told,
    )


def test_what_is_all_stored_is_told_without_training(
    project: Project, images: DataSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(project, images)
    monkeypatch.chdir(project.root)
    assert asked(monkeypatch, "tiny", "--keep") == 0
    lines = capsys.readouterr().out.splitlines()
    search = project.store.read_search("tiny")
    assert search is not None
    winner = project.store.candidates("tiny")[search.finalists[0]].variant.name
    assert "tiny: 3 candidates and 1 picked, all tried, and the finalists trained." in lines
    assert lines[-3:] == [
        f"Written: params/{winner}.yaml",
        f"To measure the finalists: cnnprof run {winner} --runtime stock",
        "Figure: outputs/searches/tiny/tried.svg",
    ]
    assert (project.root / "outputs/searches/tiny/tried.svg").read_text().count("<svg") == 1
