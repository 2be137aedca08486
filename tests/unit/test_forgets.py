"""Whom a network forgets: by class and by image, told from churn, as table, text, sheet of images and command."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnnprof_lib.analysis.accuracy import forgets, shown_forgets
from cnnprof_lib.app import cli
from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.params.reading import load_recipe
from cnnprof_lib.records.conditions import ImagesRecord
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.records.run_store import TracedFiles
from cnnprof_lib.records.store import Store
from cnnprof_lib.records.trained_store import packed_outcomes
from tests.builders import PARAMS, make_ops, make_record, make_training, write_run

CLASSES = ("cat", "dog")


def keep(store: Store, name: str, predicted: list[int], label: list[int]) -> RunRecord:
    """A run with its answers, on images of two classes."""
    images = ImagesRecord(name="pets", sha256=None, generated=False, classes=CLASSES)
    run = make_record(name, "stock", images=images)
    store.write_run(run, TracedFiles(make_ops(run), "", b""), packed_outcomes(np.array(predicted), np.array(label)))
    return run


def both_of(**right: tuple[int, int, int]) -> pd.DataFrame:
    """By class: images in all; those that only the network before and only the one after gets right, of 80%."""
    frames = []
    for label, (images, only_before, only_after) in enumerate(right.values()):
        half = int(0.8 * images)
        before = np.where(np.arange(images) < half, label, 9)
        after = before.copy()
        after[:only_before] = 9
        after[half : half + only_after] = label
        frames.append(pd.DataFrame({"label": label, "before": before, "after": after}))
    return pd.concat(frames, ignore_index=True)


def test_each_class_has_its_loss_and_what_one_alone_gets_right() -> None:
    rows = forgets.by_class(both_of(cat=(1000, 90, 20), dog=(1000, 20, 20)), CLASSES)
    assert list(rows["label"]) == ["cat", "dog"]
    assert list(rows["top1_before"]) == pytest.approx([0.8, 0.8])
    assert list(rows["top1_after"]) == pytest.approx([0.73, 0.8])
    assert list(rows["loss"]) == pytest.approx([0.07, 0.0])
    assert rows[["only_before", "only_after"]].to_numpy().tolist() == [[90, 20], [20, 20]]
    assert list(rows["told"]) == [forgets.LOST_MORE, ""]


def test_a_class_without_a_name_has_its_number() -> None:
    assert list(forgets.by_class(both_of(a=(10, 0, 0), b=(10, 0, 0)), ("cat",))["label"]) == ["cat", "1"]


def test_intervals_of_more_classes_are_wider_so_that_all_hold_at_once() -> None:
    two = forgets.by_class(both_of(a=(1000, 30, 10), b=(1000, 30, 10)))
    ten = forgets.by_class(both_of(**{str(number): (1000, 30, 10) for number in range(10)}))
    assert two["loss"][0] == ten["loss"][0]
    assert two["loss_low"][0] == pytest.approx(0.0055, abs=1e-4)  # 97.5%
    assert ten["loss_low"][0] == pytest.approx(0.0019, abs=1e-4)  # 99.5%
    assert set(two["told"]) == {forgets.LOST}


def test_what_all_lose_alike_none_loses_more_than_the_others() -> None:
    rows = forgets.by_class(both_of(a=(1000, 90, 10), b=(1000, 90, 10), c=(1000, 10, 90)))
    assert list(rows["told"]) == [forgets.LOST_MORE, forgets.LOST_MORE, forgets.GAINED]
    assert list(forgets.by_class(both_of(a=(1000, 90, 10)))["told"]) == [forgets.LOST]


def test_churn_is_told_from_loss(tmp_path: Path) -> None:
    store = Store(tmp_path)
    before = keep(store, "baseline", [0, 0, 1, 1, 1], [0, 0, 0, 1, 1])
    after = keep(store, "stride2", [0, 1, 0, 1, 0], [0, 0, 0, 1, 1])
    found = forgets.forgotten(store, before, after)
    assert (found.images, found.differ, found.only_before, found.only_after) == (5, 3, 2, 1)
    assert list(found.lost) == [1, 4]
    assert found.names == CLASSES
    assert np.isnan(found.seeds_differ)
    assert shown_forgets.forgets_text(found) == (
        "`stride2` in `stock` and `baseline` in `stock` disagree on 3 of 5 test images: 1 only the former gets "
        "right, 2 only the latter, 0 neither. No class is known to lose or gain, as far as 2 classes at once can be "
        "told."
    )


def test_how_much_the_seed_alone_changes_stands_beside_it(tmp_path: Path) -> None:
    store, labels = Store(tmp_path), np.zeros(4, np.int32)
    before, after = (keep(store, name, [0] * 4, [0] * 4) for name in ("baseline", "stride2"))
    recipe = load_recipe("fast", PARAMS)
    trained = (1, "fast", [0, 0, 0, 0]), (2, "fast", [0, 1, 1, 0]), (3, "short", [1, 1, 1, 1])
    for seed, recipe_name, answers in trained:
        settings = recipe.model_copy(update={"seed": seed, "name": recipe_name})
        record = make_training("baseline", recipe=recipe_name, settings=settings, seed=seed)
        store.write_training(record, b"weights", np.array(answers), labels, None if seed == 1 else settings.key)
    found = forgets.forgotten(store, before, after)
    assert found.seeds_differ == 2  # of those by one recipe
    assert "Two trainings of `baseline` that differ by the seed alone disagree on 2 images." in (
        shown_forgets.forgets_text(found)
    )


def test_classes_that_lose_are_named_in_words(tmp_path: Path) -> None:
    store = Store(tmp_path)
    both = both_of(cat=(1000, 90, 20), dog=(1000, 5, 95))
    runs = [keep(store, name, list(both[side]), list(both["label"])) for name, side in
            (("baseline", "before"), ("stride2", "after"))]  # fmt: skip
    assert shown_forgets.forgets_text(forgets.forgotten(store, *runs)).endswith(
        "By class, told for all 2 at once: `cat` loses 7.0 points, more than the others and `dog` gains 9.0 points."
    )


def test_the_table_shows_points_with_their_signs() -> None:
    html = shown_forgets.forgets_table(
        forgets.by_class(both_of(cat=(1000, 90, 20), dog=(1000, 5, 95)), CLASSES)
    ).to_html()
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)]
    assert rows[2] == ["cat", "1,000", "80.00%", "73.00%", "+7.0", "+4.7 – +9.3", "more than the others", "90", "20"]
    assert rows[3][4:7] == ["-9.0", "-11.1 – -6.8", "gained"]


def test_runs_that_do_not_compare_are_refused_in_a_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    before = keep(store, "baseline", [0, 0], [0, 0])
    other = keep(store, "stride2", [0, 0], [0, 1])
    with pytest.raises(MeasureError) as caught:
        forgets.forgotten(store, before, other)
    assert str(caught.value) == (
        f"baseline ({before.run_id}) and stride2 ({other.run_id}): were scored on other test images. "
        "Run both on the same: cnnprof run --data PATH"
    )
    silent = make_record("stride3", "stock")
    write_run(store, silent)
    with pytest.raises(MeasureError) as caught:
        forgets.forgotten(store, before, silent)
    assert str(caught.value) == (
        f"stride3 ({silent.run_id}): what it makes of each test image in stock is not known. "
        "Run it on test images: cnnprof run stride3 --runtime stock --data PATH"
    )


# The sheet of images, and the command


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two networks scored on six images of two classes, of which the second gets two wrong that the first does not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNPROF_DATA", raising=False)
    monkeypatch.setenv("CNNPROF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "params").symlink_to(PARAMS)
    (tmp_path / "notebooks").mkdir()
    for split in ("train", "test"):
        for place, name in enumerate(CLASSES):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (8, 8), (100 * place, 40 * number, 250)).save(folder / f"{number}.png")
    store = Store(tmp_path / "outputs")
    labels = [0, 0, 0, 1, 1, 1]
    keep(store, "baseline", [0, 0, 0, 1, 1, 0], labels)
    keep(store, "stride2", [0, 1, 0, 1, 0, 1], labels)
    return tmp_path


def cnnprof(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cnnprof", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command_prints_it_for_people_and_for_scripts(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cnnprof(monkeypatch, "diff", "baseline", "stride2", "--forgets", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["before"]["variant"], told["after"]["variant"]) == ("baseline", "stride2")
    assert [told[key] for key in ("images", "differ", "only_before", "only_after", "seeds_differ")] == [
        6,
        3,
        2,
        1,
        None,
    ]
    assert [row["class"] for row in told["classes"]] == ["cat", "dog"]
    assert told["classes"][0]["loss"]["value"] == pytest.approx(1 / 3)
    assert told["classes"][0]["top1"] == {"before": 1.0, "after": pytest.approx(2 / 3)}
    assert cnnprof(monkeypatch, "diff", "baseline", "stride2", "--forgets") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "baseline in stock to stride2 in stock: 6 test images",
        "They disagree on 3: 2 only baseline in stock gets right, 1 only stride2 in stock, 0 neither.",
    ]
    assert lines[3].split()[:5] == ["cat", "3", "100.0%", "66.7%", "+33.3"]
    assert lines[-1] == "The intervals hold for all 2 rows at once, with 95%."


def test_the_sheet_shows_the_pixels_as_they_are_in_a_file_that_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(project.rglob("*.png"))
    assert cnnprof(monkeypatch, "diff", "baseline", "stride2", "--images", "lost.png", "--data", "pets") == 0
    assert capsys.readouterr().err == "Images: lost.png\n"
    assert set(project.rglob("*.png")) - before == {project / "lost.png"}
    colours = {colour for _, colour in Image.open("lost.png").convert("RGB").getcolors(10**6) or []}
    assert {(0, 40, 250), (100, 40, 250)} <= colours  # the second cat and the second dog
    assert (0, 0, 250) not in colours


def test_the_sheet_names_the_class_and_the_answer(project: Path) -> None:
    store = Store(project / "outputs")
    found = forgets.forgotten(store, *(store.newest_runs(name, "stock")[0] for name in ("baseline", "stride2")))
    figure = shown_forgets.contact_figure(found, np.zeros((6, 8, 8, 3), np.uint8))
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == ["cat\n→ dog", "dog\n→ cat"]
    plt.close(figure)


@pytest.mark.parametrize(
    ("file", "data", "line"),
    [
        ("lost.jpg", "pets", "lost.jpg: `--images` must end in .png. Received: .jpg."),
        (
            "lost.png",
            "",
            "{cache}/cifar-10-binary.tar.gz: not downloaded yet. Allow the download, or give images with `--data PATH` "
            "or CNNPROF_DATA.",
        ),
        (
            "lost.png",
            "fewer",
            "fewer: holds other test images than stride2 ({run_id}) was scored on. Name those with --data.",
        ),
    ],
)
def test_images_that_cannot_be_drawn_cost_a_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str, data: str, line: str
) -> None:
    fewer = project / "fewer"
    for split, count in (("train", 3), ("test", 1)):
        for name in CLASSES:
            (fewer / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8, 8)).save(fewer / split / name / f"{number}.png")
    named = ("--data", data) if data else ()
    assert cnnprof(monkeypatch, "diff", "baseline", "stride2", "--images", file, *named) == 1
    run_id = Store(project / "outputs").newest_runs("stride2", "stock")[0].run_id
    expected = line.format(cache=project / "cache", run_id=run_id)
    assert capsys.readouterr().err.splitlines()[-1] == expected
    assert not (project / file).exists()
