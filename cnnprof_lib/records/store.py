"""Stores what is under ``outputs/``: atomic writes, reads, lists. With its parts it alone knows the paths.

    runs/<variant>/<runtime>/<run_id>/   record.json, outcomes.npz, ops.parquet, profiler.txt, trace.json.gz,
                                         notebook.ipynb, or failure.json and notebook.ipynb
    scaling/...                          the same, of runs under another batch size or number of threads
    sweeps/...                           the same, of runs of sweeps
    check/<machine>/                     <runtime>.json, the baseline against itself; roofline.json;
                                         xprof/<variant>-<runtime>.json, the second opinions
    check/calibration/                   <runtime>.json, what latency is predicted from
    reference/<variant>/                 model.weights.h5, training.json, outcomes.npz: the weights that are profiled
    reference/<variant>/<key>/           the same, of other recipes or seeds, for comparison
    training/<variant>/<key>/            checkpoint.npz and lock, of a training under way
    searches/<search>/                   search.json, candidates/<variant>-<hash>.json, lock, tried.svg
    optimized/                           <name>.keras and <name>.json, trained networks that were made cheaper
    report/                              report.ipynb, report.html, report.pdf

A run's folder is written under a hidden name and renamed when complete, so what can be listed is whole. What was
damaged later, or is of another version or somebody else's, lists pass over; `Store.unreadable` tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..base.errors import StoreError
from .machine_store import MachineStore
from .optimized_store import OptimizedStore
from .run_store import RunStore
from .search_store import SearchStore
from .trained_store import TrainedStore


class Store(RunStore, TrainedStore, OptimizedStore, MachineStore, SearchStore):
    """Reads and writes below one ``outputs/`` folder."""

    @property
    def report_dir(self) -> Path:
        """The folder of the rendered report."""
        return self.outputs / "report"

    def unreadable(self) -> dict[Path, str]:
        """What is stored and cannot be read, which all lists pass over: file or folder, and a line that says why."""
        found = {}
        for path, read in self._readings():
            try:
                read()
            except StoreError as error:
                found[path] = str(error)
        return found

    def _readings(self) -> Iterator[tuple[Path, Callable[[], object]]]:
        """All that lists are made of, with how to read it."""
        yield from self._run_readings()
        yield from self._machine_readings()
        yield from self._trained_readings()
        yield from self._search_readings()
        yield from self._optimized_readings()
