"""The thesis's claims with verdicts computed from this project's records by the rules of thesis/claims.yaml."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd

from ..analysis import frames
from ..analysis.accuracy import numbers as accuracy
from ..analysis.frames import Record
from ..analysis.resolution import Resolution, resolutions
from ..params.settings import Runtime
from ..records.store import Store
from ..records.training import TrainingRecord
from . import recipes, rules, training_rules
from .claims import Claim, load_claims
from .evidence import Evidence, Finding, NotTestable, Outcome, labelled

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
DEPENDS = "depends on machine or runtime"
NOT_TESTABLE = "not testable here"

EXPLANATION = (
    "Each rule is asked in every runtime that has the runs for it. A claim that holds in all of them is reproduced, "
    "one that fails in all is contradicted; where they disagree, or the effect is there in another size, it depends on "
    "the machine or runtime. A claim of several parts is as good as its worst; a part without an answer does not count."
)
"""How the rules make a verdict, for the reader of the table."""

COLUMNS = ("number", "claim", "source", "published", "ours", "verdict", "reason", "rule")


class _Part(NamedTuple):
    """One part of a claim: its name, empty where it is the whole, and its rule, asked once or in each runtime."""

    name: str
    in_each_runtime: rules.RuntimeRule | None = None
    once: rules.WholeRule | None = None


_PARTS: Mapping[int, tuple[_Part, ...]] = {
    1: (_Part("", rules.conv2d_first),),
    2: (_Part("", rules.lrn_second),),
    3: (_Part("", rules.queue_then_conv2d),),
    4: (_Part("", rules.time_falls_with_stride),),
    5: (_Part("", rules.share_falls_with_stride),),
    6: (_Part("", rules.conv2d_bytes),),
    7: (_Part("", once=training_rules.accuracy_with_stride),),
    8: (_Part("", once=training_rules.training_time),),
    9: (
        _Part("time", rules.half_time),
        _Part("memory", rules.half_memory),
        _Part("accuracy", once=training_rules.half_accuracy),
    ),
    10: (_Part("", rules.half_filters_share),),
    11: (_Part("time", rules.pooling_time), _Part("accuracy", once=training_rules.pooling_accuracy)),
    12: (_Part("", rules.profiling_slows),),
    13: (_Part("parameters", once=rules.parameters), _Part("multiply-adds", once=rules.multiply_adds)),
    14: (_Part("", rules.combination),),
    15: (_Part("", once=rules.whole_output),),
}


def judge(
    records: Sequence[Record],
    trainings: Sequence[TrainingRecord] = (),
    executed: pd.DataFrame | None = None,
    lost: pd.DataFrame | None = None,
    as_good: frozenset[tuple[str, str]] = frozenset(),
    original: pd.DataFrame | None = None,
    resolutions: Mapping[Runtime, Resolution] | None = None,
) -> pd.DataFrame:
    """Judges every claim of the thesis.

    Args:
        records: Runs and failures, one per variant and runtime, as from `frames.load_records`.
        trainings: How weights came about, for the claims on accuracy and on training time.
        executed: Node executions, as from `frames.executions`, for the intervals of the ops' shares.
        lost: Losses of accuracy image by image, as from `losses`; without them accuracies are compared apart.
        as_good: Variants with recipes that are as good on them as the thesis's, as from `recipes.as_good`.
        original: Outcomes under weights of the thesis's recipe, as from `recipes.original_outcomes`, which are what
            accuracy is judged by where all variants of a claim have them.
        resolutions: What the machine can tell apart in each runtime, as from `resolution.resolutions`.

    Returns:
        One row per claim, in their order: ``number``; ``claim``, in this project's words; ``source`` in the thesis;
        ``published`` numbers; ``ours``, with 95% intervals in brackets; ``verdict`` (`REPRODUCED`, `CONTRADICTED`,
        `DEPENDS` or `NOT_TESTABLE`); ``reason``, what decided; ``rule``. All but the number are texts.
    """
    evidence = Evidence(records, trainings, executed, lost, as_good, original, resolutions or {})
    rows = [_judged(claim, evidence) for claim in load_claims()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def judge_stored(records: Sequence[Record], store: Store) -> pd.DataFrame:
    """Judges every claim by the records and by all that is stored of them: trainings, executions, outcomes of images.

    Args:
        records: As from `frames.load_records`.
        store: Where they are from.

    Raises:
        StoreError: something of it cannot be read.
    """
    runs = frames.completed(records)
    lost = accuracy.losses(accuracy.outcomes(store, runs))
    trainings = store.trainings()
    as_good = recipes.as_good(recipes.compare(store, trainings))
    original = recipes.original_outcomes(store, trainings, training_rules.published_steps())
    executed = frames.executions(records, store)
    return judge(records, trainings, executed, lost, as_good, original, resolutions(store, runs))


def _judged(claim: Claim, evidence: Evidence) -> dict[str, object]:
    findings = [found for part in _PARTS[claim.number] for found in _findings(part, claim, evidence)]
    return {
        "number": claim.number,
        "claim": claim.claim,
        "source": claim.source,
        "published": "; ".join(f"{what} {number}" for what, number in claim.published.items()),
        "ours": labelled([(label, found.ours) for _, label, found in findings]),
        "verdict": _verdict([(part, found.outcome) for part, _, found in findings]),
        "reason": labelled([(label, found.why) for _, label, found in findings]),
        "rule": claim.rule,
    }


def _findings(part: _Part, claim: Claim, evidence: Evidence) -> Iterator[tuple[str, str, Finding]]:
    """The part's name, the place (part and runtime) as a label, and what was found there."""
    if rule := part.once:
        yield part.name, part.name, _found(partial(rule, claim, evidence))
    elif in_runtime := part.in_each_runtime:
        if not evidence.runtimes:
            yield part.name, part.name, Finding("", None, "nothing was measured")
        for runtime in evidence.runtimes:
            label = f"{part.name} in {runtime}" if part.name else runtime
            yield part.name, label, _found(partial(in_runtime, claim, evidence, runtime))


def _found(rule: Callable[[], Finding]) -> Finding:
    try:
        return rule()
    except NotTestable as missing:
        return Finding(missing.ours, None, str(missing))


def _verdict(outcomes: Sequence[tuple[str, Outcome | None]]) -> str:
    """A claim stands if all its parts do and falls with any; what could not be judged does not count."""
    verdicts = {_part_verdict([o for name, o in outcomes if name == part]) for part, _ in outcomes}
    order = (CONTRADICTED, DEPENDS, REPRODUCED)
    return next((verdict for verdict in order if verdict in verdicts), NOT_TESTABLE)


def _part_verdict(outcomes: Sequence[Outcome | None]) -> str:
    """What the runtimes that could be judged say together."""
    decided = {outcome for outcome in outcomes if outcome}
    if not decided:
        return NOT_TESTABLE
    if decided == {Outcome.HOLDS}:
        return REPRODUCED
    return CONTRADICTED if decided == {Outcome.FAILS} else DEPENDS
