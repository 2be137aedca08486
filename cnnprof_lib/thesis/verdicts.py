"""The thesis's claims with verdicts computed from this project's records by the rules of claims.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from ..analysis import check, choice, frames
from ..analysis.frames import Record
from ..records.store import Store
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


def judge(evidence: Evidence) -> pd.DataFrame:
    """Judges every claim of the thesis.

    Returns:
        One row per claim, in their order: ``number``; ``claim``, in this project's words; ``source`` in the thesis;
        ``published`` numbers; ``ours``, with 95% intervals in brackets; ``verdict`` (`REPRODUCED`, `CONTRADICTED`,
        `DEPENDS` or `NOT_TESTABLE`); ``reason``, what decided; ``rule``. All but the number are texts.
    """
    return pd.DataFrame([_judged(claim, evidence) for claim in load_claims()])


def judge_stored(records: Sequence[Record], store: Store) -> pd.DataFrame:
    """Judges every claim by the records and by all that is stored of them: trainings, executions, outcomes of images.

    Args:
        records: As from `frames.load`.
        store: Where they are from.

    Raises:
        StoreError: something of it cannot be read.
    """
    runs, trainings = frames.completed(records), store.trainings()
    return judge(
        Evidence(
            records,
            trainings,
            executed=frames.executions(records, store),
            lost=choice.losses(choice.outcomes(store, runs)),
            as_good=recipes.as_good(recipes.compare(store, trainings)),
            original=recipes.original_outcomes(store, trainings, training_rules.published_steps()),
            resolutions=check.resolutions(store, runs),
        )
    )


def _judged(claim: Claim, evidence: Evidence) -> dict[str, object]:
    findings = [found for part in rules.PARTS[claim.number] for found in _findings(part, claim, evidence)]
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


def _findings(part: rules.Part, claim: Claim, evidence: Evidence) -> Iterator[tuple[str, str, Finding]]:
    """The part's name, the place (part and runtime) as a label, and what was found there."""
    if part.once:
        yield part.name, part.name, _found(part, claim, evidence)
    elif not evidence.by_runtime:
        yield part.name, part.name, Finding("", None, "nothing was measured")
    else:
        for runtime, there in evidence.by_runtime.items():
            label = f"{part.name} in {runtime}" if part.name else runtime
            yield part.name, label, _found(part, claim, there)


def _found(part: rules.Part, claim: Claim, evidence: Evidence) -> Finding:
    try:
        return part.rule(claim, evidence)
    except NotTestable as missing:
        return Finding(missing.ours, None, str(missing))


def _verdict(outcomes: Sequence[tuple[str, Outcome | None]]) -> str:
    """A claim stands if all its parts do and falls with any; what could not be judged does not count."""
    verdicts = {_part_verdict({o for name, o in outcomes if name == part} - {None}) for part, _ in outcomes}
    order = (CONTRADICTED, DEPENDS, REPRODUCED)
    return next((verdict for verdict in order if verdict in verdicts), NOT_TESTABLE)


def _part_verdict(decided: set[Outcome | None]) -> str:
    """What the runtimes that could be judged say together."""
    if not decided:
        return NOT_TESTABLE
    if decided == {Outcome.HOLDS}:
        return REPRODUCED
    return CONTRADICTED if decided == {Outcome.FAILS} else DEPENDS
