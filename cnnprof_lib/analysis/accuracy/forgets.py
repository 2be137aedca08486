"""Whom a network forgets that takes another's place: what it loses class by class, and the images it alone gets wrong.

Accuracy on all images hides that some classes may pay for the others. Source: Hooker et al., "What Do Compressed Deep
Neural Networks Forget?", arXiv:1911.05248, 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...base.errors import MeasureError, StoreError
from ...records.run import RunRecord
from ...records.store import Store
from ..estimates import CONFIDENCE, UNKNOWN, Estimate, difference_of_proportions, ends
from ..frames import frame_of
from .numbers import outcomes_of, paired_loss

LOST, LOST_MORE, GAINED = "lost", "more than the others", "gained"


class ForgottenRow(NamedTuple):
    """One class, by two networks."""

    label: str
    images: int
    top1_before: float
    top1_after: float
    loss: float
    """A share, negative for a gain. The intervals of all classes hold at once with 95%, by Bonferroni."""
    loss_low: float
    loss_high: float
    only_before: int
    """Images that only the network before gets right."""
    only_after: int
    told: str
    """`LOST`, `LOST_MORE` (by a larger share than all other classes together), `GAINED`; empty if nothing is known."""


class Forgotten(NamedTuple):
    """Two networks on the same test images."""

    before: RunRecord
    after: RunRecord
    classes: pd.DataFrame
    """A `ForgottenRow` per class."""
    images: int
    differ: int
    """Images that are given another class."""
    only_before: int
    only_after: int
    seeds_differ: float
    """The same of trainings of the network before that differ by the seed alone, the median of pairs; NaN if none."""
    lost: NDArray[np.intp]
    """Which images only the network before gets right, by their places among the test images."""
    outcomes: pd.DataFrame
    """``label``, ``before`` and ``after``: numbers of classes, a row per test image."""
    names: tuple[str, ...]
    """Of the classes; empty where they have none."""


def forgotten(store: Store, before: RunRecord, after: RunRecord) -> Forgotten:
    """Compares two runs on the same test images.

    Args:
        store: Where their outcomes are.
        before: The run of the network to be replaced.
        after: The run of the one that takes its place.

    Raises:
        MeasureError: of one of them it is not known what it makes of each image, or they met other images.
        StoreError: outcomes are damaged.
    """
    first, second = _outcomes(store, before), _outcomes(store, after)
    if not first["label"].equals(second["label"]):
        raise MeasureError(
            f"{before.name} ({before.run_id}) and {after.name} ({after.run_id}): were scored on other test images. "
            "Run both on the same: cnnprof run --data PATH"
        )
    both = pd.DataFrame({"label": first["label"], "before": first["predicted"], "after": second["predicted"]})
    right = [(both[name] == both["label"]).to_numpy() for name in ("before", "after")]
    names = after.images.classes or before.images.classes
    return Forgotten(
        before,
        after,
        by_class(both, names),
        images=len(both),
        differ=int((both["before"] != both["after"]).sum()),
        only_before=int((right[0] & ~right[1]).sum()),
        only_after=int((right[1] & ~right[0]).sum()),
        seeds_differ=_seeds_differ(store, before.name),
        lost=np.flatnonzero(right[0] & ~right[1]),
        outcomes=both,
        names=names,
    )


def _outcomes(store: Store, run: RunRecord) -> pd.DataFrame:
    found = outcomes_of(store, run)
    if found is None:
        raise MeasureError(
            f"{run.name} ({run.run_id}): what it makes of each test image in {run.runtime} is not known. "
            f"Run it on test images: cnnprof run {run.name} --runtime {run.runtime} --data PATH"
        )
    return found


def by_class(both: pd.DataFrame, names: Sequence[str] = ()) -> pd.DataFrame:
    """A `ForgottenRow` per class that has test images.

    Args:
        both: As `Forgotten.outcomes`.
        names: Of the classes; their numbers unless given.
    """
    labels = sorted(both["label"].unique())
    confidence = 1 - (1 - CONFIDENCE) / max(len(labels), 1)
    right = [(both[name] == both["label"]).to_numpy() for name in ("before", "after")]
    rows = []
    for label in labels:
        of_class = (both["label"] == label).to_numpy()
        first, second = (hits[of_class] for hits in right)
        loss = paired_loss(first, second, confidence=confidence)
        others = (
            UNKNOWN if len(labels) < 2 else paired_loss(*(hits[~of_class] for hits in right), confidence=confidence)
        )
        rows.append(
            ForgottenRow(
                names[label] if label < len(names) else str(label),
                len(first),
                float(first.mean()),
                float(second.mean()),
                *loss,
                only_before=int((first & ~second).sum()),
                only_after=int((second & ~first).sum()),
                told=_told(loss, others),
            )
        )
    return frame_of(ForgottenRow, rows)


def _told(loss: Estimate, others: Estimate) -> str:
    if loss.low > 0:
        return LOST_MORE if difference_of_proportions(loss, others).low > 0 else LOST
    return GAINED if loss.high < 0 else ""


def _seeds_differ(store: Store, name: str) -> float:
    """See `Forgotten.seeds_differ`; of trainings by the recipe of the reference weights."""
    try:
        reference = store.read_training(name)
        alike = [each for each in store.trainings() if reference and each.repeats(reference)]
        answers = [store.outcomes_of(each) for each in alike]
    except StoreError:  # damaged, or of before outcomes were kept
        return float("nan")
    pairs = [(a, b) for a, b in combinations(answers, 2) if a["label"].equals(b["label"])]
    return float(np.median([(a["predicted"] != b["predicted"]).sum() for a, b in pairs])) if pairs else float("nan")


def forgotten_for_scripts(found: Forgotten) -> dict[str, Any]:
    """What ``cnnprof diff --forgets --json`` prints."""
    return {
        **{
            side: {"variant": run.name, "runtime": run.runtime, "run_id": run.run_id}
            for side, run in (("before", found.before), ("after", found.after))
        },
        "images": found.images,
        "differ": found.differ,
        "only_before": found.only_before,
        "only_after": found.only_after,
        "seeds_differ": None if np.isnan(found.seeds_differ) else found.seeds_differ,
        "classes": [
            {
                "class": row["label"],
                "images": row["images"],
                "top1": {"before": row["top1_before"], "after": row["top1_after"]},
                "loss": {"value": row["loss"], "ci95": ends(row["loss_low"], row["loss_high"])},
                "only_before": row["only_before"],
                "only_after": row["only_after"],
                "told": row["told"] or None,
            }
            for row in found.classes.to_dict("records")
        ],
    }
