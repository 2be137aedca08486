"""Stores runs: what each left behind, and which of them are asked for."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..base.errors import StoreError
from ..base.files import new_folder, read_spec, write_atomically
from ..params.model import network_name
from ..params.settings import Purpose, RunRequest
from .conditions import MachineRecord
from .place import Place
from .run import EXECUTIONS, FailureRecord, RunRecord, upgraded
from .trained_store import OUTCOMES, outcomes_in

if TYPE_CHECKING:
    import pandas as pd

AnyRun = RunRequest | RunRecord | FailureRecord
Root = Literal["runs", "scaling", "sweeps"]
"""The folders of runs: those under a preset's own conditions, those under others, and those of sweeps."""
ROOTS: dict[Purpose, Root] = {"study": "runs", "scaling": "scaling", "sweep": "sweeps"}

_RECORD, _FAILURE = "record.json", "failure.json"
OPS = "ops.parquet"
NOTEBOOK = "notebook.ipynb"
BESIDE = {OPS, "profiler.txt", "trace.json.gz", NOTEBOOK}
"""What may lie beside a run's record."""
_KNOWN_BEGINNING = re.compile(rb'\{\s*"schema_version":\s*[12]\b')
_NAMED = re.compile(rb'"run_id":\s*"([^"\\]*)",\s*"series":\s*"([^"\\]*)"')
_MACHINE = re.compile(rb'"machine":\s*(\{\s*"cpu":[^{}]*\})')
_RUN_AGAIN = "Remove that folder, or run again: cnnprof run"


class TracedFiles(NamedTuple):
    """What is stored beside the record of a run that was traced.

    Attributes:
        executions: One row per node execution, see `EXECUTIONS`.
        profiler_text: What the runtime's own profiler printed of the same steps.
        trace: The median step for Perfetto and chrome://tracing, see `measure.timeline`.
    """

    executions: pd.DataFrame
    profiler_text: str
    trace: bytes


class RunStore(Place):
    """The runs below one ``outputs/`` folder."""

    def _run_readings(self) -> Iterator[tuple[Path, Callable[[], object]]]:
        """What `Store.unreadable` tries to read.

        Of runs that are not the newest of their kind only the ends of their files are looked at.
        """
        for root in ROOTS.values():
            folders = self.run_dirs(root)
            newest = {folder.parent: folder for folder in folders} if root == "runs" else {}
            for folder in folders:
                whole = newest.get(folder.parent) == folder or not _whole_record(folder)
                yield folder, partial(self.read_run, folder) if whole else bool

    def run_dir(self, run: AnyRun) -> Path:
        """The folder of one run: asked for, stored or failed."""
        name = run.variant if isinstance(run, FailureRecord) else run.name
        return self.outputs / ROOTS[run.purpose] / name / run.runtime / run.run_id

    def write_run(self, record: RunRecord, traced: TracedFiles | None, outcomes: bytes | None = None) -> Path:
        """Stores a run and returns its folder.

        Args:
            record: The run.
            traced: What was traced, if anything was.
            outcomes: What became of every test image, see `trained_store.packed_outcomes`; None where it is not known.

        Raises:
            StoreError: it cannot be written; the message says where it is kept.
        """

        def write(final: Path) -> None:
            with new_folder(final) as folder:
                (folder / _RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
                if outcomes:
                    (folder / OUTCOMES).write_bytes(outcomes)
                if traced:
                    traced.executions.to_parquet(folder / OPS, index=False)
                    (folder / "profiler.txt").write_text(traced.profiler_text, encoding="utf-8")
                    (folder / "trace.json.gz").write_bytes(traced.trace)

        return self._keep(self.run_dir(record), write)

    def write_files(self, run: RunRecord | FailureRecord, files: Mapping[str, bytes]) -> Path:
        """Stores a run that was made elsewhere, whole or not at all, and returns its folder.

        Args:
            run: Its record, or what is known of its failure.
            files: What is to lie beside it, by name; what is none of a run's is left out.

        Raises:
            StoreError: it cannot be written; the message says where it is kept.
        """

        def write(final: Path) -> None:
            with new_folder(final) as folder:
                name = _FAILURE if isinstance(run, FailureRecord) else _RECORD
                (folder / name).write_text(run.model_dump_json(indent=1), encoding="utf-8")
                for beside in BESIDE & files.keys():
                    (folder / beside).write_bytes(files[beside])

        return self._keep(self.run_dir(run), write)

    def write_failure(self, failure: FailureRecord) -> Path:
        """Stores that a run failed and returns its folder."""
        with new_folder(self.run_dir(failure)) as folder:
            (folder / _FAILURE).write_text(failure.model_dump_json(indent=1), encoding="utf-8")
        return self.run_dir(failure)

    def write_notebook(self, notebook: str, request: RunRequest) -> None:
        """Puts an executed notebook beside what is stored of its run."""
        write_atomically(self.run_dir(request) / NOTEBOOK, notebook)

    def scaling_runs(self) -> list[RunRecord]:
        """All complete runs under another batch size or number of threads than a preset's, oldest first."""
        return list(self._complete(self.run_dirs("scaling")))

    def sweep_runs(self, folders: Iterable[Path] | None = None) -> Iterator[RunRecord]:
        """The complete runs of sweeps one by one, those of a network in a runtime one after the other, oldest first.

        There may be more of them than memory holds.

        Args:
            folders: Of some; None for all.
        """
        yield from self._complete(sorted(self.run_dirs("sweeps") if folders is None else folders))

    def _complete(self, folders: Iterable[Path], series: str = "") -> Iterator[RunRecord]:
        """The complete runs among some folders, one by one, in their order; of one series if it is named."""
        for folder in folders:
            with contextlib.suppress(StoreError):  # `unreadable` tells of it
                if not series or self.glance(folder)[0] == series:
                    run = self.read_run(folder)
                    if isinstance(run, RunRecord):
                        yield run

    def runs(self, root: Root = "runs", *place: str) -> list[RunRecord | FailureRecord]:
        """All runs and failures below ``root``, oldest first; of one ``place``, a variant and a runtime, if named."""
        found = []
        for folder in self.run_dirs(root, *place):
            with contextlib.suppress(StoreError):  # `unreadable` tells of it
                found.append(self.read_run(folder))
        return found

    def run_dirs(self, root: Root = "runs", *place: str) -> list[Path]:
        """What stands where the runs and failures of `runs` do, readable or not, oldest first."""
        found = (self.outputs / root).joinpath(*place).glob("*" if place else "*/*/*")
        return sorted((path for path in found if not path.name.startswith(".")), key=lambda path: path.name)

    def notebooks(self, runtime: str) -> list[Path]:
        """The executed notebooks of all runs in a runtime, the newest first."""
        found = (path for root in ROOTS.values() for path in (self.outputs / root).glob(f"*/{runtime}/*/{NOTEBOOK}"))
        return sorted(found, key=lambda path: path.parent.name, reverse=True)

    def latest(self) -> list[RunRecord | FailureRecord]:
        """Of every variant, runtime and kind of machine the newest series of runs and failures, oldest place first.

        Older ones are not read whole: of thousands of runs a report shows the newest.
        """
        by_place: dict[Path, list[Path]] = {}
        for folder in self.run_dirs():
            by_place.setdefault(folder.parent, []).append(folder)
        return [run for folders in by_place.values() for run in self._newest_series(folders)]

    def _newest_series(self, folders: Sequence[Path]) -> list[RunRecord | FailureRecord]:
        """The runs of the newest series that can be read on each kind of machine, oldest first.

        It is not told where a run failed. Failures count in the newest series only; where they are all of it, they
        stand for the kind of the run before them.
        """
        found: list[RunRecord | FailureRecord] = []
        taken: dict[str, str] = {}
        for folder in reversed(folders):
            with contextlib.suppress(StoreError):  # `unreadable` tells of it
                series, machine = self.glance(folder)
                kind = machine.kind if machine else ""
                if found and series != found[0].series:
                    if kind and not taken:
                        taken[kind] = found[0].series
                    if not kind or taken.get(kind, series) != series:
                        continue
                found.append(self.read_run(folder))
                if kind:
                    taken[kind] = series
        return found[::-1]

    def glance(self, folder: Path) -> tuple[str, MachineRecord | None]:
        """The series of a run and its machine, None for a failure, told many times as fast as read.

        Raises:
            StoreError: it cannot be read.
        """
        with contextlib.suppress(ValueError):
            record = _whole_record(folder)
            named, machine = _NAMED.search(record), _MACHINE.search(record)
            if named and machine and named[1].decode() == folder.name:
                return named[2].decode(), MachineRecord.model_validate_json(machine[1])
        run = self.read_run(folder)
        return run.series, run.machine if isinstance(run, RunRecord) else None

    def newest_runs(
        self, variant: str, runtime: str, batch_size: int | None = None, threads: int | None = None
    ) -> list[RunRecord]:
        """The complete runs of one variant in one runtime that the newest command made: one for each process.

        Args:
            variant: Name of the network, or its model as it was named to be run.
            runtime: The runtime.
            batch_size: Images per step; None for any.
            threads: Threads the runtime was held to; None for any. With both None, runs under a preset's own conditions
                go first, however old.

        Raises:
            StoreError: there is none.
        """
        roots: tuple[Root, ...] = ("sweeps", "scaling", "runs")
        if not any((self.outputs / root / variant).is_dir() for root in roots):
            variant = network_name(variant)
        folders = [folder for root in roots for folder in self.run_dirs(root, variant, runtime)]
        if batch_size or threads:
            folders.sort(key=lambda folder: folder.name)
        there: set[str] = set()
        for run in self._complete(reversed(folders)):
            if batch_size in (None, run.batch_size) and threads in (None, run.threads):
                alike = self._complete(folders, run.series)
                return [other for other in alike if _conditions(other) == _conditions(run)]
            there.add(f"--batch-size {run.batch_size} --threads {run.threads or 'any'}")
        but = f" with that batch size and number of threads, but of {', '.join(sorted(there))}" if there else ""
        raise StoreError(
            f"{self.outputs / 'runs' / variant / runtime}: holds no run of {variant} in runtime {runtime}{but}. "
            f"Measure one: cnnprof run {variant}"
        )

    def read_run(self, folder: Path) -> RunRecord | FailureRecord:
        """Reads the record of one run's folder.

        Raises:
            StoreError: the record is missing, damaged, of another schema version or another run's, or what was
                executed is missing beside it.
        """
        run: RunRecord | FailureRecord
        if (folder / _FAILURE).is_file():
            run = read_spec(FailureRecord, folder / _FAILURE, _RUN_AGAIN)
        else:
            run = read_spec(RunRecord, folder / _RECORD, _RUN_AGAIN, upgraded)
            if run.is_traced:
                _check_ops(folder / OPS)
        home = self.run_dir(run)
        if home.parts[-4:] != folder.parts[-4:]:
            raise StoreError(f"{folder}: holds a run that belongs elsewhere. Move it to {home}")
        return run

    def read_ops(self, record: RunRecord) -> pd.DataFrame:
        """The node executions of a run, one row each; of a pooled record those of all its runs, steps counted on.

        There are none where the runtime cannot trace.

        Raises:
            StoreError: the file is missing or damaged.
        """
        import pandas as pd

        if not record.is_traced:
            return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in EXECUTIONS.items()})
        frames, first_step = [], 0
        for run_id in record.pooled or (record.run_id,):
            path = self.run_dir(record).with_name(run_id) / OPS
            try:
                frame = pd.read_parquet(path)
            except (OSError, ValueError) as error:
                raise StoreError(f"{path}: cannot be read. {_RUN_AGAIN}") from error
            frames.append(frame.assign(step=frame["step"] + first_step))
            first_step += frame["step"].nunique()
        return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)

    def read_run_outcomes(self, record: RunRecord) -> pd.DataFrame | None:
        """What a run made of every test image, see `read_outcomes`; None where that is not known.

        Raises:
            StoreError: the file is damaged.
        """
        folder = self.run_dir(record).with_name((record.pooled or (record.run_id,))[0])
        return outcomes_in(folder, _RUN_AGAIN) if (folder / OUTCOMES).exists() else None

    def read_profiler_text(self, record: RunRecord) -> str:
        """What the runtime's own profiler printed of the run; empty where it has none, or the file is gone."""
        path = self.run_dir(record).with_name((record.pooled or (record.run_id,))[0]) / "profiler.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _conditions(run: RunRecord) -> tuple[object, ...]:
    """What processes of one measurement of a variant in a runtime share."""
    return run.series, run.machine, run.batch_size, run.threads


def _whole_record(folder: Path) -> bytes:
    """The record of a run, if its files begin and end as such files do, which is told a hundred times as fast as read.

    Empty where they do not.
    """
    try:
        record = (folder / _RECORD).read_bytes()
        if b'"unattributed": null' not in record:
            _check_ops(folder / OPS)
    except (OSError, StoreError):
        return b""
    return record if _KNOWN_BEGINNING.match(record) and record.endswith(b"}") else b""


def _check_ops(path: Path) -> None:
    """Looks for the table of executions, without reading it.

    Raises:
        StoreError: it is missing or cut off.
    """
    try:
        with path.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            whole = file.read() == b"PAR1"  # how every Parquet file ends
    except FileNotFoundError:
        raise StoreError(f"{path}: is missing. {_RUN_AGAIN}") from None
    except OSError:  # shorter than that, or not to be read
        whole = False
    if not whole:
        raise StoreError(f"{path}: cannot be read. {_RUN_AGAIN}")
