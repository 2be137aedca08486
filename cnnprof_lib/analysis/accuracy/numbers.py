"""What a faster network loses of its accuracy, from the outcomes of the same test images.

Networks are scored on the same images, so that only images on which they disagree tell them apart. That makes the
interval of a loss narrower than two accuracies by themselves allow.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ...base.errors import StoreError
from ...records.run import RunRecord
from ...records.store import Store
from ..estimates import CONFIDENCE, Estimate
from ..frames import frame_of


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


def scored(store: Store, runs: Sequence[RunRecord]) -> dict[tuple[str, str], pd.DataFrame]:
    """What each run made of every test image, see `outcomes_of`, by variant and runtime; of those that are known."""
    found = {}
    for run in runs:
        with contextlib.suppress(StoreError):  # damaged, or of weights trained before outcomes were kept
            found[run.name, run.runtime] = outcomes_of(store, run)
    return {key: known for key, known in found.items() if known is not None}


def outcomes(store: Store, runs: Sequence[RunRecord]) -> dict[str, pd.DataFrame]:
    """What each runtime made of every test image: a row per image, a column per variant, true where right.

    Variants of which it is not known what the weights that were profiled make of the images, or of other images than
    the first's, are left out. A runtime's frame is empty where there are none.
    """
    by_runtime: dict[str, dict[str, pd.DataFrame]] = {run.runtime: {} for run in runs}
    for (name, runtime), found in scored(store, runs).items():
        by_runtime[runtime][name] = found
    return {runtime: right_on_the_same_images(by_name) for runtime, by_name in by_runtime.items()}


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


def right_on_the_same_images(by_name: Mapping[Any, pd.DataFrame]) -> pd.DataFrame:
    """A row per image and a column per name, true where right.

    Args:
        by_name: Outcomes, as from `Store.read_outcomes`; those of other images than the first's are left out.
    """
    if not by_name:
        return pd.DataFrame()
    first, *_ = by_name.values()
    alike = {name: found for name, found in by_name.items() if found["label"].equals(first["label"])}
    return pd.DataFrame({name: found["predicted"] == found["label"] for name, found in alike.items()})


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


def paired_loss(base: NDArray[np.bool_], variant: NDArray[np.bool_], *, confidence: float = CONFIDENCE) -> Estimate:
    """How much smaller a share of the same images ``variant`` gets right, with the adjusted Wald interval.

    Source: Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data", Journal of Educational and Behavioral Statistics 37(4), 2012.
    """
    pairs, (only_base, only_variant) = len(base), _discordant(base, variant)
    first, second = ((count + 1) / (pairs + 2) for count in (only_base, only_variant))
    middle = first - second
    half = stats.norm.ppf((1 + confidence) / 2) * math.sqrt((first + second - middle**2) / (pairs + 2))
    return Estimate((only_base - only_variant) / pairs, middle - float(half), middle + float(half))


def _discordant(base: NDArray[np.bool_], variant: NDArray[np.bool_]) -> tuple[int, int]:
    """How many images only the one gets right, and how many only the other."""
    return int((base & ~variant).sum()), int((variant & ~base).sum())
