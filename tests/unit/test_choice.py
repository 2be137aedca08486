"""Which variant to take for a loss: paired outcomes, the exact test, what 95% allows and what stays open."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from cnnprof_lib.analysis.accuracy import numbers as accuracy
from cnnprof_lib.analysis.accuracy import shown as accuracy_shown
from cnnprof_lib.analysis.variants import numbers as variants
from cnnprof_lib.records.store import Store, TracedFiles
from cnnprof_lib.records.trained_store import packed_outcomes
from tests.builders import RUNTIMES, make_failure, make_ops, make_record, make_training

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


def overview_of(**ratios: float) -> pd.DataFrame:
    """One runtime's latencies as multiples of the baseline's, the underscore in a name for its hyphen."""
    records = [make_record(plain_s=((0.01,), (0.01,)), baseline_s=((0.01,), (0.01,)))]
    for name, ratio in ratios.items():
        blocks = ((0.01 * ratio,), (0.01 * ratio,))
        records.append(make_record(name.replace("_", "-"), plain_s=blocks, baseline_s=((0.01,), (0.01,))))
    return variants.overview(records)


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


def test_without_a_baseline_nothing_is_lost_or_chosen() -> None:
    lost = accuracy.losses({"unfused": pd.DataFrame({"stride2": [True, False]})}, "baseline")
    assert lost.empty
    choices = accuracy.choices(lost, overview_of(stride2=0.2))
    assert choices.empty
    assert accuracy_shown.choice_text(choices, ["stock"]) == (
        "In stock no variant can be chosen: the outcomes or the latency of the baseline are missing. "
        f"{accuracy_shown.CHOICE_DRAWN}"
    )


def test_the_fastest_variant_within_each_limit() -> None:
    lost = accuracy.losses(outcomes_of(filters32=(220, 100), stride2=(900, 100)), "baseline")
    choices = accuracy.choices(lost, overview_of(filters32=0.45, stride2=0.15), (1, 2, 10))
    assert list(choices["variant"]) == ["baseline", "filters32", "stride2"]
    assert list(choices["undecided"]) == [["filters32"], [], []]
    assert list(choices["images"]) == [IMAGES] * 3


def cells(choices: pd.DataFrame) -> list[list[str]]:
    """Caption and rows of the table of choices."""
    html = accuracy_shown.choice_table(choices).to_html()
    rows = re.findall(r"<tr>(.*?)</tr>", html, flags=re.DOTALL)
    return [re.findall(r"<caption>(.*?)</caption>", html)] + [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL) for row in rows
    ]


def test_a_choice_as_a_table() -> None:
    lost = accuracy.losses(outcomes_of(filters32=(220, 100), stride2=(900, 100)), "baseline")
    choices = accuracy.choices(lost, overview_of(filters32=0.45, stride2=0.15), (0.5, 1, 2, 5, 8))
    assert cells(choices) == [
        ["The fastest variant for the loss of accuracy that you accept, against the baseline on the same "
         "10,000 test images"],
        ["", "latency left", "points lost", ""],
        [
            "runtime", "loss you accept [points]", "take", "median", "95% interval", "measured", "at most (95%)",
            "faster, but the images do not decide",
        ],
        ["unfused", "0.5", "baseline", "1.000", "–", "0.0", "0.0", ""],
        ["unfused", "1", "baseline", "1.000", "–", "0.0", "0.0", "filters32"],
        ["unfused", "2", "filters32", "0.450", "–", "1.2", "1.6", ""],
        ["unfused", "5", "filters32", "0.450", "–", "1.2", "1.6", ""],
        ["unfused", "8", "filters32", "0.450", "–", "1.2", "1.6", "stride2"],
    ]  # fmt: skip


def test_where_the_images_tell_all_no_column_says_so() -> None:
    lost = accuracy.losses(outcomes_of(filters32=(220, 100)), "baseline")
    assert len(cells(accuracy.choices(lost, overview_of(filters32=0.45), (2,)))[-1]) == 7


def test_more_images_settle_what_fewer_leave_open() -> None:
    overview = overview_of(filters32=0.45)
    few = accuracy.choices(accuracy.losses(outcomes_of(1000, filters32=(22, 14)), "baseline"), overview, (1.0,))
    many = accuracy.choices(accuracy.losses(outcomes_of(100_000, filters32=(2200, 1400)), "baseline"), overview, (1.0,))
    assert (few["variant"][0], few["undecided"][0]) == ("baseline", ["filters32"])
    assert (many["variant"][0], many["undecided"][0]) == ("filters32", [])


def test_a_slower_variant_is_never_chosen_and_a_failed_one_left_out() -> None:
    lost = accuracy.losses(outcomes_of(stride2=(100, 100), stride3=(100, 100)), "baseline")
    overview = pd.concat([overview_of(stride2=1.2), variants.overview([make_failure("stride3")])])
    choices = accuracy.choices(lost, overview, (2.0,))
    assert list(choices["variant"]) == ["baseline"]
    assert choices["undecided"][0] == []


def test_the_figure_draws_losses_in_points_with_intervals() -> None:
    lost = accuracy.losses(outcomes_of(filters32=(220, 100), stride2=(900, 100)), "baseline")
    ax = Figure().subplots()
    assert accuracy_shown.loss_figure(lost, overview_of(filters32=0.45, stride2=0.15), ax=ax) is ax
    (bars,) = ax.containers
    points, _, (across, upright) = bars.lines
    assert points.get_xydata().tolist() == [[pytest.approx(0.45), pytest.approx(1.2)], [pytest.approx(0.15), 8.0]]
    ends = [segment[:, 1].tolist() for segment in upright.get_segments()]
    expected = [[100 * low, 100 * high] for low, high in zip(lost["loss_low"], lost["loss_high"], strict=True)]
    assert ends == [pytest.approx(pair) for pair in expected]
    assert len(across.get_segments()) == 2
    assert {text.get_text() for text in ax.texts} == {"filters32", "stride2"}
    assert ax.get_ylabel() == "top-1 accuracy lost [points]"


def test_the_figure_says_when_there_is_nothing_to_draw() -> None:
    ax = accuracy_shown.loss_figure(accuracy.losses({}, "baseline"), overview_of(), ax=Figure().subplots())
    assert [text.get_text() for text in ax.texts] == ["no variant has both a latency and outcomes"]


def test_the_figure_takes_the_current_axes() -> None:
    assert accuracy_shown.loss_figure(accuracy.losses({}, "baseline"), overview_of()) is plt.gca()
    plt.close()


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
