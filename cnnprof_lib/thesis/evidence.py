"""What a claim is judged by: the stored runs and trainings, asked for by variant and runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..analysis import frames
from ..analysis.check import Resolution
from ..analysis.estimates import Estimate, difference_of_proportions, proportion, ratio_of_sums, unit_of_block
from ..analysis.frames import UNATTRIBUTED, Record
from ..analysis.summary import op_table, ratio_to_baseline
from ..base import units
from ..params.settings import Runtime
from ..records.run import RunRecord
from ..records.training import TrainingRecord


class Outcome(Enum):
    """What one part of a claim comes to in one place."""

    HOLDS = "holds"
    FAILS = "fails"
    DIFFERS = "differs in size"
    """The effect is there, of another size, which the machine decides."""


class Finding(NamedTuple):
    """Our numbers on one part of a claim, and what they say of it."""

    ours: str
    outcome: Outcome | None
    """None where the numbers leave it open."""
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
    """Runs, trainings and node executions to judge from.

    Attributes:
        records: Runs and failures, one per variant and runtime, as from `frames.load`.
        trainings: How weights came about: those that were profiled, and others.
        executed: Node executions from `frames.executions`, which give shares of time their intervals; may be None.
        lost: Losses from `choice.losses`, image by image, which are known better than accuracies apart; may be None.
        as_good: Variants with recipes whose weights answer for the thesis's own, from `recipes.as_good`.
        original: Outcomes under weights of the thesis's own recipe in full, from `recipes.original_outcomes`; may be
            None.
        resolutions: What the machine can tell apart in each runtime, from `check.resolutions`.
    """

    records: Sequence[Record]
    trainings: Sequence[TrainingRecord] = ()
    executed: pd.DataFrame | None = None
    lost: pd.DataFrame | None = None
    as_good: frozenset[tuple[str, str]] = frozenset()
    original: pd.DataFrame | None = None
    resolutions: Mapping[Runtime, Resolution] = field(default_factory=dict)
    _tables: dict[int, pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def runtimes(self) -> list[Runtime]:
        """The runtimes of the records, in their order."""
        return list(dict.fromkeys(record.runtime for record in self.records))

    def run(self, variant: str, runtime: Runtime | None = None) -> RunRecord:
        """The run of a variant, in any runtime unless named.

        Raises:
            NotTestable: there is none, or it failed.
        """
        there = [r for r in self.records if frames.variant_name(r) == variant and runtime in (None, r.runtime)]
        for run in frames.completed(there):
            return run
        raise NotTestable(f"the run of {variant} failed" if there else f"no run of {variant}")

    def ratio(self, variant: str, runtime: Runtime) -> Estimate:
        """Latency over that of the baseline in the same process.

        Raises:
            NotTestable: the run is missing, or too short for an interval.
        """
        ratio = ratio_to_baseline(self.run(variant, runtime), self.resolutions.get(runtime))
        if np.isnan(ratio.low):
            raise NotTestable(f"{variant} was timed in too few blocks for an interval", f"{ratio.value:.3f}")
        return ratio

    def own_share(self, variant: str, runtime: Runtime, op: str) -> Estimate:
        """Share of an op in the ops' time; the interval, over profiled blocks, needs the executions.

        Raises:
            NotTestable: the run is missing or has no such op.
        """
        run = self.run(variant, runtime)
        table = self._op_table(run).set_index("op")["own_share"]
        if op not in table:
            raise NotTestable(f"no {op} in {variant}")
        blocks = self._op_seconds(run)
        if blocks is None:
            return Estimate(float(table[op]), np.nan, np.nan)
        return ratio_of_sums(blocks[op], blocks.sum(axis="columns"))

    def _op_table(self, run: RunRecord) -> pd.DataFrame:
        """The ops of one of the records; nearly every rule asks for some."""
        if id(run) not in self._tables:
            self._tables[id(run)] = op_table(run)
        return self._tables[id(run)]

    def _op_seconds(self, run: RunRecord) -> pd.DataFrame | None:
        """Seconds of each op (column) in each profiled block or, where there were several, each process (row)."""
        if self.executed is None:
            return None
        rows = self.executed
        rows = rows[(rows["variant"] == run.variant.name) & (rows["runtime"] == run.runtime)]
        rows = rows[rows["run_id"] == run.run_id]
        if rows.empty:
            return None
        blocks, processes = run.latency.profiled_s, run.latency.processes
        group_of_step = np.repeat(unit_of_block(len(blocks), processes), list(map(len, blocks)))
        groups = group_of_step[rows["step"].to_numpy()]
        seconds = rows.pivot_table(index=groups, columns="op", values="self_ns", aggfunc="sum", fill_value=0.0)
        return seconds * 1e-9

    def ops_by_time(self, variant: str, runtime: Runtime) -> list[str]:
        """The ops of a run, the one that takes most time first."""
        return [op for op in self._op_table(self.run(variant, runtime))["op"] if op != UNATTRIBUTED]

    def op_bytes(self, variant: str, runtime: Runtime) -> pd.Series[float]:
        """Requested bytes of each op per step, most first."""
        table = self._op_table(self.run(variant, runtime))
        table = table[table["op"] != UNATTRIBUTED]
        return table.set_index("op")["requested_bytes"].sort_values(ascending=False)

    def top1(self, variant: str) -> Estimate:
        """Accuracy on the test images, from the first runtime that has it.

        Raises:
            NotTestable: no run of the variant has an accuracy.
        """
        self.run(variant)
        for run in frames.completed(self.records):
            if run.variant.name == variant and run.accuracy:
                return proportion(run.accuracy.correct, run.accuracy.images)
        raise NotTestable(f"no accuracy of {variant}")

    def loss(self, variant: str) -> Estimate:
        """Accuracy that a variant loses against the baseline, from the same images where their outcomes are known.

        Raises:
            NotTestable: an accuracy is missing.
        """
        apart = difference_of_proportions(self.top1("baseline"), self.top1(variant))
        if self.lost is None or variant not in set(self.lost["variant"]):
            return apart
        row = self.lost[self.lost["variant"] == variant].iloc[0]
        return Estimate(row["loss"], row["loss_low"], row["loss_high"])

    def trainings_of(self, variant: str) -> list[TrainingRecord]:
        """All trainings of a variant, in their order.

        Raises:
            NotTestable: there is none.
        """
        if found := [training for training in self.trainings if training.variant.name == variant]:
            return found
        raise NotTestable(f"no training of {variant}")

    def training_of(self, weights_sha256: str) -> TrainingRecord | None:
        """The training that gave these weights; None where it is not stored."""
        return next((t for t in self.trainings if t.weights_sha256 == weights_sha256), None)


def labelled(texts: Sequence[tuple[str, str]]) -> str:
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
    return f"{100 * loss.value:.1f} points ({100 * loss.low:.1f} to {100 * loss.high:.1f})"
