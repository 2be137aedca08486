"""The rules of claims.yaml on accuracy and training time, computed; see `rules`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..analysis.accuracy import numbers as accuracy
from ..analysis.accuracy.frontier import ANSWER_POINTS, answer, choices
from ..analysis.estimates import FEWEST, Estimate, difference_of_proportions, proportion, ratio_of_medians
from ..base.units import counted
from ..params.runtimes import REFERENCE_RUNTIME
from ..records.training import TrainingRecord
from . import BASELINE, STRIDES
from .claims import Claim, published_numbers
from .evidence import Evidence, Finding, NotTestable, Verdict, labelled, points_text, ratio_text, share_text
from .rules import rule, sized

_TRAINING_TIME = 8
_HOUR_S = 3600
_UNIT_S = {"h": _HOUR_S, "min": 60}


@rule(7, once=True)
def _accuracy_with_stride(claim: Claim, evidence: Evidence) -> Finding:
    ours, losses = _scores(claim, evidence, list(STRIDES.values()))
    worse = [
        f"stride {stride}"
        for stride, loss in zip(list(STRIDES)[1:], losses, strict=True)
        if loss.low > _published_loss(claim, "stride 1", f"stride {stride}").high
    ]
    if worse:
        return Finding(ours, Verdict.CONTRADICTED, f"more points lost than printed at {', '.join(worse)}")
    return Finding(ours, Verdict.REPRODUCED, "no stride loses more points than printed")


@rule(_TRAINING_TIME, once=True)
def _training_time(claim: Claim, evidence: Evidence) -> Finding:
    """Wherever both were trained by one recipe on one machine, of several seeds by the least disturbed."""
    base, stride5 = (evidence.trainings_of(STRIDES[stride]) for stride in (1, 5))
    others = _fastest_by_place(stride5)
    pairs = {place: (first, others[place]) for place, first in _fastest_by_place(base).items() if place in others}
    if not pairs:
        raise NotTestable(_what_is_unlike(base[0], stride5[0]))
    labels = [machine if len(pairs) > 1 else "" for machine, *_ in pairs]
    ours, verdicts, why = zip(*(_training_time_ratio(claim, *pair) for pair in pairs.values()), strict=True)
    return Finding(
        labelled(zip(labels, ours, strict=True)), Verdict.together(verdicts), labelled(zip(labels, why, strict=True))
    )


def _fastest_by_place(trainings: Sequence[TrainingRecord]) -> dict[tuple[str, str, int], TrainingRecord]:
    """Of each machine, recipe and batch size the training with the shortest median step.

    Left out are those whose history has not the rows that an interval needs.
    """
    timed = [training for training in trainings if len(training.history) >= FEWEST]
    slowest_first = sorted(timed, key=lambda training: -np.median(_step_s(training)))
    return {(record.machine_in_words, record.recipe, record.batch_size): record for record in slowest_first}


def _step_s(training: TrainingRecord) -> list[float]:
    """Of each row of the history the median step or, in older ones, the pace."""
    return [row.step_s or training.batch_size / row.images_per_s for row in training.history]


def _what_is_unlike(one: TrainingRecord, other: TrainingRecord) -> str:
    if one.batch_size != other.batch_size:
        return f"trained with batches of {one.batch_size} and {counted(other.batch_size, 'image')}"
    if one.recipe != other.recipe:
        return f"trained by recipe {one.recipe} and {other.recipe}"
    if one.machine_in_words != other.machine_in_words:
        return f"trained on {' and '.join(sorted((one.machine_in_words, other.machine_in_words)))}"
    return f"a training's history has fewer than {FEWEST} rows"


def _training_time_ratio(claim: Claim, base: TrainingRecord, stride5: TrainingRecord) -> Finding:
    step_s = [_step_s(base), _step_s(stride5)]
    ratio = ratio_of_medians(*step_s)
    steps = claim.published["training"]
    whole = [f"{np.median(seconds) * steps.value / _HOUR_S:.2f} h" for seconds in step_s]
    ours = f"{whole[0]} and {whole[1]} for {steps} by recipe {base.recipe}, ratio {ratio_text(ratio)}"
    first, second = published_step_s().values()
    return sized(ratio, (first.low / second.high, first.high / second.low), ours, there=ratio.low > 1)


def published_step_s() -> dict[str, Estimate]:
    """The seconds per training step that claim 8 comes to, by variant, with what its rounding leaves open."""
    published = published_numbers(_TRAINING_TIME)
    steps = published["training"].value
    printed = {STRIDES[stride]: published[f"stride {stride}"] for stride in (1, 5)}
    return {
        name: Estimate(*(_UNIT_S[number.unit] * value / steps for value in (number.value, *number.range)))
        for name, number in printed.items()
    }


def published_steps() -> float:
    """How many steps the thesis trained for."""
    return published_numbers(_TRAINING_TIME)["training"].value


@rule(9, "accuracy", once=True)
def _half_accuracy(claim: Claim, evidence: Evidence) -> Finding:
    names = [BASELINE, "filters32"]
    ours, (loss,) = _scores(claim, evidence, names)
    printed = _published_loss(claim, *names)
    alike = loss.low <= printed.high and printed.low <= loss.high
    return Finding(ours, Verdict.of(alike), f"{'' if alike else 'not '}as printed, {points_text(printed)}")


@rule(11, "accuracy", once=True)
def _pooling_accuracy(claim: Claim, evidence: Evidence) -> Finding:
    ours, (loss,) = _scores(claim, evidence, [BASELINE, "pool-large"])
    lost = loss.low > 0
    return Finding(ours, Verdict.of(not lost), "accuracy is lost" if lost else "no loss can be told")


def _published_loss(claim: Claim, base: str, other: str) -> Estimate:
    """The loss as printed, with the noise that as many test images leave."""
    images = round(claim.published["test images"].value)
    first, second = (proportion(round(claim.published[key].value / 100 * images), images) for key in (base, other))
    return difference_of_proportions(first, second)


def _scores(claim: Claim, evidence: Evidence, variants: list[str]) -> tuple[str, list[Estimate]]:
    """Accuracies and losses in words, and the losses of all but the first, the baseline.

    By weights of the thesis's own recipe where all have them, else by those that were profiled.

    Raises:
        NotTestable: those profiled do not answer for the thesis's, or an accuracy is missing.
    """
    base, *others = variants
    if by_original := set(variants) <= set(evidence.original):
        right = evidence.original[variants]
        top1 = [proportion(int(right[name].sum()), len(right)) for name in variants]
        losses = [accuracy.paired_loss(right[base].to_numpy(), right[name].to_numpy()) for name in others]
    else:
        top1 = [evidence.top1(name) for name in variants]
        losses = [evidence.loss(name) for name in others]
    ours = f"{', '.join(map(share_text, top1))}; lost: {', '.join(map(points_text, losses))}"
    if by_original:
        return f"by the thesis's recipe {ours}", losses
    _require_training(claim, evidence, variants, ours)
    return ours, losses


def _require_training(claim: Claim, evidence: Evidence, variants: Iterable[str], ours: str) -> None:
    """Raises `NotTestable` unless all weights were trained for as many steps as the thesis's, or are as good."""
    wanted = claim.published["training"].value
    for name in variants:
        weights = evidence.run(name).weights
        recipe = f"recipe {weights.recipe}" if weights.recipe else f"{weights.origin} weights"
        training = next((t for t in evidence.trainings if t.weights_sha256 == weights.sha256), None)
        if training is None:
            raise NotTestable(f"the weights of {name} ({recipe}) have no stored training", ours)
        if training.steps < wanted and (name, training.recipe) not in evidence.as_good:
            steps = f"{training.steps:,} of the thesis's {wanted:,.0f} steps"
            raise NotTestable(
                f"the weights of {name} were trained by {recipe} for {steps}, on {training.dataset}", ours
            )


@rule(16, once=True)
def _price_of_speed(claim: Claim, evidence: Evidence) -> Finding:
    """Of what is at least as fast, what loses least; beside it the thesis's own network, as measured here."""
    known = evidence.everywhere.dropna(subset=["loss"]) if len(evidence.everywhere) else evidence.everywhere
    if known.empty:
        raise NotTestable("it is not known what any network loses against the baseline in the reference runtime")
    printed, texts, cheaper = _published_loss(claim, "stride 1", "stride 5"), [], {}
    for name, times in claim.criteria.items():
        fast = known[known["ratio_high"] <= 1 / times.value]
        if not fast.empty:
            best = fast.sort_values("loss").iloc[0]
            texts.append((f"at least {times} faster", _price_text(best)))
            cheaper[name] = bool(best["loss_high"] < printed.low)
    own = known[(known["variant"] == STRIDES[5]) & (known["runtime"] == REFERENCE_RUNTIME)]
    texts += [("the thesis's own", _price_text(row)) for _, row in own.iterrows()]
    if (kept := answer(choices(known, (ANSWER_POINTS,)))) and kept.ratio < 1:
        texts.append((f"at most {ANSWER_POINTS:g} point lost", _price_text(pd.Series(kept._asdict()))))
    ours = labelled(texts)
    if cheaper.get("as fast"):
        return Finding(ours, Verdict.CONTRADICTED, f"fewer points lost than the printed {points_text(printed)}")
    if cheaper.get("nearly as fast"):
        return Finding(ours, Verdict.DEPENDS, f"fewer than the printed {points_text(printed)} at a little less speed")
    if "as fast" not in cheaper:
        raise NotTestable("nothing is 20 times faster", ours)
    return Finding(ours, Verdict.REPRODUCED, f"not fewer points lost than the printed {points_text(printed)}")


def _price_text(row: pd.Series[Any]) -> str:
    ratio, loss = (Estimate(*(row[f"{name}{end}"] for end in ("", "_low", "_high"))) for name in ("ratio", "loss"))
    return f"{row['variant']} in {row['runtime']}, ratio {ratio_text(ratio)}, {points_text(loss)}"
