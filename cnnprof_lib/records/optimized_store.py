"""Stores networks that were made cheaper, below ``outputs/optimized/``; see `store` for all paths."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..base.errors import StoreError
from ..base.files import read_spec, write_atomically
from .optimized import OptimizedRecord
from .place import Place


class OptimizedStore(Place):
    """Networks that were made cheaper, and how."""

    @property
    def optimized_dir(self) -> Path:
        """Their folder."""
        return self.outputs / "optimized"

    def optimized_path(self, name: str) -> Path:
        """The file of one of them, there or not."""
        return self.optimized_dir / f"{name}.keras"

    def write_optimized(self, record: OptimizedRecord, model: bytes) -> Path:
        """Stores one, in place of an earlier one of that name, and returns its file.

        Raises:
            StoreError: it cannot be written; the message says where it is kept.
        """
        content = record.model_dump_json(indent=1) + "\n"

        def write(path: Path) -> None:
            write_atomically(path, model)
            write_atomically(path.with_suffix(".json"), content)

        return self._keep(self.optimized_path(record.name), write)

    def read_optimized(self, name: str) -> OptimizedRecord:
        """How one of them came about.

        Raises:
            StoreError: the record is missing or damaged.
        """
        path = self.optimized_path(name).with_suffix(".json")
        return read_spec(OptimizedRecord, path, "Optimize again: cnnprof optimize")

    def optimizations(self) -> list[OptimizedRecord]:
        """All of them, by name."""
        found = []
        for name in self._optimized_names():
            with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
                found.append(self.read_optimized(name))
        return found

    def _optimized_names(self) -> list[str]:
        return sorted(path.stem for path in self.optimized_dir.glob("*.json"))

    def _optimized_readings(self) -> Iterator[tuple[Path, Callable[[], object]]]:
        """All that there is, with how to read it."""
        for name in self._optimized_names():
            yield self.optimized_dir / f"{name}.json", partial(self.read_optimized, name)
