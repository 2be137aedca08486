"""Recipes against each other, seed by seed and image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cnnprof_lib.records.store import Store
from cnnprof_lib.thesis import recipes, shown
from tests.builders import make_thesis_training

IMAGES = 10_000


def keep(
    store: Store, wrong: int, variant: str = "stride5", *, first_wrong: int = 0, images: int = IMAGES, key: bool = True,
    **changes: object,
) -> None:  # fmt: skip
    """Stores a training that gets so many images wrong, one after another from ``first_wrong`` on."""
    record = make_thesis_training(variant, correct=images - wrong, **changes)  # type: ignore[arg-type]
    labels = np.arange(images, dtype=np.int32) % 10
    predicted = labels.astype(np.uint8)
    predicted[first_wrong : first_wrong + wrong] += 1
    assert record.settings is not None
    store.write_training(record, b"weights", predicted, labels, record.settings.key if key else None)


def compared(store: Store) -> pd.DataFrame:
    return recipes.compare(store, store.trainings()).set_index("recipe")


def test_seeds_are_averaged_and_their_range_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed, wrong in ((1, 3000), (2, 3100), (3, 3200)):
        keep(store, wrong, recipe="fast", seed=seed, key=seed > 1)
    row = compared(store).loc["fast"]
    assert (row["seeds"], row["top1"], row["top1_low"], row["top1_high"]) == (3, pytest.approx(0.69), 0.68, 0.70)
    assert (row["steps"], row["training_s"]) == (200, pytest.approx(25.6))
    assert row["held_out_top1"] == 0.85
    assert np.isnan(row["loss"])
    assert row["verdict"] == ""
    assert "68.00% – 70.00%" in shown.styled_recipes(compared(store).reset_index()).to_html()


def test_trainings_of_before_a_recipe_was_changed_are_no_seeds_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, 3000)
    for seed, wrong, steps in ((1, 3040, 200), (2, 3200, 300), (3, 3040, 200)):
        settings = make_thesis_training(recipe="fast", seed=seed).settings
        assert settings is not None
        changed = settings.model_copy(update={"steps": steps, "checkpoint_every": seed})
        keep(store, wrong, recipe="fast", seed=seed, settings=changed, steps=steps)
    table = recipes.compare(store, store.trainings())
    rows = table[table["recipe"] == "fast"].set_index("settings")
    assert rows["seeds"].to_dict() == {1: 2, 2: 1}
    assert rows["top1"].to_dict() == {1: pytest.approx(0.696), 2: pytest.approx(0.68)}
    assert "fast (2)" in shown.styled_recipes(table).to_html()
    assert recipes.as_good(table) == frozenset()  # the second settings are worse, so the name answers for nothing


@pytest.mark.parametrize(
    ("wrong", "first_wrong", "loss", "verdict"),
    [
        (3000, 0, 0.0, "the same"),
        (3049, 0, 0.0049, "not more than 0.5 points"),  # certainly worse, but by little
        (2900, 0, -0.01, "not more than 0.5 points"),
        (3060, 3000, 0.006, "no difference can be told"),  # 6,060 images on which the two disagree
        (3060, 0, 0.006, "worse"),  # 60 images, all to the same side
    ],
)
def test_a_recipe_is_judged_by_the_images_on_which_it_and_the_original_disagree(
    tmp_path: Path, wrong: int, first_wrong: int, loss: float, verdict: str
) -> None:
    store = Store(tmp_path)
    keep(store, 3000)
    keep(store, wrong, first_wrong=first_wrong, recipe="fast", key=False)
    rows = compared(store)
    assert rows.loc["fast", "loss"] == pytest.approx(loss)
    assert rows.loc["fast", "verdict"] == verdict
    assert rows.loc["fast", "loss_low"] <= loss <= rows.loc["fast", "loss_high"]
    assert rows.loc["thesis", "published_top1"] == 0.70
    assert np.isnan(rows.loc["thesis", "loss"])


def test_the_thesis_s_recipe_cut_short_is_compared_with_only_where_it_was_not_run_in_full(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, 3500, recipe=recipes.SHORTENED, steps=20_000)
    keep(store, 3100, recipe="fast", key=False)
    rows = compared(store)
    assert list(rows["against"]) == ["thesis-20000" if recipe == "fast" else "" for recipe in rows.index]
    assert rows.loc["fast", "loss"] == pytest.approx(-0.04)
    assert recipes.as_good(rows.reset_index()) == frozenset()
    keep(store, 3000, steps=200)  # in full, however few that are here
    rows = compared(store)
    assert rows.loc["fast", ["against", "verdict"]].to_list() == ["thesis", recipes.WORSE]
    assert rows["against"].drop("fast").eq("").all()


def test_a_recipe_is_as_good_as_the_thesis_s_where_it_was_compared_and_is_not_worse() -> None:
    rows = [
        ("stride2", "thesis", "", ""),
        ("stride2", "fast", "thesis", "not more than 0.5 points"),
        ("stride3", "fast", "thesis", recipes.WORSE),
        ("stride5", "fast", "thesis", "no difference can be told"),
        ("filters32", "fast", "thesis-20000", "not more than 0.5 points"),
        ("baseline", "fast", "", ""),  # not trained by the thesis's
    ]
    compared = pd.DataFrame(rows, columns=["variant", "recipe", "against", "verdict"])
    assert recipes.as_good(compared) == {("stride2", "fast"), ("stride5", "fast")}
    assert recipes.as_good(recipes.compare(Store(Path("nowhere")), [])) == frozenset()


def test_the_interval_is_that_of_the_paired_images(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, 3000)
    keep(store, 3060, recipe="fast")
    row = compared(store).loc["fast"]
    half = 1.96 * np.sqrt(0.006 * (1 - 0.006) / IMAGES)  # of 60 images in 10,000
    assert (row["loss_low"], row["loss_high"]) == (pytest.approx(0.006 - half, 1e-3), pytest.approx(0.006 + half, 1e-3))


def test_trainings_without_outcomes_are_listed_but_not_judged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, 3000)
    keep(store, 3100, recipe="fast")
    (store.weights_path("stride5", "fast-seed1").with_name("outcomes.npz")).unlink()
    row = compared(store).loc["fast"]
    assert (row["top1"], row["verdict"]) == (0.69, "")


def test_outcomes_of_the_thesis_s_recipe_are_of_full_length_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, 3000, recipe="fast", key=False, steps=1000)
    keep(store, 4000, steps=900)
    assert recipes.original_outcomes(store, store.trainings(), 1000).empty
    keep(store, 2000, seed=2, steps=1000)
    keep(store, 1000, seed=3, steps=1000)
    found = recipes.original_outcomes(store, store.trainings(), 1000)
    assert (list(found), int(found["stride5"].sum())) == (["stride5"], IMAGES - 2000)


def test_outcomes_of_other_images_are_no_part_of_the_comparison(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for variant, images in (("baseline", IMAGES), ("stride2", 500), ("stride5", IMAGES)):
        keep(store, 100, variant, images=images)
    assert list(recipes.original_outcomes(store, store.trainings(), 200)) == ["baseline", "stride5"]
