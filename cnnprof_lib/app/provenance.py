"""What a report was made of, file by file, and by what, and whether that is still what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal

from ..base.errors import CnnprofError, ReportError
from ..base.files import read_spec, write_atomically
from ..base.spec import Spec
from ..base.stamps import utc_now
from ..base.units import counted
from ..records.project import Project
from ..records.run import RunRecord
from ..records.store import Store

RECORD = "report.json"
LOCK = "requirements.lock"
_SHOWN = 3


class ReportRecord(Spec):
    """A rendered report; paths are relative to ``outputs/``, hashes are SHA-256."""

    schema_version: Literal[2] = 2
    created: str
    commit: str | None
    """Of the project when the report was rendered, with ``+changes`` where files differed."""
    lock_sha256: str | None
    """Of requirements.lock; None where there is none."""
    inputs: Mapping[str, str]
    """Every stored file the report reads."""
    sources: str
    """What made the report of them, from `sources`."""
    files: Mapping[str, str]
    """The report itself."""

    def __str__(self) -> str:
        """One clause: ``167 files, rendered 2026-11-24T09:25:23+00:00``."""
        return f"{counted(len(self.inputs), 'file')}, rendered {self.created}"


def lock_sha256(project: Project) -> str | None:
    """Hash of the lock file, which names every package by version."""
    path = project.root / LOCK
    return _sha256(path) if path.is_file() else None


def inputs(store: Store) -> dict[str, str]:
    """The stored files a report made now would read, with their hashes, and what it would say it cannot read."""
    damaged = {path.relative_to(store.outputs).as_posix(): "cannot be read" for path in store.unreadable()}
    read = (path for path in sorted(_input_files(store)) if path.is_file())
    return {**damaged, **{path.relative_to(store.outputs).as_posix(): _sha256(path) for path in read}}


def sources(project: Project) -> str:
    """What would make a report now, as one hash: of notebook, library, lock file, installed packages and commit."""
    library = Path(__file__).parents[1]
    files = [project.notebooks / "report.ipynb", project.root / LOCK, *sorted(library.rglob("*"))]
    parts = [f"{path.name} {_sha256(path)}" for path in files if path.is_file() and path.suffix != ".pyc"]
    packages = sorted(f"{package.name}=={package.version}" for package in distributions())
    return hashlib.sha256("\n".join([*parts, *packages, project.commit() or ""]).encode()).hexdigest()


def _input_files(store: Store) -> Iterator[Path]:
    for run in store.latest():
        folder = store.run_dir(run)
        names = ("record.json", "ops.parquet", "profiler.txt") if isinstance(run, RunRecord) else ("failure.json",)
        yield from (folder / name for name in names)
    yield from (store.run_dir(run) / "record.json" for run in store.scaling_runs())
    yield from (store.outputs / "check").rglob("*.json")
    yield from (store.outputs / "searches").rglob("*.json")
    yield from store.optimized_dir.glob("*.json")
    for name in ("training.json", "outcomes.npz"):
        yield from (store.outputs / "reference").rglob(name)


def write(project: Project, read: Mapping[str, str], made_by: str, files: Sequence[Path]) -> None:
    """Stores what a report was made of.

    Args:
        project: Where.
        read: From `inputs`, taken before the report was made: what changed meanwhile then shows as a change.
        made_by: From `sources`, taken then too.
        files: The report's own files.
    """
    store = project.store
    record = ReportRecord(
        created=utc_now(),
        commit=project.commit(),
        lock_sha256=lock_sha256(project),
        inputs=read,
        sources=made_by,
        files={path.relative_to(store.outputs).as_posix(): _sha256(path) for path in files},
    )
    write_atomically(store.report_dir / RECORD, record.model_dump_json(indent=1) + "\n")


def check(project: Project) -> ReportRecord:
    """Returns what the report on disk was made of, if a report made now would be made of the same.

    Raises:
        ReportError: there is none, or something it was made of or it itself changed.
    """
    store = project.store
    path = store.report_dir / RECORD
    if not path.is_file():
        raise ReportError(f"{path}: there is no report to check. Write it: cnnprof report")
    record = read_spec(ReportRecord, path, "Write it again: cnnprof report")
    files = {name: _sha256(store.outputs / name) for name in record.files if (store.outputs / name).is_file()}
    changes = [*_changes(record.inputs, inputs(store)), *_changes(record.files, files)]
    if changes:
        more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        raise ReportError(
            f"{store.report_dir}: the report no longer matches what is stored. "
            f"Received: {', '.join(changes[:_SHOWN])}{more}. Write it again: cnnprof report"
        )
    return record


def is_current(project: Project) -> bool:
    """Whether a report made now would be the one on disk: made of the same by the same."""
    try:
        return check(project).sources == sources(project)
    except CnnprofError:  # none there, or something cannot be read, which making the report will say
        return False


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if name not in now:
            yield f"{name} is gone"
        elif name not in before:
            yield f"{name} is new"
        elif before[name] != now[name]:
            yield f"{name} changed"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
