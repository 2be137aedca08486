"""The rules of thesis/claims.yaml on accuracy and training time, computed; see `claim_rules`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..thesis.claims import Claim, Number, load_claims
from . import choice
from .claim_rules import STRIDES, sized
from .estimates import Estimate, difference_of_proportions, proportion, ratio_of_medians
from .evidence import Evidence, Finding, NotTestable, Outcome, points_text, ratio_text, share_text

_TRAINING_TIME = 8
_HOUR_S = 3600
_UNIT_S = {"h": _HOUR_S, "min": 60}


def accuracy_with_stride(claim: Claim, evidence: Evidence) -> Finding:
    """Claim 7."""
    ours, losses = _scores(claim, evidence, list(STRIDES.values()))
    worse = [
        f"stride {stride}"
        for stride, loss in zip(list(STRIDES)[1:], losses, strict=True)
        if loss.low > _published_loss(claim, "stride 1", f"stride {stride}").high
    ]
    if worse:
        return Finding(ours, Outcome.FAILS, f"more points lost than printed at {', '.join(worse)}")
    return Finding(ours, Outcome.HOLDS, "no stride loses more points than printed")


def training_time(claim: Claim, evidence: Evidence) -> Finding:
    """Claim 8: by the medians over a training's history, whose rows tell the median step or, older ones, the pace."""
    trainings = [evidence.training(STRIDES[stride]) for stride in (1, 5)]
    if unlike := [t.batch_size for t in trainings if t.batch_size != trainings[0].batch_size]:
        raise NotTestable(f"trained with batches of {trainings[0].batch_size} and {unlike[0]} images")
    first, second = (t.recipe for t in trainings)
    if first != second:
        raise NotTestable(f"trained by recipe {first} and {second}")
    machines = {f"{t.machine.cpu} ({t.machine.logical_cores} cores)" for t in trainings if t.machine}
    if len(machines) > 1:
        raise NotTestable(f"trained on {' and '.join(sorted(machines))}")
    step_s = [[row.step_s or t.batch_size / row.images_per_s for row in t.history] for t in trainings]
    if any(len(stretches) < 2 for stretches in step_s):
        raise NotTestable("a training's history has fewer than two rows")
    ratio = ratio_of_medians(*step_s)
    steps = claim.published["training"]
    whole = [f"{np.median(seconds) * steps.value / _HOUR_S:.1f} h" for seconds in step_s]
    ours = f"{whole[0]} and {whole[1]} for {steps} by recipe {first}, ratio {ratio_text(ratio)}"
    base, stride5 = published_step_s().values()
    return sized(ratio, (base.low / stride5.high, base.high / stride5.low), ours, there=ratio.low > 1)


def published_step_s() -> dict[str, Estimate]:
    """The seconds per training step that claim 8 comes to, by variant, with what its rounding leaves open."""
    published = _published_times()
    steps = published["training"].value
    printed = {STRIDES[stride]: published[f"stride {stride}"] for stride in (1, 5)}
    return {
        name: Estimate(*(_UNIT_S[number.unit] * value / steps for value in (number.value, *number.range)))
        for name, number in printed.items()
    }


def published_steps() -> float:
    """How many steps the thesis trained for."""
    return _published_times()["training"].value


def _published_times() -> Mapping[str, Number]:
    (claim,) = (claim for claim in load_claims() if claim.number == _TRAINING_TIME)
    return claim.published


def half_accuracy(claim: Claim, evidence: Evidence) -> Finding:
    """Claim 9, accuracy."""
    names = ["baseline", "filters32"]
    ours, (loss,) = _scores(claim, evidence, names)
    printed = _published_loss(claim, *names)
    if loss.low <= printed.high and printed.low <= loss.high:
        return Finding(ours, Outcome.HOLDS, f"as printed, {points_text(printed)}")
    return Finding(ours, Outcome.FAILS, f"not as printed, {points_text(printed)}")


def pooling_accuracy(claim: Claim, evidence: Evidence) -> Finding:
    """Claim 11, accuracy."""
    ours, (loss,) = _scores(claim, evidence, ["baseline", "pool-large"])
    if loss.low > 0:
        return Finding(ours, Outcome.FAILS, "accuracy is lost")
    return Finding(ours, Outcome.HOLDS, "no loss can be told")


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
    original = evidence.original
    if by_original := original is not None and set(variants) <= set(original):
        right = original[variants]
        top1 = [proportion(int(right[name].sum()), len(right)) for name in variants]
        losses = [choice.paired_loss(right[base].to_numpy(), right[name].to_numpy()) for name in others]
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
        training = evidence.training_of(weights.sha256)
        if training is None:
            raise NotTestable(f"the weights of {name} ({recipe}) have no stored training", ours)
        if training.steps < wanted and (name, training.recipe) not in evidence.as_good:
            steps = f"{training.steps:,} of the thesis's {wanted:,.0f} steps"
            raise NotTestable(
                f"the weights of {name} were trained by {recipe} for {steps}, on {training.dataset}", ours
            )
