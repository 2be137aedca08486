"""The rules of thesis/claims.yaml on accuracy and training time, computed; see `claim_rules`."""

from __future__ import annotations

from collections.abc import Iterable

from ..thesis.claims import Claim
from .claim_rules import STRIDES, sized
from .estimates import Estimate, difference_of_proportions, proportion, ratio_of_medians
from .evidence import Evidence, Finding, NotTestable, Outcome, points_text, ratio_text, share_text

_HOUR_S = 3600


def accuracy_with_stride(claim: Claim, evidence: Evidence) -> Finding:
    """Claim 7."""
    variants = [name for name in STRIDES.values() if name != "baseline"]
    losses = [evidence.loss(name) for name in variants]
    ours = _accuracies(evidence, STRIDES.values()) + "; lost: " + ", ".join(map(points_text, losses))
    _require_training(claim, evidence, STRIDES.values(), ours)
    worse = [
        f"stride {stride}"
        for stride, loss in zip(list(STRIDES)[1:], losses, strict=True)
        if loss.low > _published_loss(claim, "stride 1", f"stride {stride}").high
    ]
    if worse:
        return Finding(ours, Outcome.FAILS, f"more points lost than printed at {', '.join(worse)}")
    return Finding(ours, Outcome.HOLDS, "no stride loses more points than printed")


def training_time(claim: Claim, evidence: Evidence) -> Finding:
    """Claim 8: by the median of the stretches between two rows of a training's history."""
    trainings = [evidence.training(STRIDES[stride]) for stride in (1, 5)]
    if unlike := [t.batch_size for t in trainings if t.batch_size != trainings[0].batch_size]:
        raise NotTestable(f"trained with batches of {trainings[0].batch_size} and {unlike[0]} images")
    step_s = [[t.batch_size / row.images_per_s for row in t.history] for t in trainings]
    if any(len(stretches) < 2 for stretches in step_s):
        raise NotTestable("a training's history has fewer than two rows")
    ratio = ratio_of_medians(*step_s)
    steps = claim.published["training"]
    whole = [f"{t.seconds / t.steps * steps.value / _HOUR_S:.1f} h" for t in trainings]
    ours = f"{whole[0]} and {whole[1]} for {steps} at the mean pace, ratio of the medians {ratio_text(ratio)}"
    hours, minutes = claim.published["stride 1"].range, claim.published["stride 5"].range
    span = (60 * hours[0] / minutes[1], 60 * hours[1] / minutes[0])
    return sized(ratio, span, ours, there=ratio.low > 1)


def half_accuracy(claim: Claim, evidence: Evidence) -> Finding:
    """Claim 9, accuracy."""
    loss, names = evidence.loss("filters32"), ("baseline", "filters32")
    ours = f"{_accuracies(evidence, names)}; lost: {points_text(loss)}"
    _require_training(claim, evidence, names, ours)
    printed = _published_loss(claim, *names)
    if loss.low <= printed.high and printed.low <= loss.high:
        return Finding(ours, Outcome.HOLDS, f"as printed, {points_text(printed)}")
    return Finding(ours, Outcome.FAILS, f"not as printed, {points_text(printed)}")


def pooling_accuracy(claim: Claim, evidence: Evidence) -> Finding:
    """Claim 11, accuracy."""
    loss, names = evidence.loss("pool-large"), ("baseline", "pool-large")
    ours = f"{_accuracies(evidence, names)}; lost: {points_text(loss)}"
    _require_training(claim, evidence, names, ours)
    if loss.low > 0:
        return Finding(ours, Outcome.FAILS, "accuracy is lost")
    return Finding(ours, Outcome.HOLDS, "no loss can be told")


def _published_loss(claim: Claim, base: str, other: str) -> Estimate:
    """The loss as printed, with the noise that as many test images leave."""
    images = round(claim.published["test images"].value)
    first, second = (proportion(round(claim.published[key].value / 100 * images), images) for key in (base, other))
    return difference_of_proportions(first, second)


def _accuracies(evidence: Evidence, variants: Iterable[str]) -> str:
    return ", ".join(share_text(evidence.top1(name)) for name in variants)


def _require_training(claim: Claim, evidence: Evidence, variants: Iterable[str], ours: str) -> None:
    """Raises `NotTestable` unless the weights of all variants were trained for as many steps as the thesis's."""
    wanted = claim.published["training"].value
    for name in variants:
        weights = evidence.run(name).weights
        recipe = f"recipe {weights.recipe}" if weights.recipe else f"{weights.origin} weights"
        training = evidence.training_of(weights.sha256)
        if training is None:
            raise NotTestable(f"the weights of {name} ({recipe}) have no stored training", ours)
        if training.steps < wanted:
            steps = f"{training.steps:,} of the thesis's {wanted:,.0f} steps"
            raise NotTestable(f"the weights were trained by {recipe} for {steps}, on {training.dataset}", ours)
