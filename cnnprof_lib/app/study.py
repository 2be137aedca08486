"""The front door: what is stored, each thing read once, as data frames.

from cnnprof_lib import Study

study = Study.open("outputs")
study.overview()
study.layers("stride2", "stock")
study.diff("baseline", "stride2")
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from ..analysis import frames
from ..analysis.accuracy import frontier
from ..analysis.accuracy import numbers as accuracy
from ..analysis.differences import numbers as differences
from ..analysis.frames import Record, RunKey, run_key_of
from ..analysis.pool import pooled
from ..analysis.prediction.numbers import Predictor
from ..analysis.resolution import Resolution, resolutions
from ..analysis.runtimes.numbers import by_runtime
from ..analysis.searches import numbers as searches
from ..analysis.sweeps.numbers import sweep_rows
from ..analysis.variants import numbers as variants
from ..analysis.variants.shown import brief_table
from ..base.errors import ReportError, StoreError
from ..base.units import counted
from ..params.network import Network
from ..params.runtimes import REFERENCE_RUNTIME
from ..records.project import find_project
from ..records.run import RunRecord
from ..records.store import Store
from ..records.training import TrainingRecord
from .stored_run import Run

_Kept = TypeVar("_Kept")
MOST_OF_SWEEPS = 20
"""Runs of sweeps that are a study by themselves, each with a section of its own. Own choice."""


MOST_DETAILED = 2
"""Runtimes that a reader can follow op by op. Own choice: TensorFlow's two, in the study of the thesis."""


class Study:
    """All that is stored in one folder. Frames are copies: they may be changed.

    Wherever a run is named, an empty runtime is the reference runtime, if the variant was run in it, else its first,
    and an empty id is the newest run: the processes of one command together.
    """

    def __init__(self, store: Store, runtimes: Collection[str] | None = None) -> None:
        self.store, self._only = store, runtimes
        self._kept: dict[Any, Any] = {}

    @classmethod
    def open(cls, outputs: str | Path = "") -> Study:
        """Opens a folder of results, by default that of the project around the working directory."""
        return cls(Store(Path(outputs)) if outputs else find_project().store)

    def detailed(self) -> Study:
        """The same, of no more runtimes than are shown in full: the reference runtime, and the first of the others.

        All of them stand in one table, see `runtimes_table`.
        """
        found = list(dict.fromkeys(record.runtime for record in self.records))
        first = sorted(found, key=lambda runtime: runtime != REFERENCE_RUNTIME)[:MOST_DETAILED]
        return Study(self.store, first)

    @cached_property
    def _others(self) -> list[RunRecord]:
        """What is the study where there are no runs under the presets' own conditions.

        All runs of as many images per step and as many threads as the newest; else the newest of those of sweeps.
        """
        if self.store.run_dirs():
            return []
        newest = self.store.run_dirs("sweeps")[-MOST_OF_SWEEPS:]
        found = self.store.scaling_runs() or list(self.store.sweep_runs(newest))
        return [run for run in found if (run.batch_size, run.threads) == (found[-1].batch_size, found[-1].threads)]

    @cached_property
    def _stored(self) -> list[Record]:
        """All runs and failures, oldest first: those under the presets' own conditions, or `_others`."""
        return self._wanted([*self.store.runs(), *self._others])

    def _wanted(self, records: Iterable[Record]) -> list[Record]:
        return [run for run in records if self._only is None or run.runtime in self._only]

    @cached_property
    def records(self) -> list[Record]:
        """The newest run or failure of every variant and runtime: the baseline first, then by falling MACs.

        Raises:
            StoreError: nothing that can be read has been measured yet.
        """
        newest = self.store.latest() or frames.newest_series(self._others)
        records = frames.pooled_by_place(self._wanted(newest))
        if not records:
            raise StoreError(f"{self.store.outputs / 'runs'}: nothing measured yet. Measure first: cnnprof run")
        return frames.in_order(records)

    @cached_property
    def runs(self) -> list[RunRecord]:
        """The records without the failures."""
        return frames.completed(self.records)

    @cached_property
    def trainings(self) -> list[TrainingRecord]:
        """How the networks that were run were trained, oldest first."""
        names = set(self.overview()["variant"])
        return [record for record in self.store.trainings() if record.variant.name in names]

    @cached_property
    def every(self) -> list[RunRecord]:
        """All runs; those of several processes also together, as one run more that bears the id of their series.

        Raises:
            StoreError: nothing was measured yet, or no run succeeded.
        """
        single = frames.completed(self._stored)
        if not single and self.records:
            raise StoreError(
                f"{self.store.outputs / 'runs'}: none of {counted(len(self._stored), 'run')} succeeded, the last for: "
                f"{getattr(self._stored[-1], 'error', '')}. Measure again: cnnprof run"
            )
        return frames.completed(frames.in_order([*single, *_pooled(single)]))

    def _of_place(self, variant: str, runtime: str) -> list[RunRecord]:
        """The runs of one variant in one runtime, the newest command's first, and of each what is pooled first."""

        def read() -> list[RunRecord]:
            single = frames.completed(
                run for run in self._others if (run.name, run.runtime) == (variant, runtime)
            ) or frames.completed(self.store.runs("runs", variant, runtime))
            return sorted(
                [*single, *_pooled(single)],
                key=lambda record: (record.series, bool(record.pooled), record.run_id),
                reverse=True,
            )

        return self._keep(("place", variant, runtime), read)

    @property
    def baseline(self) -> str | None:
        """What the newest run was compared with."""
        return frames.baseline_of(self.runs)

    @cached_property
    def resolutions(self) -> Mapping[str, Resolution]:
        """What the machine can tell apart in each runtime; one that was not checked is missing."""
        return resolutions(self.store, self.runs)

    def predictor(self, runtime: str = REFERENCE_RUNTIME) -> Predictor:
        """What predicts the latency of networks never run in a runtime.

        Raises:
            StoreError: the runtime was not calibrated.
        """
        record = self.store.read_probes(runtime)
        if record is None:
            raise StoreError(f"Runtime {runtime} is not calibrated. Run: cnnprof calibrate --runtime {runtime}")
        return Predictor.of(record)

    # Frames of the whole study

    def all_runs(self) -> pd.DataFrame:
        """A row per run of `every`, see `frames.runs`."""
        return frames.runs(self.every)

    def overview(self) -> pd.DataFrame:
        """A row per variant and runtime, see `variants.numbers.overview`."""
        return self._once("overview", lambda: variants.overview(self.records, self.resolutions))

    @cached_property
    def _outcomes(self) -> dict[str, pd.DataFrame]:
        return accuracy.outcomes(self.store, self.runs)

    def runtimes_table(self) -> pd.DataFrame:
        """A row per network and runtime against the reference, see `analysis.runtimes.numbers.by_runtime`."""
        return self._once("runtimes", lambda: by_runtime(self.runs, self.store, self.resolutions))

    def sweeps(self) -> pd.DataFrame:
        """A row per network of the sweeps and set of conditions, see `analysis.sweeps.numbers.sweep_rows`."""
        return self._once("sweeps", lambda: sweep_rows(self.store.sweep_runs()))

    def tried(self) -> pd.DataFrame:
        """A row per network that searches tried, see `analysis.searches.numbers.tried`."""
        return self._once("tried", lambda: searches.tried(self.store))

    def outcomes(self, runtime: str = REFERENCE_RUNTIME) -> pd.DataFrame:
        """A row per test image, a column per variant: whether it was right, see `accuracy.numbers.outcomes`."""
        return self._outcomes.get(runtime, pd.DataFrame()).copy()

    def standings(self) -> pd.DataFrame:
        """Which variants no other one of their runtime beats, see `accuracy.frontier.standings`."""
        return self._once("standings", lambda: frontier.standings(self.overview(), self._outcomes))

    def losses(self) -> pd.DataFrame:
        """What each variant loses against the baseline, image by image, see `accuracy.numbers.losses`."""
        return self._once("losses", lambda: accuracy.losses(self._outcomes, self.baseline))

    def verdicts(self) -> pd.DataFrame:
        """What of the thesis holds here, see `thesis.verdicts.judge`.

        Raises:
            ReportError: the wing of the thesis was removed.
        """
        if not has_thesis():
            raise ReportError("cnnprof_lib/thesis: is missing. It holds the claims. Install the whole of cnnprof.")
        from ..thesis.verdicts import judge_stored

        return self._once("verdicts", lambda: judge_stored(self.detailed().records, self.store))

    # One run

    @property
    def variants(self) -> list[str]:
        """All variants that were run."""
        return list(dict.fromkeys(variant for variant, _ in self._places))

    def runtimes(self, variant: str = "") -> list[str]:
        """All runtimes in which a variant, or any, was run."""
        return list(dict.fromkeys(runtime for name, runtime in self._places if variant in ("", name)))

    @cached_property
    def _places(self) -> list[tuple[str, str]]:
        """The variants and runtimes that have runs, in the order of the `records`."""
        named = [(frames.variant_name(record), record.runtime) for record in self.records]
        newest = {run_key_of(run)[:2] for run in self.runs}
        return [place for place in named if place in newest or self._of_place(*place)]

    def run_ids(self, variant: str, runtime: str) -> list[str]:
        """All runs of a variant in a runtime, the newest command's first, and of each what is pooled first."""
        return [record.run_id for record in self._of_place(variant, runtime)]

    def run(self, variant: str, runtime: str = "", run_id: str = "") -> Run:
        """One run.

        Raises:
            StoreError: there is none of that name.
        """
        runtime = runtime or self._usual_runtime(variant)
        by_id = {record.run_id: record for record in self._of_place(variant, runtime)}
        ids = list(by_id)
        key = RunKey(variant, runtime, run_id or next(iter(ids), ""))
        if key.run_id in by_id:
            return self._keep(key, lambda: self.of_record(by_id[key.run_id]))
        which = f"run {run_id}" if run_id else "run"
        others = ids if ids else self.variants
        raise StoreError(
            f"{self.store.outputs / 'runs'}: holds no {which} of {variant} in {runtime or 'any runtime'}. "
            f"Take one of: {', '.join(others)}"
        )

    def any_traced(self) -> RunKey:
        """What names a run of which it is known what a step is spent on: the first of the newest.

        Raises:
            StoreError: there is none.
        """
        for run in self.runs:
            if run.is_traced:
                return run_key_of(run)
        raise StoreError(
            f"{self.store.outputs / 'runs'}: no run was traced. Measure in a runtime that can: cnnprof run"
        )

    def run_under(self, variant: str, runtime: str, batch_size: int | None, threads: int | None) -> Run:
        """The newest run of a variant under conditions that may be others than a preset's, see `Store.newest_runs`."""
        return self.of_record(pooled(self.store.newest_runs(variant, runtime, batch_size, threads)))

    def of_record(self, record: RunRecord) -> Run:
        """A record as a run that can be asked."""
        return Run(record, self.store, self._resolution(record))

    def ops(self, variant: str, runtime: str = "", run_id: str = "") -> pd.DataFrame:
        """The ops of a run, see `profile.numbers.by_op`."""
        run = self.run(variant, runtime, run_id)
        return self._once(("ops", *run.key), run.ops)

    def layers(self, variant: str, runtime: str = "", run_id: str = "") -> pd.DataFrame:
        """The layers of a run, see `profile.numbers.by_layer`."""
        run = self.run(variant, runtime, run_id)
        return self._once(("layers", *run.key), run.layers)

    def nodes(self, variant: str, runtime: str = "", run_id: str = "") -> pd.DataFrame:
        """The nodes of a run's graph, see `frames.profile`."""
        run = self.run(variant, runtime, run_id)
        return self._once(("nodes", *run.key), run.nodes)

    def nodes_of(self, runtime: str, names: Sequence[str]) -> pd.DataFrame:
        """The `nodes` of the newest run in one runtime of each of the variants that was run in it."""
        found = [self.nodes(name, runtime) for name in names if runtime in self.runtimes(name)]
        if not found:
            raise StoreError(
                f"{self.store.outputs / 'runs'}: none of the variants was run in {runtime}. "
                f"Received: {', '.join(names) or 'no variant'}. Take some of: {', '.join(self.variants)}"
            )
        return pd.concat(found, ignore_index=True)

    def network(self, variant: str, runtime: str = "", run_id: str = "") -> Network:
        """The network of a run, as it was then."""
        return self.run(variant, runtime, run_id).record.network

    def steps(self, variant: str, runtime: str = "", run_id: str = "") -> pd.DataFrame:
        """The timed steps of a run, see `frames.steps`."""
        return self.run(variant, runtime, run_id).steps()

    def diff(self, before: str | Sequence[str], after: str | Sequence[str], runtime: str = "") -> pd.DataFrame:
        """Steps from the latency of one run to that of another, see `differences.numbers.waterfall`.

        Args:
            before: The variant to start from, or variant, runtime and id of a run.
            after: The same of the run to arrive at.
            runtime: Of both, where they are not named with the runs.

        Raises:
            MeasureError: the runs were not made alike.
        """
        old, new = (self.run(name, runtime) if isinstance(name, str) else self.run(*name) for name in (before, after))
        return self._once(("diff", *old.key, *new.key), lambda: self.between(old, new))

    def between(self, old: Run, new: Run) -> pd.DataFrame:
        """The same of two runs."""
        return differences.waterfall(
            old.record, old.executions, new.record, new.executions, self._resolution(new.record)
        )

    def _usual_runtime(self, variant: str) -> str:
        runtimes = self.runtimes(variant)
        return REFERENCE_RUNTIME if REFERENCE_RUNTIME in runtimes else next(iter(runtimes), "")

    def _resolution(self, record: RunRecord) -> Resolution | None:
        key = "resolution", record.runtime, record.machine
        return self._keep(key, lambda: resolutions(self.store, [record]).get(record.runtime))

    def _once(self, key: Any, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        return self._keep(key, make).copy()

    def _keep(self, key: Any, make: Callable[[], _Kept]) -> _Kept:
        if key not in self._kept:
            self._kept[key] = make()
        kept: _Kept = self._kept[key]
        return kept

    def _repr_html_(self) -> str:
        return str(brief_table(self.overview()).to_html())


def has_thesis() -> bool:
    """Whether the wing of the thesis is there, without which all but its claims and tables goes on."""
    return (Path(__file__).parents[1] / "thesis").is_dir()


def _pooled(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The processes of each command, variant and runtime as one, where they are several."""
    groups: dict[RunKey, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(run_key_of(record)._replace(run_id=record.series), []).append(record)
    return [pooled(group) for group in groups.values() if len(group) > 1]
