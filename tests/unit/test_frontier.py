"""Which variants are dominated, and what the intervals leave open."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cnnprof_lib.analysis.accuracy import frontier
from cnnprof_lib.analysis.accuracy.shown import frontier_text
from cnnprof_lib.analysis.variants import numbers as variants
from tests.builders import make_accuracy, make_record

NOTHING: dict[str, pd.DataFrame] = {}


def overview_of(runtime: str = "unfused", **runs: tuple[float, int]) -> pd.DataFrame:
    """Latency as a multiple of the baseline's, and correct ones of 10,000 images, by variant."""
    return variants.overview(
        [
            make_record(
                name.replace("_", "-"),
                runtime,
                plain_s=((0.01 * ratio,),) * 6,
                baseline_s=((0.01,),) * 6,
                accuracy=make_accuracy(correct),
            )
            for name, (ratio, correct) in runs.items()
        ]
    )


def sentences(overview: pd.DataFrame, outcomes: dict[str, pd.DataFrame]) -> str:
    return frontier_text(frontier.standings(overview, outcomes))


def test_a_run_is_dominated_by_one_of_its_runtime_that_is_no_worse_in_both() -> None:
    runs = pd.concat(
        [
            overview_of(baseline=(1, 8600), stride2=(0.2, 7900), stride3=(0.1, 7900), stride5=(0.1, 7900)),
            overview_of("stock", stride2=(0.05, 9000)),
        ],
        ignore_index=True,
    )
    assert list(frontier.dominated(runs)) == [False, True, False, False, False]


def test_a_variant_that_was_timed_in_a_slow_process_is_not_dominated_for_that() -> None:
    overview = variants.overview(
        [
            make_record(name, plain_s=((s,),) * 6, baseline_s=((base_s,),) * 6, accuracy=make_accuracy(correct))
            for name, s, base_s, correct in (("baseline", 0.01, 0.01, 8600), ("stride2", 0.018, 0.02, 8500))
        ]
    )
    scaled = frontier.in_one_scale(overview)
    assert list(overview["latency_s"]) == [0.01, 0.018]
    assert list(scaled["latency_s"]) == pytest.approx([0.01, 0.009])
    assert list(scaled["latency_s_high"]) == pytest.approx([0.01, 0.009])
    assert not frontier.dominated(scaled).any()


def test_without_the_baseline_latencies_stay_as_they_were_timed() -> None:
    overview = overview_of(stride2=(0.2, 7900), stride3=(0.1, 7900))
    assert list(frontier.in_one_scale(overview)["latency_s"]) == list(overview["latency_s"])


@pytest.mark.parametrize(
    ("rival", "sentence"),
    [
        ((0.2, 7000), "no variant is dominated: each faster variant is less accurate"),
        ((0.2, 8800), "`baseline` is dominated by `stride2`, which is faster and more accurate"),
        (
            (0.2, 8550),
            "no variant is surely dominated; `stride2` is faster than `baseline`, and their accuracies cannot be told "
            "apart",
        ),
        (
            (1, 8800),
            "no variant is surely dominated; `stride2` is more accurate than `baseline`, and their latencies cannot be "
            "told apart",
        ),
        (
            (1, 8610),
            "no variant is surely dominated; `baseline` lies behind `stride2`, but the two cannot be told apart",
        ),
    ],
)
def test_the_sentence_says_no_more_than_the_intervals_do(rival: tuple[float, int], sentence: str) -> None:
    assert sentences(overview_of(baseline=(1, 8600), stride2=rival), NOTHING) == (
        f"In `unfused`, {sentence}. [Figure](#F_accuracy) shows the frontier."
    )


def test_runtimes_that_agree_share_a_sentence() -> None:
    two = [overview_of(runtime, baseline=(1, 8600), stride2=(0.2, 7000)) for runtime in ("unfused", "stock")]
    assert sentences(pd.concat(two), NOTHING).startswith("In `unfused` and `stock`, no variant is dominated")


def test_outcomes_of_the_same_images_tell_more_apart() -> None:
    base = np.arange(10_000) < 8600
    outcomes = {"unfused": pd.DataFrame({"baseline": base, "stride2": np.arange(10_000) < 8650})}
    overview = overview_of(baseline=(1, 8600), stride2=(0.2, 8650))
    assert "cannot be told apart" in sentences(overview, NOTHING)
    assert "`baseline` is dominated by `stride2`" in sentences(overview, outcomes)


def test_a_latency_nearer_than_the_machine_can_tell_is_no_faster_one() -> None:
    overview = overview_of(baseline=(1, 8600), stride2=(0.98, 8800)).assign(smallest_ratio=1.05)
    assert "their latencies cannot be told apart" in sentences(overview, NOTHING)


def test_one_variant_alone_says_nothing() -> None:
    assert sentences(overview_of(baseline=(1, 8600)), NOTHING) == ""
