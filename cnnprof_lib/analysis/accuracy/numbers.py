"""What a faster network loses of its accuracy, from the outcomes of the same test images, and which one no other beats.

Variants are scored on the same images, so that only images on which they disagree tell them apart. That makes the
interval of a loss narrower than two accuracies by themselves allow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ...base.errors import StoreError
from ...records.run import RunRecord
from ...records.store import Store
from ..estimates import CONFIDENCE, Estimate
from ..frames import frame_of

LIMITS_POINTS = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Losses of accuracy that a reader may be willing to bear, in percentage points."""


class LossRow(NamedTuple):
    """How much accuracy a variant loses against the baseline in the same runtime, image by image."""

    runtime: str
    variant: str
    images: int
    top1: float
    only_baseline: int
    """Images that only the baseline gets right."""
    only_variant: int
    loss: float
    """A share, negative for a gain, with its 95% interval."""
    loss_low: float
    loss_high: float
    p_value: float
    """Of McNemar's exact test that the two are equally accurate. Nothing is corrected for the number of variants."""


class ChoiceRow(NamedTuple):
    """The fastest variant that stays within a limit, with 95%: its loss interval ends below it."""

    runtime: str
    limit_points: float
    variant: str
    """The baseline where no faster one qualifies."""
    ratio: float
    """To the baseline's latency; 1, without an interval, for the baseline."""
    ratio_low: float
    ratio_high: float
    loss: float
    loss_high: float
    undecided: list[str]
    """Faster variants whose interval has the limit inside."""
    images: int


def outcomes(store: Store, runs: Sequence[RunRecord]) -> dict[str, pd.DataFrame]:
    """What each runtime made of every test image: a row per image, a column per variant, true where right.

    Variants of which it is not known what the weights that were profiled make of the images, or of other images than
    the first's, are left out. A runtime's frame is empty where there are none.
    """
    scored: dict[str, dict[str, pd.DataFrame]] = {run.runtime: {} for run in runs}
    for run in runs:
        try:
            found = outcomes_of(store, run)
        except StoreError:  # damaged, or of weights trained before outcomes were kept
            continue
        if found is not None:
            scored[run.runtime][run.name] = found
    return {runtime: right_on_the_same_images(by_name) for runtime, by_name in scored.items()}


def outcomes_of(store: Store, run: RunRecord) -> pd.DataFrame | None:
    """What a run made of every test image, see `Store.read_outcomes`; None where that is not known.

    Where it met no images, in floats: what was found when its weights were trained.

    Raises:
        StoreError: they are damaged.
    """
    if (found := store.read_run_outcomes(run)) is not None or run.precision != "float32":
        return found
    training = store.read_training(run.name)
    is_of_run = training is not None and training.weights_sha256 == run.weights.sha256
    return store.read_outcomes(run.name) if is_of_run else None


def right_on_the_same_images(scored: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per image and a column per name, true where right.

    Args:
        scored: Outcomes by name, as from `Store.read_outcomes`; those of other images than the first's are left out.
    """
    if not scored:
        return pd.DataFrame()
    first, *_ = scored.values()
    alike = {name: outcomes for name, outcomes in scored.items() if outcomes["label"].equals(first["label"])}
    return pd.DataFrame({name: outcomes["predicted"] == outcomes["label"] for name, outcomes in alike.items()})


def losses(outcomes: Mapping[str, pd.DataFrame], baseline: str | None) -> pd.DataFrame:
    """How much accuracy each variant loses against the baseline, image by image.

    Args:
        outcomes: From `outcomes`.
        baseline: Its name.

    Returns:
        A `LossRow` per runtime and variant but the baseline. Empty without a baseline.
    """
    rows = []
    for runtime, right in outcomes.items():
        if baseline is None or baseline not in right:
            continue
        base = right[baseline].to_numpy(dtype=bool)
        for name in right.columns.drop(baseline):
            variant = right[name].to_numpy(dtype=bool)
            only_base, only_variant = _discordant(base, variant)
            numbers = len(base), float(variant.mean()), only_base, only_variant, *paired_loss(base, variant)
            rows.append(LossRow(runtime, name, *numbers, mcnemar_exact(only_base, only_variant)))
    return frame_of(LossRow, rows)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test: a binomial test of the images that only one of two got right.

    Source: Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data", BMC Medical Research
    Methodology 13:91, 2013.
    """
    discordant = only_first + only_second
    return float(stats.binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


def paired_loss(base: NDArray[np.bool_], variant: NDArray[np.bool_]) -> Estimate:
    """How much smaller a share of the same images ``variant`` gets right, with the adjusted Wald interval.

    Source: Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data", Journal of Educational and Behavioral Statistics 37(4), 2012.
    """
    pairs, (only_base, only_variant) = len(base), _discordant(base, variant)
    first, second = ((count + 1) / (pairs + 2) for count in (only_base, only_variant))
    middle = first - second
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((first + second - middle**2) / (pairs + 2))
    return Estimate((only_base - only_variant) / pairs, middle - float(half), middle + float(half))


def _discordant(base: NDArray[np.bool_], variant: NDArray[np.bool_]) -> tuple[int, int]:
    """How many images only the one gets right, and how many only the other."""
    return int((base & ~variant).sum()), int((variant & ~base).sum())


def choices(lost: pd.DataFrame, overview: pd.DataFrame, limits_points: Sequence[float] = LIMITS_POINTS) -> pd.DataFrame:
    """A `ChoiceRow` per runtime and limit; none without losses, nor of a runtime without the baseline's latency.

    Args:
        lost: From `losses`.
        overview: From `variants.numbers.overview`; runs without a latency are left out.
        limits_points: Losses to bear, in percentage points.
    """
    rows: list[ChoiceRow] = []
    for runtime, timed in overview.dropna(subset=["ratio"]).groupby("runtime", sort=False):
        base = timed[timed["is_baseline"]].assign(loss=0.0, loss_low=0.0, loss_high=0.0)
        base = base.assign(ratio=1.0, ratio_low=math.nan, ratio_high=math.nan)  # by definition: measured is its noise
        of_runtime = lost[lost["runtime"] == runtime]
        columns = ["variant", "loss", "loss_low", "loss_high"]
        both = pd.concat([base, timed.merge(of_runtime[columns], on="variant")])
        if not (of_runtime.empty or base.empty):
            images = int(of_runtime["images"].iloc[0])
            rows += [_within(both, str(runtime), limit, images) for limit in limits_points]
    return frame_of(ChoiceRow, rows)


def _within(both: pd.DataFrame, runtime: str, limit_points: float, images: int) -> ChoiceRow:
    limit = limit_points / 100
    sure = both[both["loss_high"] <= limit]
    chosen = sure.loc[sure["ratio"] == sure["ratio"].min()].iloc[0]
    faster = both[both["ratio"] < chosen["ratio"]]
    undecided = faster[(faster["loss_low"] <= limit) & (limit < faster["loss_high"])]
    own = {name: chosen[name] for name in ("variant", "ratio", "ratio_low", "ratio_high", "loss", "loss_high")}
    return ChoiceRow(runtime, limit_points, **own, undecided=list(undecided["variant"]), images=images)
