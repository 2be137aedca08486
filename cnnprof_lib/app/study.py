"""The front door: what is stored, each thing read once, as data frames.

from cnnprof_lib import Study

study = Study.open("outputs")
study.overview()
study.layers("stride2", "stock")
study.diff("baseline", "stride2")
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from ..analysis import frames
from ..analysis.accuracy import frontier
from ..analysis.accuracy import numbers as accuracy
from ..analysis.conditions import require_one_machine
from ..analysis.differences import numbers as differences
from ..analysis.frames import Record, RunKey, run_key_of
from ..analysis.pool import pooled
from ..analysis.prediction.numbers import Predictor
from ..analysis.resolution import ResolutionOf, checked_by
from ..analysis.runtimes.numbers import by_runtime
from ..analysis.searches import numbers as searches
from ..analysis.sweeps.numbers import sweep_rows
from ..analysis.variants import numbers as variants
from ..analysis.variants.shown import brief_table
from ..base.errors import ReportError, StoreError
from ..base.units import counted
from ..params.network import Network
from ..params.runtimes import REFERENCE_RUNTIME
from ..records.conditions import MachineRecord
from ..records.project import find_project
from ..records.run import FailureRecord, RunRecord
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

    def __init__(self, store: Store, runtimes: Collection[str] | None = None, machine: str = "") -> None:
        self.store, self._only, self._machine = store, runtimes, machine
        self._kept: dict[Any, Any] = {}

    @classmethod
    def open(cls, outputs: str | Path = "") -> Study:
        """Opens a folder of results, by default that of the project around the working directory."""
        return cls(Store(Path(outputs)) if outputs else find_project().store)

    def on(self, machine: str) -> Study:
        """The same, of one of the `machines`, within which latencies compare."""
        return self if self.machines == [machine] else Study(self.store, self._only, machine)

    @property
    def runtimes_in_full(self) -> list[str]:
        """Those that are shown in full: the reference runtime, and the first of the others.

        All of them stand in one table, see `runtimes_table`.
        """
        found = dict.fromkeys(record.runtime for record in self.records)
        return sorted(found, key=lambda runtime: runtime != REFERENCE_RUNTIME)[:MOST_DETAILED]

    def detailed(self) -> Study:
        """The same, of the `runtimes_in_full` and of the machine that ran last."""
        return Study(self.store, self.runtimes_in_full, next(iter(self.machines), ""))

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

    def _wanted(self, records: Iterable[Record]) -> list[Record]:
        return [
            run
            for run in records
            if (self._only is None or run.runtime in self._only)
            and (not self._machine or isinstance(run, FailureRecord) or run.machine.kind == self._machine)
        ]

    @cached_property
    def records(self) -> list[Record]:
        """The newest run or failure of every variant, runtime and kind of machine.

        The baseline comes first, then by falling MACs.

        Raises:
            StoreError: nothing that can be read has been measured yet.
        """
        newest = self.store.latest() or frames.newest_series(self._others)
        records = frames.pooled_by_series(self._wanted(newest))
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

    @property
    def machines(self) -> list[str]:
        """The kinds of machine that there are runs of, that of the newest first."""
        return frames.kinds_of_machine(self.records)

    def _places_of(self, variant: str, runtime: str) -> dict[str, tuple[MachineRecord, list[Path]]]:
        """Where each run was made and what it is read from; those of several processes also together, by their series.

        The newest command's come first, and of each what is pooled.
        """

        def look() -> dict[str, tuple[MachineRecord, list[Path]]]:
            others = [self.store.run_dir(run) for run in self._others if run_key_of(run)[:2] == (variant, runtime)]
            by_series: dict[tuple[str, MachineRecord], list[Path]] = {}
            for folder in others or self.store.run_dirs("runs", variant, runtime):
                with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
                    series, machine = self.store.glance(folder)
                    if machine and self._machine in ("", machine.kind):
                        by_series.setdefault((series, machine), []).append(folder)
            found: dict[str, tuple[MachineRecord, list[Path]]] = {}
            for (series, machine), folders in sorted(by_series.items(), key=lambda item: item[0][0], reverse=True):
                if len(folders) > 1:
                    found.setdefault(series, (machine, folders))
                found |= {folder.name: (machine, [folder]) for folder in reversed(folders)}
            return found

        return self._keep(("places", variant, runtime), look)

    def _read(self, folders: Sequence[Path]) -> RunRecord:
        return pooled(frames.completed(map(self.store.read_run, folders)))

    @property
    def baseline(self) -> str | None:
        """What the newest run was compared with."""
        return frames.baseline_of(self.runs)

    @cached_property
    def resolution_of(self) -> ResolutionOf:
        """Tells what its machine can tell apart in a run's runtime, see `analysis.resolution.checked_by`."""
        return checked_by(self.store)

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
        """A row per run, see `frames.runs`; those of several processes also together, by the id of their series.

        All are read, one after the other.

        Raises:
            StoreError: nothing was measured yet, or no run succeeded.
        """
        if not self._places:
            last, many = max(self.records, key=lambda record: record.run_id), counted(len(self.store.run_dirs()), "run")
            raise StoreError(
                f"{self.store.outputs / 'runs'}: none of {many} succeeded, the last for: {getattr(last, 'error', '')}. "
                "Measure again: cnnprof run"
            )
        each = (self._places_of(*place) for place in self._places)
        return frames.runs(self._read(there[name][1]) for there in each for name in sorted(there))

    def overview(self) -> pd.DataFrame:
        """A row per variant and runtime, see `variants.numbers.overview`."""
        return self._once("overview", lambda: variants.overview(self.records, self.resolution_of))

    @cached_property
    def _outcomes(self) -> dict[str, pd.DataFrame]:
        return accuracy.outcomes(self.store, self.runs)

    def runtimes_table(self) -> pd.DataFrame:
        """A row per network and runtime against the reference, see `analysis.runtimes.numbers.by_runtime`."""
        return self._once("runtimes", lambda: by_runtime(self.runs, self.store, self.resolution_of))

    def sweeps(self) -> pd.DataFrame:
        """A row per network of the sweeps and set of conditions, see `analysis.sweeps.numbers.sweep_rows`."""
        return self._once("sweeps", lambda: sweep_rows(self.store.sweep_runs(), self.resolution_of))

    def tried(self) -> pd.DataFrame:
        """A row per network that searches tried, see `analysis.searches.numbers.tried`."""
        return self._once("tried", lambda: searches.tried(self.store))

    def outcomes(self, runtime: str = REFERENCE_RUNTIME) -> pd.DataFrame:
        """A row per test image, a column per variant: whether it was right, see `accuracy.numbers.outcomes`."""
        return self._outcomes.get(runtime, pd.DataFrame()).copy()

    def frontier(self) -> pd.DataFrame:
        """A row per network and runtime with its accuracy, and what no other one beats, see `accuracy.frontier`."""
        return self._once(
            "frontier",
            lambda: frontier.frontier(self.runtimes_table(), accuracy.scored(self.store, self.runs), self.baseline),
        )

    def choices(self) -> pd.DataFrame:
        """The fastest network and runtime for a given loss of accuracy, see `accuracy.frontier.choices`."""
        return self._once("choices", lambda: frontier.choices(self.frontier()))

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

        return self._once("verdicts", lambda: judge_stored(self.detailed().records, self.store, self.frontier()))

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
        return [place for place in dict.fromkeys(named) if place in newest or self._places_of(*place)]

    def run_ids(self, variant: str, runtime: str) -> dict[str, str]:
        """All runs of a variant in a runtime, the newest command's first, and of each what is pooled first.

        Each comes with what tells it apart: of how many processes it is and, if there are several, its machine.
        """
        labels = {}
        for run_id, (machine, folders) in self._places_of(variant, runtime).items():
            told = [f"{len(folders)} processes"] if len(folders) > 1 else []
            told += [machine.kind] if len(self.machines) > 1 else []
            labels[run_id] = f"{run_id} ({', '.join(told)})" if told else run_id
        return labels

    def run(self, variant: str, runtime: str = "", run_id: str = "") -> Run:
        """One run.

        Raises:
            StoreError: there is none of that name.
        """
        runtime = runtime or self._usual_runtime(variant)
        there = self._places_of(variant, runtime)
        key = RunKey(variant, runtime, run_id or next(iter(there), ""))
        if key.run_id in there:
            return self._keep(key, lambda: self.of_record(self._read(there[key.run_id][1])))
        which = f"run {run_id}" if run_id else "run"
        others = there or self.variants
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
        return Run(record, self.store, self.resolution_of(record))

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
        """The `nodes` of the newest run in one runtime of each of the variants that was run in it.

        Raises:
            MeasureError: these are not of one kind of machine.
            StoreError: there is none.
        """
        newest = [self.run(name, runtime) for name in names if runtime in self.runtimes(name)]
        if not newest:
            raise StoreError(
                f"{self.store.outputs / 'runs'}: none of the variants was run in {runtime}. "
                f"Received: {', '.join(names) or 'no variant'}. Take some of: {', '.join(self.variants)}"
            )
        require_one_machine([run.record for run in newest])
        return pd.concat([self.nodes(*run.key) for run in newest], ignore_index=True)

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
            old.record, old.executions, new.record, new.executions, self.resolution_of(new.record)
        )

    def _usual_runtime(self, variant: str) -> str:
        runtimes = self.runtimes(variant)
        return REFERENCE_RUNTIME if REFERENCE_RUNTIME in runtimes else next(iter(runtimes), "")

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
