"""What a faster network loses: paired outcomes, their interval, the exact test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cnnprof_lib.analysis.accuracy import numbers as accuracy
from cnnprof_lib.records.run_store import TracedFiles
from cnnprof_lib.records.store import Store
from cnnprof_lib.records.trained_store import packed_outcomes
from tests.builders import RUNTIMES, make_ops, make_record, make_training

IMAGES = 10_000


def outcomes_of(images: int = IMAGES, **only: tuple[int, int]) -> dict[str, pd.DataFrame]:
    """The baseline right on the first 80% of the images; a variant is wrong on some of these and right on some others.

    Args:
        images: Number of test images.
        only: By variant, how many images only the baseline and only the variant gets right.
    """
    right = int(0.8 * images)
    base = np.arange(images) < right
    frame = {"baseline": base}
    for name, (only_base, only_variant) in only.items():
        variant = base.copy()
        variant[:only_base] = False
        variant[right : right + only_variant] = True
        frame[name] = variant
    return {"unfused": pd.DataFrame(frame)}


def test_a_loss_counts_the_images_that_only_one_got_right() -> None:
    row = accuracy.losses(outcomes_of(stride2=(700, 300)), "baseline").iloc[0]
    assert (row["variant"], row["images"], row["only_baseline"], row["only_variant"]) == ("stride2", IMAGES, 700, 300)
    assert row["top1"] == pytest.approx(0.76)
    assert row["loss"] == pytest.approx(0.04)


def test_the_interval_agrees_with_the_bootstrap_over_images() -> None:
    both = outcomes_of(2000, stride2=(140, 60))
    row = accuracy.losses(both, "baseline").iloc[0]
    outcomes = both["unfused"]
    differences = outcomes["baseline"].astype(int) - outcomes["stride2"].astype(int)
    interval = stats.bootstrap((differences,), np.mean, n_resamples=2000, method="percentile", rng=1)
    assert row["loss_low"] == pytest.approx(interval.confidence_interval.low, abs=0.001)
    assert row["loss_high"] == pytest.approx(interval.confidence_interval.high, abs=0.001)


def test_the_interval_is_narrower_than_two_accuracies_by_themselves_allow() -> None:
    row = accuracy.losses(outcomes_of(stride2=(200, 100)), "baseline").iloc[0]
    assert (row["loss_low"], row["loss_high"]) == pytest.approx((0.0066, 0.0134), abs=1e-4)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [(0, 0, 1.0), (5, 0, 0.0625), (8, 2, 0.109375), (3, 3, 1.0)],
)
def test_mcnemar_s_exact_test(only_first: int, only_second: int, p_value: float) -> None:
    assert accuracy.mcnemar_exact(only_first, only_second) == pytest.approx(p_value)


def test_without_a_baseline_nothing_is_lost() -> None:
    assert accuracy.losses({"unfused": pd.DataFrame({"stride2": [True, False]})}, "baseline").empty


def keep(store: Store, name: str, right: str, label: int = 0, weights: str = "0") -> None:
    """Reference weights of a variant and what they made of the images, ``+`` where they were right."""
    predicted = np.array([label if mark == "+" else 9 for mark in right], np.uint8)
    record = make_training(name, weights_sha256=weights * 64)
    store.write_training(record, b"weights", predicted, np.full(len(right), label, np.int32))


def test_outcomes_are_of_the_profiled_weights_and_of_the_same_images(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = ("baseline", "stride2", "stride3", "stride5", "filters32", "pool-large")
    runs = [make_record(name, runtime) for name in names for runtime in RUNTIMES]
    assert all(right.empty for right in accuracy.outcomes(store, runs).values())
    keep(store, "baseline", "++-")
    keep(store, "stride2", "+--")
    keep(store, "stride3", "+--", weights="1")  # trained anew since the run
    keep(store, "stride5", "+--", label=3)  # on other images
    keep(store, "filters32", "+-+")
    (store.reference_dir("filters32") / "outcomes.npz").unlink()
    found = accuracy.outcomes(store, runs)
    assert list(found) == list(RUNTIMES)
    for right in found.values():
        assert right.to_dict("list") == {"baseline": [True, True, False], "stride2": [True, False, False]}


def test_what_a_run_made_of_the_images_goes_before_what_its_weights_did_in_floats(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "baseline", "++-")
    runs = [make_record("baseline", "stock"), make_record("baseline", "unfused", precision="int8")]
    assert [right.get("baseline", pd.Series()).tolist() for right in accuracy.outcomes(store, runs).values()] == [
        [True, True, False],
        [],
    ]
    outcomes = packed_outcomes(np.array([9, 0, 0], np.int32), np.zeros(3, np.int32))
    store.write_run(runs[1], TracedFiles(make_ops(runs[1]), "", b""), outcomes)
    assert accuracy.outcomes(store, runs)["unfused"]["baseline"].tolist() == [False, True, True]
