"""The thesis's claims with verdicts computed from this project's records by the rules of claims.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from ..analysis import frames
from ..analysis.accuracy import numbers as accuracy
from ..analysis.frames import Record
from ..analysis.resolution import checked_by
from ..records.store import Store
from . import BASELINE, recipes, rules, training_rules
from .claims import Claim, load_claims
from .evidence import Evidence, Finding, NotTestable, Verdict, labelled

EXPLANATION = (
    "Each rule is applied in every runtime that has the runs for it. A claim is reproduced if it holds in all of them, "
    "and contradicted if it fails in all of them. It depends on the machine or runtime if the runtimes disagree, or if "
    "the effect has another size. A claim of several parts gets the verdict of its worst part. A part that cannot be "
    "tested does not count."
)
"""How the rules make a verdict, for the reader of the table."""


def judge(evidence: Evidence) -> pd.DataFrame:
    """Judges every claim of the thesis.

    Returns:
        One row per claim, in their order: ``number``; ``claim``, in this project's words; ``source`` in the thesis;
        ``published`` numbers; ``ours``, with 95% intervals in brackets; ``verdict``, a `Verdict`; ``reason``, what
        decided; ``rule``. All but the number are texts.
    """
    return pd.DataFrame([_judged(claim, evidence) for claim in load_claims()])


def judge_stored(records: Sequence[Record], store: Store, everywhere: pd.DataFrame) -> pd.DataFrame:
    """Judges every claim by the records and by all that is stored of them: trainings, executions, outcomes of images.

    Args:
        records: As from `Study.records`.
        store: Where they are from.
        everywhere: All networks in all runtimes, from `accuracy.frontier.frontier`.

    Raises:
        StoreError: something of it cannot be read.
    """
    runs, trainings = frames.completed(records), store.trainings()
    return judge(
        Evidence(
            records,
            trainings,
            executed=frames.executions(records, store),
            lost=accuracy.losses(accuracy.outcomes(store, runs), BASELINE),
            as_good=recipes.as_good(recipes.compare(store, trainings)),
            original=recipes.original_outcomes(store, trainings, training_rules.published_steps()),
            resolution_of=checked_by(store),
            everywhere=everywhere,
        )
    )


def _judged(claim: Claim, evidence: Evidence) -> dict[str, object]:
    parts = [list(_findings(part, claim, evidence)) for part in rules.PARTS[claim.number]]
    verdicts = {Verdict.together(finding.verdict for _, finding in findings) for findings in parts}
    return {
        "number": claim.number,
        "claim": claim.claim,
        "source": claim.source,
        "published": "; ".join(f"{what} {number}" for what, number in claim.published.items()),
        "ours": labelled((label, finding.ours) for findings in parts for label, finding in findings),
        "verdict": next(verdict for verdict in Verdict if verdict in verdicts),
        "reason": labelled((label, finding.why) for findings in parts for label, finding in findings),
        "rule": claim.rule,
    }


def _findings(part: rules.Part, claim: Claim, evidence: Evidence) -> Iterator[tuple[str, Finding]]:
    """What was found in each place, after its label: the part and, where it is asked in each, the runtime."""
    if part.once:
        yield part.name, _found(part, claim, evidence)
    elif not evidence.by_runtime:
        yield part.name, Finding("", Verdict.NOT_TESTABLE, "nothing was measured")
    else:
        for runtime, there in evidence.by_runtime.items():
            yield f"{part.name} in {runtime}" if part.name else runtime, _found(part, claim, there)


def _found(part: rules.Part, claim: Claim, evidence: Evidence) -> Finding:
    try:
        return part.rule(claim, evidence)
    except NotTestable as missing:
        return Finding(missing.ours, Verdict.NOT_TESTABLE, str(missing))
