"""The only module that knows the paths under ``outputs/``: atomic writes, reads, lists.

    runs/<variant>/<runtime>/<run_id>/   record.json, ops.parquet, profiler.txt, trace.json.gz, notebook.ipynb,
                                         or failure.json and notebook.ipynb
    scaling/...                          the same, of runs under another batch size or number of threads
    check/                               <runtime>.json, the baseline against itself; roofline.json;
                                         xprof/<variant>-<runtime>.json, the second opinions
    reference/<variant>/                 model.weights.h5, training.json, outcomes.npz: the weights that are profiled
    reference/<variant>/<key>/           the same, of other recipes or seeds, for comparison
    training/<variant>/<key>/            checkpoint.npz and lock, of a training under way
    report/                              report.ipynb, report.html, report.pdf

A run's folder is written under a hidden name and renamed when complete, so what can be listed is whole.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .errors import StoreError
from .files import PARTIAL, read_spec, sweep, write_atomically
from .machine_records import CheckRecord, ComparisonRecord, RooflineRecord
from .records import FailureRecord, RunRecord
from .settings import RunRequest, Runtime
from .training_records import TrainingRecord

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

AnyRun = RunRequest | RunRecord | FailureRecord
Root = Literal["runs", "scaling"]
"""The folders of runs: those under a preset's own conditions, and those under others."""

WEIGHTS = "model.weights.h5"
OUTCOMES = "outcomes.npz"
TRAINING = "training.json"


class Store:
    """Reads and writes below one ``outputs/`` folder."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs

    # Runs

    def run_dir(self, run: AnyRun) -> Path:
        """The folder of one run: asked for, stored or failed."""
        root = {"study": "runs", "scaling": "scaling"}[run.purpose]
        name = run.variant if isinstance(run.variant, str) else run.variant.name
        return self.outputs / root / name / run.runtime / run.run_id

    @contextlib.contextmanager
    def _new_run(self, run: AnyRun) -> Iterator[Path]:
        """A folder to fill, which becomes the run's folder only when the block ends without an error."""
        final = self.run_dir(run)
        final.parent.mkdir(parents=True, exist_ok=True)
        sweep(final.parent)
        partial = final.with_name(f"{PARTIAL}{os.getpid()}-{run.run_id}")
        partial.mkdir()
        try:
            yield partial
            os.replace(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def write_run(self, record: RunRecord, ops: pd.DataFrame, profiler_text: str, trace: bytes) -> Path:
        """Stores a run and returns its folder.

        Args:
            record: The run.
            ops: One row per node execution, see `measure.ops`.
            profiler_text: What ``tf.compat.v1.profiler`` printed of the same steps.
            trace: The median step for Perfetto and chrome://tracing, see `measure.timeline`.
        """
        with self._new_run(record) as folder:
            (folder / "record.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")
            ops.to_parquet(folder / "ops.parquet", index=False)
            (folder / "profiler.txt").write_text(profiler_text, encoding="utf-8")
            (folder / "trace.json.gz").write_bytes(trace)
        return self.run_dir(record)

    def draft_notebook(self, request: RunRequest) -> Path:
        """Where a run's notebook is written while it executes; `keep_notebook` moves it to the run's folder."""
        folder = self.run_dir(request).parent
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        return folder / f"{PARTIAL}{os.getpid()}-{request.run_id}.ipynb"

    def keep_notebook(self, draft: Path, request: RunRequest) -> None:
        """Moves an executed notebook, if one was written, into its run's folder."""
        if draft.is_file():
            os.replace(draft, self.run_dir(request) / "notebook.ipynb")

    def write_failure(self, failure: FailureRecord) -> Path:
        """Stores that a run failed and returns its folder."""
        with self._new_run(failure) as folder:
            (folder / "failure.json").write_text(failure.model_dump_json(indent=1), encoding="utf-8")
        return self.run_dir(failure)

    def scaling_runs(self) -> list[RunRecord]:
        """All complete runs under another batch size or number of threads than a preset's, oldest first."""
        runs = [self.read_run(folder) for folder in self.run_dirs("scaling")]
        return [run for run in runs if isinstance(run, RunRecord)]

    def run_dirs(self, root: Root = "runs", place: str = "*/*") -> list[Path]:
        """The folders of all stored runs and failures below ``root``, oldest first.

        Args:
            root: Where to look.
            place: Variant and runtime, as a pattern.
        """
        folders = (self.outputs / root).glob(f"{place}/*")
        return sorted((f for f in folders if f.is_dir() and not f.name.startswith(".")), key=lambda f: f.name)

    def latest(self) -> list[RunRecord | FailureRecord]:
        """Of every variant and runtime the runs and failures of the newest series."""
        by_place: dict[Path, list[RunRecord | FailureRecord]] = {}
        for folder in self.run_dirs("runs"):
            by_place.setdefault(folder.parent, []).append(self.read_run(folder))
        return [run for runs in by_place.values() for run in runs if run.series == runs[-1].series]

    def newest_runs(
        self, variant: str, runtime: Runtime, batch_size: int | None = None, threads: int | None = None
    ) -> list[RunRecord]:
        """The complete runs of one variant in one runtime that the newest command made: one for each process.

        Args:
            variant: Name of the variant.
            runtime: The runtime.
            batch_size: Images per step; None for any.
            threads: Threads TensorFlow was held to; None for any. With both None, runs under a preset's own conditions
                go first, however old.

        Raises:
            StoreError: there is none.
        """
        place = f"{variant}/{runtime}"
        folders = [*self.run_dirs("scaling", place), *self.run_dirs("runs", place)]
        if batch_size or threads:
            folders.sort(key=lambda folder: folder.name)
        runs = [run for run in map(self.read_run, folders) if isinstance(run, RunRecord)]
        asked = [run for run in runs if batch_size in (None, run.batch_size) and threads in (None, run.threads)]
        if asked:
            return [run for run in asked if _conditions(run) == _conditions(asked[-1])]
        there = sorted({f"--batch-size {run.batch_size} --threads {run.threads or 'any'}" for run in runs})
        but = f" with that batch size and number of threads, but of {', '.join(there)}" if there else ""
        raise StoreError(
            f"{self.outputs / 'runs' / place}: holds no run of {variant} in runtime {runtime}{but}. "
            f"Measure one: cnnprof run {variant}"
        )

    def read_run(self, folder: Path) -> RunRecord | FailureRecord:
        """Reads the record of one run's folder.

        Raises:
            StoreError: the record is missing, damaged or of another schema version.
        """
        if (folder / "failure.json").is_file():
            return read_spec(FailureRecord, folder / "failure.json")
        return read_spec(RunRecord, folder / "record.json")

    def read_ops(self, record: RunRecord) -> pd.DataFrame:
        """The node executions of a run, one row each; of a pooled record those of all its runs, steps counted on.

        Raises:
            StoreError: the file is missing or damaged.
        """
        import pandas as pd

        frames, first_step = [], 0
        for run_id in record.pooled or (record.run_id,):
            path = self.run_dir(record).with_name(run_id) / "ops.parquet"
            try:
                frame = pd.read_parquet(path)
            except (OSError, ValueError) as error:
                raise StoreError(f"{path}: cannot be read. Remove the run's folder and run again.") from error
            frames.append(frame.assign(step=frame["step"] + first_step))
            first_step += frame["step"].nunique()
        return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)

    def read_profiler_text(self, record: RunRecord) -> str:
        """What ``tf.compat.v1.profiler`` printed of the run; empty where the file is gone."""
        path = self.run_dir(record).with_name((record.pooled or (record.run_id,))[0]) / "profiler.txt"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    # Checks of the machine

    def write_check(self, record: CheckRecord) -> Path:
        """Stores how the baseline compares with itself, in place of an earlier check of the runtime."""
        path = self.outputs / "check" / f"{record.runtime}.json"
        write_atomically(path, record.model_dump_json(indent=1) + "\n")
        return path

    def read_check(self, runtime: Runtime) -> CheckRecord | None:
        """The last check of a runtime; None where there was none."""
        path = self.outputs / "check" / f"{runtime}.json"
        return read_spec(CheckRecord, path) if path.is_file() else None

    def write_roofline(self, record: RooflineRecord) -> Path:
        """Stores what this machine can do at most, for the report."""
        path = self.outputs / "check" / "roofline.json"
        write_atomically(path, record.model_dump_json(indent=1) + "\n")
        return path

    def read_roofline(self) -> RooflineRecord | None:
        """What the machine can do at most; None where it was not measured."""
        path = self.outputs / "check" / "roofline.json"
        return read_spec(RooflineRecord, path) if path.is_file() else None

    def write_comparison(self, record: ComparisonRecord) -> Path:
        """Stores a second opinion on one variant and runtime, in place of an earlier one."""
        path = self.outputs / "check" / "xprof" / f"{record.variant}-{record.runtime}.json"
        write_atomically(path, record.model_dump_json(indent=1) + "\n")
        return path

    def read_comparisons(self) -> list[ComparisonRecord]:
        """All second opinions."""
        return [read_spec(ComparisonRecord, path) for path in sorted((self.outputs / "check" / "xprof").glob("*.json"))]

    # Reference weights and trainings

    def reference_dir(self, variant: str) -> Path:
        """The folder of a variant's reference weights."""
        return self.outputs / "reference" / variant

    def weights_path(self, variant: str, key: str | None = None) -> Path:
        """The file of a variant's reference weights, or of those of a recipe's key, there or not."""
        return self._trained_dir(variant, key) / WEIGHTS

    def training_dir(self, variant: str, key: str) -> Path:
        """The folder of a training under way."""
        return self.outputs / "training" / variant / key

    def write_training(
        self,
        record: TrainingRecord,
        weights: bytes,
        predicted: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int32],
        key: str | None = None,
    ) -> None:
        """Stores the results of a training; older ones stay whole unless all is written.

        Args:
            record: How the weights came about.
            weights: A ``.weights.h5`` file.
            predicted: The most probable class of every test image.
            labels: The right one.
            key: The recipe's key, to put the results beside the reference; None makes them the reference.
        """
        final = self._trained_dir(record.variant.name, key)
        final.mkdir(parents=True, exist_ok=True)
        sweep(final)
        partial = final / f"{PARTIAL}{os.getpid()}"
        try:
            partial.mkdir()
            (partial / WEIGHTS).write_bytes(weights)
            (partial / OUTCOMES).write_bytes(_packed(predicted, labels))
            (partial / TRAINING).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
            for name in (WEIGHTS, OUTCOMES, TRAINING):  # killed in between, they do not match: recognised when read
                os.replace(partial / name, final / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def read_training(self, variant: str, key: str | None = None) -> TrainingRecord | None:
        """How weights of a variant came about: the reference, or those of a recipe's key; None if there are none."""
        path = self._trained_dir(variant, key) / TRAINING
        return read_spec(TrainingRecord, path) if path.is_file() else None

    def trainings(self) -> list[TrainingRecord]:
        """All finished trainings: of each variant the reference, then those beside it."""
        variants = sorted(path.name for path in (self.outputs / "reference").glob("*") if path.is_dir())
        places = [(variant, key) for variant in variants for key in (None, *self.trained_keys(variant))]
        found = [self.read_training(*place) for place in places]
        return [record for record in found if record is not None]

    @staticmethod
    def training_beside(weights: Path) -> TrainingRecord | None:
        """How the weights of a file came about, where a training of this project wrote them."""
        path = weights.with_name(TRAINING)
        return read_spec(TrainingRecord, path) if weights.name == WEIGHTS and path.is_file() else None

    def read_outcomes(self, variant: str, key: str | None = None) -> pd.DataFrame:
        """What the weights of `read_training` made of every test image, so that pairs of them can be compared.

        Returns:
            One row per test image in the data set's order: ``predicted`` and ``label``, classes as uint8.

        Raises:
            StoreError: the file is missing or damaged.
        """
        import numpy as np
        import pandas as pd

        path = self._trained_dir(variant, key) / OUTCOMES
        try:
            with np.load(path, allow_pickle=False) as saved:
                return pd.DataFrame({name: saved[name] for name in ("predicted", "label")})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise StoreError(f"{path}: cannot be read. Train again: cnnprof train {variant}") from error

    def outcomes_of(self, record: TrainingRecord) -> pd.DataFrame:
        """The outcomes that `read_outcomes` finds of one of the `trainings`."""
        name = record.variant.name
        beside = record.settings if record != self.read_training(name) else None
        return self.read_outcomes(name, beside.key if beside else None)

    def trained_keys(self, variant: str) -> list[str]:
        """The keys of all recipes whose results stand beside the reference."""
        return sorted(path.parent.name for path in self.reference_dir(variant).glob(f"*/{TRAINING}"))

    def _trained_dir(self, variant: str, key: str | None) -> Path:
        return self.reference_dir(variant) / key if key else self.reference_dir(variant)

    # Report

    @property
    def report_dir(self) -> Path:
        """The folder of the rendered report."""
        return self.outputs / "report"


def _conditions(run: RunRecord) -> tuple[object, ...]:
    """What processes of one measurement of a variant in a runtime share."""
    return run.series, run.batch_size, run.threads


def _packed(predicted: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32]) -> bytes:
    """Outcomes as a compressed ``.npz`` file; the same ones give the same bytes."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, predicted=predicted, label=labels.astype(np.uint8))
    return buffer.getvalue()
