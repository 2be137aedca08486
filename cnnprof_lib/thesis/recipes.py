"""Recipes against each other: their spread over seeds, and each in pairs with the thesis's on the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from ..analysis.accuracy.numbers import right_on_the_same_images
from ..analysis.estimates import CONFIDENCE
from ..base.errors import StoreError
from ..records.store import Store
from ..records.training import TrainingRecord
from . import PUBLISHED

ORIGINAL = "thesis"
"""The recipe that the others are judged by."""
SHORTENED = "thesis-20000"
"""The same in a fifth of its steps: what they are judged by on a variant that it was not trained on in full."""
TOLERATED_LOSS = 0.005
"""What a recipe may lose against it, as a share: half a percentage point."""
WORSE = "worse"

_LOST = ("loss", "loss_low", "loss_high", "p_value", "verdict")


def compare(store: Store, trainings: Sequence[TrainingRecord]) -> pd.DataFrame:
    """One row per variant and recipe, with means over the seeds.

    A recipe that was changed between trainings is another one, whatever its name.

    Args:
        store: Where the outcomes of the test images are.
        trainings: What to compare.

    Returns:
        ``variant``, ``recipe``, ``settings`` (counts those of one name from 1), ``steps``, ``seeds`` (their number),
        ``training_s`` (steps times the median step of the fastest seed), ``held_out_top1``, ``top1`` with ``top1_low``
        and ``top1_high``, the least and the most of all seeds; ``published_top1``, in rows of the thesis's recipe;
        ``against``, `ORIGINAL` or, where the variant was not trained by it, `SHORTENED` (the longest training by it);
        ``loss``, how much of its accuracy on the same variant is lost, a share, with ``loss_low``, ``loss_high`` and
        ``p_value`` of a t-test over the paired images (NaN where there is no such training or outcomes are missing);
        ``verdict``, that in a word.
    """
    groups: dict[tuple[str, str, str], list[TrainingRecord]] = {}
    for record in trainings:
        groups.setdefault((record.variant.name, record.recipe, record.but_for_chance), []).append(record)
    right = {key: _share_right(store, records) for key, records in groups.items()}
    by_length = sorted(groups, key=lambda key: (key[1] == ORIGINAL, groups[key][0].steps))
    originals = {key[0]: key for key in by_length if key[1] in (ORIGINAL, SHORTENED)}
    rows: list[dict[str, Any]] = []
    for key, records in groups.items():
        (variant, recipe, _), steps = key, records[0].steps
        top1 = [record.test.top1 for record in records]
        printed = PUBLISHED[variant].top1 if recipe == ORIGINAL and variant in PUBLISHED else np.nan
        original = None if recipe in (ORIGINAL, SHORTENED) else originals.get(variant)
        rows.append(
            {
                "variant": variant,
                "recipe": recipe,
                "settings": 1 + sum((row["variant"], row["recipe"]) == (variant, recipe) for row in rows),
                "steps": steps,
                "seeds": len(records),
                "training_s": steps * min((record.step_s for record in records if record.step_s), default=np.nan),
                "held_out_top1": np.mean([record.held_out.top1 if record.held_out else np.nan for record in records]),
                "top1": np.mean(top1),
                "top1_low": min(top1),
                "top1_high": max(top1),
                "published_top1": printed,
                "against": original[1] if original else "",
                **dict(zip(_LOST, _lost(right[original] if original else None, right[key]), strict=True)),
            }
        )
    return pd.DataFrame(rows)


def as_good(compared: pd.DataFrame) -> frozenset[tuple[str, str]]:
    """The variants and recipes, in pairs, that were compared with the thesis's in full and nowhere found worse."""
    if compared.empty:  # of no trainings, and without columns
        return frozenset()
    good = ~compared["verdict"].isin(["", WORSE]) & (compared["against"] == ORIGINAL)
    in_all_settings = good.groupby([compared["variant"], compared["recipe"]]).all()
    return frozenset(in_all_settings[in_all_settings].index)


def original_outcomes(store: Store, trainings: Sequence[TrainingRecord], steps: float) -> pd.DataFrame:
    """What the weights of `ORIGINAL` made of every test image: a row per image, a column per variant, true where right.

    Args:
        store: Where the outcomes are.
        trainings: Where to look; of several of a variant the first counts. Those of other images are left out.
        steps: How many the recipe has in full; shorter trainings do not count.
    """
    scored: dict[str, pd.DataFrame] = {}
    for record in trainings:
        if record.recipe == ORIGINAL and record.steps >= steps and record.variant.name not in scored:
            try:
                scored[record.variant.name] = store.outcomes_of(record)
            except StoreError:  # of before outcomes were kept
                continue
    return right_on_the_same_images(scored)


def _share_right(store: Store, records: Sequence[TrainingRecord]) -> npt.NDArray[np.float64] | None:
    """Of every test image the share of the trainings that classify it correctly; None where outcomes are missing."""
    try:
        outcomes = [store.outcomes_of(record) for record in records]
    except StoreError:  # of before outcomes were kept
        return None
    right = np.array([(found["predicted"] == found["label"]).to_numpy() for found in outcomes])
    return np.asarray(right.mean(axis=0), np.float64)


def _lost(
    original: npt.NDArray[np.float64] | None, other: npt.NDArray[np.float64] | None
) -> tuple[float, float, float, float, str]:
    """A t-test over images: means over seeds are not the counts that `accuracy.numbers.paired_loss` needs."""
    if original is None or other is None or len(original) != len(other):
        return np.nan, np.nan, np.nan, np.nan, ""
    lost = original - other
    if not lost.any():
        return 0.0, 0.0, 0.0, 1.0, "the same"
    test = stats.ttest_1samp(lost, 0.0)
    loss = float(lost.mean())
    verdict = WORSE
    if loss <= TOLERATED_LOSS:
        verdict = f"not more than {100 * TOLERATED_LOSS:g} points"
    elif test.pvalue >= 1 - CONFIDENCE:
        verdict = "no difference can be told"
    return loss, *test.confidence_interval(CONFIDENCE), test.pvalue, verdict
