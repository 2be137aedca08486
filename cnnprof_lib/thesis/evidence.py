"""What a claim is judged by: the stored runs and trainings, asked for by variant and runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..analysis import frames
from ..analysis.estimates import Estimate, difference_of_proportions, proportion, ratio_of_sums, unit_of_block
from ..analysis.frames import UNATTRIBUTED, Record
from ..analysis.profile.numbers import by_op
from ..analysis.resolution import ResolutionOf, not_checked, ratio_to_baseline
from ..base import units
from ..records.run import RunRecord
from ..records.training import TrainingRecord
from . import BASELINE


class Verdict(StrEnum):
    """What is said of a claim, of a part of it, or of that in one place, the worst first."""

    CONTRADICTED = "contradicted"
    DEPENDS = "depends on machine or runtime"
    """Places disagree, or the effect is there in another size."""
    REPRODUCED = "reproduced"
    NOT_TESTABLE = "not testable here"

    @classmethod
    def of(cls, holds: bool) -> Verdict:
        """The verdict on what either holds or fails."""
        return cls.REPRODUCED if holds else cls.CONTRADICTED

    @classmethod
    def together(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """What those places say together that could be judged."""
        decided = set(verdicts) - {cls.NOT_TESTABLE}
        return cls.DEPENDS if len(decided) > 1 else next(iter(decided), cls.NOT_TESTABLE)


class Finding(NamedTuple):
    """Our numbers on one part of a claim in one place, and what they say of it."""

    ours: str
    verdict: Verdict
    why: str = ""
    """What decided, or what is left open."""


class NotTestable(Exception):
    """A part of a claim that the records do not answer; the text says why.

    Attributes:
        ours: What they do say.
    """

    def __init__(self, why: str, ours: str = "") -> None:
        super().__init__(why)
        self.ours = ours


@dataclass(frozen=True)
class Evidence:
    """Runs, trainings and node executions to judge from; what is empty was not looked at.

    What asks for more than there is raises `NotTestable`.

    Attributes:
        records: Runs and failures, one per variant and runtime, as from `Study.records`.
        trainings: How weights came about: those that were profiled, and others.
        executed: Node executions from `frames.executions`, which give shares of time their intervals.
        lost: Losses from `accuracy.numbers.losses`, image by image, which are known better than accuracies apart.
        as_good: Variants with recipes whose weights answer for the thesis's own, from `recipes.as_good`.
        original: Outcomes under weights of the thesis's own recipe in full, from `recipes.original_outcomes`, which are
            what accuracy is judged by where all variants of a claim have them.
        resolution_of: Tells what each run's machine can tell apart.
        everywhere: All networks in all runtimes, from `accuracy.frontier.frontier`, whatever the records are of.
    """

    records: Sequence[Record]
    trainings: Sequence[TrainingRecord] = ()
    executed: pd.DataFrame = field(default_factory=pd.DataFrame)
    lost: pd.DataFrame = field(default_factory=pd.DataFrame)
    as_good: frozenset[tuple[str, str]] = frozenset()
    original: pd.DataFrame = field(default_factory=pd.DataFrame)
    resolution_of: ResolutionOf = not_checked
    everywhere: pd.DataFrame = field(default_factory=pd.DataFrame)

    @cached_property
    def by_runtime(self) -> dict[str, Evidence]:
        """The same with the records of one runtime only, for each, in their order."""
        return {
            runtime: replace(self, records=[record for record in self.records if record.runtime == runtime])
            for runtime in dict.fromkeys(record.runtime for record in self.records)
        }

    @cached_property
    def runs(self) -> list[RunRecord]:
        """The records without the failures."""
        return frames.completed(self.records)

    def run(self, variant: str) -> RunRecord:
        """The first run of a variant."""
        for run in self.runs:
            if run.name == variant:
                return run
        failed = variant in map(frames.variant_name, self.records)
        raise NotTestable(f"the run of {variant} failed" if failed else f"no run of {variant}")

    def ratio(self, variant: str) -> Estimate:
        """Latency over that of the baseline in the same process."""
        run = self.run(variant)
        ratio = ratio_to_baseline(run, self.resolution_of(run))
        if np.isnan(ratio.low):
            raise NotTestable(f"{variant} was timed in too few blocks for an interval", f"{ratio.value:.3f}")
        return ratio

    def requested_bytes(self, variant: str) -> int:
        """What a step asks for."""
        if (requested := self.run(variant).memory.requested_bytes) is None:
            raise NotTestable("the runtime does not tell what a step asks for")
        return requested

    def ops(self, variant: str) -> pd.DataFrame:
        """The ops of a run by their names, as from `profile.numbers.by_op`, the one that takes most time first."""
        if not self.run(variant).is_traced:
            raise NotTestable("the runtime does not tell what a step is spent on")
        return self._ops[variant]

    @cached_property
    def _ops(self) -> dict[str, pd.DataFrame]:
        return {run.name: by_op(run).set_index("op").drop(UNATTRIBUTED) for run in self.runs if run.is_traced}

    def own_share(self, variant: str, op: str) -> Estimate:
        """Share of an op in the ops' time; the interval, over profiled blocks, needs the executions."""
        shares = self.ops(variant)["own_share"]
        if op not in shares:
            raise NotTestable(f"no {op} in {variant}")
        blocks = self._op_seconds(self.run(variant))
        if blocks is None:
            return Estimate(float(shares[op]), np.nan, np.nan)
        return ratio_of_sums(blocks[op], blocks.sum(axis="columns"))

    def _op_seconds(self, run: RunRecord) -> pd.DataFrame | None:
        """Seconds of each op (column) in each profiled block or, where there were several, each process (row)."""
        rows = self.executed
        if not rows.empty:
            rows = rows[(rows["variant"] == run.name) & (rows["runtime"] == run.runtime)]
            rows = rows[rows["run_id"] == run.run_id]
        if rows.empty:
            return None
        blocks, processes = run.latency.profiled_s, run.latency.processes
        group_of_step = np.repeat(unit_of_block(len(blocks), processes), list(map(len, blocks)))
        groups = group_of_step[rows["step"].to_numpy()]
        seconds = rows.pivot_table(index=groups, columns="op", values="self_ns", aggfunc="sum", fill_value=0.0)
        return seconds * 1e-9

    def top1(self, variant: str) -> Estimate:
        """Accuracy on the test images, from the first runtime that has it."""
        self.run(variant)
        for run in self.runs:
            if run.name == variant and run.accuracy:
                return proportion(run.accuracy.correct, run.accuracy.images)
        raise NotTestable(f"no accuracy of {variant}")

    def loss(self, variant: str) -> Estimate:
        """Accuracy that a variant loses against the baseline, from the same images where their outcomes are known."""
        apart = difference_of_proportions(self.top1(BASELINE), self.top1(variant))
        runtimes = {run.runtime for run in self.runs}
        for row in self.lost.to_dict("records"):
            if row["variant"] == variant and row["runtime"] in runtimes:
                return Estimate(row["loss"], row["loss_low"], row["loss_high"])
        return apart

    def trainings_of(self, variant: str) -> list[TrainingRecord]:
        """All trainings of a variant, in their order."""
        if found := [training for training in self.trainings if training.variant.name == variant]:
            return found
        raise NotTestable(f"no training of {variant}")


def labelled(texts: Iterable[tuple[str, str]]) -> str:
    """Texts after their labels; equal ones once, after all labels they belong to."""
    labels: dict[str, list[str]] = {}
    for label, text in texts:
        if text:
            labels.setdefault(text, []).append(label)
    return "; ".join(f"{' and '.join(of)}: {text}" if any(of) else text for text, of in labels.items())


def ratio_text(ratio: Estimate) -> str:
    """``0.250 (0.240 to 0.260)``."""
    return f"{units.ratio(ratio.value)} ({units.ratio(ratio.low)} to {units.ratio(ratio.high)})"


def share_text(share: Estimate) -> str:
    """``72.0% (71.5 to 72.4)``, without the interval where there is none."""
    interval = "" if np.isnan(share.low) else f" ({100 * share.low:.1f} to {100 * share.high:.1f})"
    return units.percent(share.value, 1) + interval


def points_text(loss: Estimate) -> str:
    """``6.4 points (5.3 to 7.5)``."""
    return f"{100 * loss.value:z.1f} points ({100 * loss.low:z.1f} to {100 * loss.high:z.1f})"
