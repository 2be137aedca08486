"""What a search predicts of networks, which of them it tries, and how all that were tried compare."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...base.errors import StoreError
from ...params.network import Network
from ...params.settings import RecipeSpec
from ...records.search import CandidateRecord, ForecastRecord, SearchRecord
from ...records.store import Store
from ...records.training import TrainingRecord
from ..estimates import UNKNOWN, Estimate, proportion
from ..frames import frame_of
from ..pool import pooled
from ..prediction.numbers import Prediction, Predictor
from ..resolution import ratio_to_reference

CANDIDATE, FINALIST, PICKED, EARLIER = "candidate", "finalist", "picked by a person", "of an earlier start"
"""What a network of a search is. Those of an earlier start are not among what the search would try now."""
_NEAREST = 3
"""Stored trainings by which one is expected to take as long. Own choice."""


def forecast(predictor: Predictor, baseline: Prediction, network: Network, batch_size: int) -> ForecastRecord:
    """The latency of a network and its ratio to that of the baseline, whose errors are taken as independent."""
    found = predictor.predict(network, batch_size)
    ratio = found.latency_s / baseline.latency_s
    factor = math.exp(math.hypot(*(math.log(each.high_s / each.latency_s) for each in (found, baseline))))
    return ForecastRecord(
        latency_s=found.latency_s,
        low_s=found.low_s,
        high_s=found.high_s,
        ratio=ratio,
        ratio_low=ratio / factor,
        ratio_high=ratio * factor,
        outside=found.outside,
    )


def most_unlike(
    macs: Sequence[int], ratios: Sequence[float], choices: Sequence[Sequence[object]], count: int
) -> list[int]:
    """Which networks to try: those that compute much in their time, and among them such as are little alike.

    Of each network it is asked what share its multiply-adds are of the most that any network predicted no slower has.
    The half with the larger shares stays, or as many as are wanted. The first taken is the one of them with the most
    multiply-adds. Each next differs in the most choices from the one taken that it is most like; of several such the
    one with the largest share goes first. It is the greedy choice of Gonzalez, "Clustering to minimize the maximum
    intercluster distance", 1985. Nothing is drawn, so that the same networks give the same choice.

    Args:
        macs: Multiply-adds of one image, of each network.
        ratios: Their predicted latencies, in any unit.
        choices: What was chosen for each of their parts.
        count: How many to take; all where there are no more.

    Returns:
        Their places, in the order taken.
    """
    work = np.asarray(macs, dtype=float)
    by_speed = np.lexsort((-work, np.asarray(ratios)))
    shares = np.empty(len(work))
    shares[by_speed] = work[by_speed] / np.maximum.accumulate(work[by_speed])
    kept = np.lexsort((-work, -shares))[: max(count, math.ceil(len(work) / 2))]
    parts = np.array([[str(part) for part in choices[place]] for place in kept])
    taken = [int(np.argmax(work[kept]))] if len(kept) else []
    unlike = np.full(len(kept), np.inf)
    while len(taken) < min(count, len(kept)):
        unlike = np.minimum(unlike, (parts != parts[taken[-1]]).sum(axis=1))
        unlike[taken] = -1
        taken.append(int(np.argmax(unlike)))  # of equals the first, which has the larger share
    return [int(kept[place]) for place in taken]


def expected_s(macs: float, recipe: RecipeSpec, known: Iterable[tuple[str, float, float]]) -> float | None:
    """How long a training will take, by those that are the nearest in multiply-adds; None where there is none.

    Args:
        macs: Multiply-adds of one image.
        recipe: How it is trained.
        known: The recipe, multiply-adds and seconds an image of each training that is stored; those of the same recipe
            count, if there are any.
    """
    found = list(known)
    alike = [each for each in found if each[0] == recipe.name] or found
    if not alike:
        return None
    nearest = sorted(alike, key=lambda each: abs(math.log(each[1] / macs)))[:_NEAREST]
    per_image_s = float(np.median([seconds / work for _, work, seconds in nearest])) * macs
    return per_image_s * recipe.batch_size * recipe.steps


def best(candidates: Iterable[CandidateRecord], count: int) -> list[CandidateRecord]:
    """The candidates that got the most of the held-out images right; of equals those predicted faster."""
    tried = [(record.trial.held_out.top1, record) for record in candidates if record.trial and not record.picked]
    ordered = sorted(tried, key=lambda pair: (-pair[0], pair[1].predicted.ratio, pair[1].variant.name))
    return [record for _, record in ordered[:count]]


class TriedRow(NamedTuple):
    """A network of a search. Ratios are to its baseline in the reference runtime; what is not known is missing."""

    search: str
    variant: str
    role: str
    """`CANDIDATE`, `FINALIST`, `PICKED` or `EARLIER`."""
    macs_per_image: int
    parameters: int
    latency_s: float
    """Predicted, per step."""
    ratio: float
    """Predicted."""
    ratio_low: float
    ratio_high: float
    outside: int
    """Layers unlike any that were calibrated."""
    held_out: float
    """Top-1 on the images held out, by the proxy."""
    held_out_low: float
    held_out_high: float
    seconds: float
    """Of the proxy."""
    full_held_out: float
    """The same by the recipe of the finalists."""
    full_test: float
    """Top-1 on the test images, by that recipe."""
    measured_ratio: float
    measured_ratio_low: float
    measured_ratio_high: float


def tried(store: Store) -> pd.DataFrame:
    """A `TriedRow` for each network of all searches; in a search the most accurate first, those of earlier starts last.

    Args:
        store: What is stored.
    """
    rows = []
    for search in store.searches():
        stored = store.candidates(search.spec.name).items()
        wanted = [(key, record) for key, record in stored if key in search.candidates or record.trial]
        found = [_row(search, key, record, store) for key, record in wanted]
        rows += sorted(found, key=lambda row: (row.role == EARLIER, -_or_zero(row.held_out), row.ratio, row.variant))
    return frame_of(TriedRow, rows)


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _row(search: SearchRecord, key: str, record: CandidateRecord, store: Store) -> TriedRow:
    network, predicted, trial = record.variant.network, record.predicted, record.trial
    held_out = proportion(trial.held_out.correct, trial.held_out.images) if trial else UNKNOWN
    trained = _trained(record, search.recipe, store)
    return TriedRow(
        search.spec.name,
        record.variant.name,
        _role(search, key, record),
        network.macs_per_image,
        network.parameters,
        predicted.latency_s,
        predicted.ratio,
        predicted.ratio_low,
        predicted.ratio_high,
        len(predicted.outside),
        *held_out,
        trial.seconds if trial else math.nan,
        trained.held_out.top1 if trained and trained.held_out else math.nan,
        trained.test.top1 if trained else math.nan,
        *_measured(search, record.variant.name, store),
    )


def _role(search: SearchRecord, key: str, record: CandidateRecord) -> str:
    if key not in search.candidates:
        return EARLIER
    if record.picked:
        return PICKED
    return FINALIST if key in search.finalists else CANDIDATE


def _trained(record: CandidateRecord, recipe: RecipeSpec, store: Store) -> TrainingRecord | None:
    with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
        return store.training_by(record.variant, recipe)
    return None


def _measured(search: SearchRecord, name: str, store: Store) -> Estimate:
    """The ratio of the newest runs of a network in the search's runtime and batches, beside the same baseline."""
    spec = search.spec
    try:
        run = pooled(store.newest_runs(name, spec.runtime, spec.batch_size))
    except StoreError:  # there is none
        return UNKNOWN
    return ratio_to_reference(run, None) if run.reference and run.reference.network == spec.baseline else UNKNOWN
