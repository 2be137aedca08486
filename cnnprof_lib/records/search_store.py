"""Stores what searches tried, below ``outputs/searches/``; see `store` for all paths."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..base.errors import StoreError
from ..base.files import read_spec, write_atomically
from .place import Place
from .search import CandidateRecord, SearchRecord

_SEARCH = "search.json"
_FIGURE = "tried.svg"


class SearchStore(Place):
    """Searches and the networks that they tried."""

    def search_dir(self, search: str) -> Path:
        """The folder of a search."""
        return self.outputs / "searches" / search

    def write_search(self, record: SearchRecord) -> None:
        """Stores a search, in place of what it was before."""
        write_atomically(self.search_dir(record.spec.name) / _SEARCH, record.model_dump_json(indent=1) + "\n")

    def read_search(self, search: str) -> SearchRecord | None:
        """A search; None where there is none.

        Raises:
            StoreError: it is damaged.
        """
        path = self.search_dir(search) / _SEARCH
        return read_spec(SearchRecord, path, f"Search again: cnnprof search {search}") if path.exists() else None

    def searches(self) -> list[SearchRecord]:
        """All searches, by name."""
        found = []
        for name in self._search_names():
            with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
                found.append(self.read_search(name))
        return [record for record in found if record is not None]

    def write_candidate(self, search: str, record: CandidateRecord) -> None:
        """Stores a candidate, in place of what was known of it before."""
        write_atomically(self._candidate_path(search, record.key), record.model_dump_json(indent=1) + "\n")

    def candidates(self, search: str) -> dict[str, CandidateRecord]:
        """All candidates that a search ever had, by key."""
        found = {}
        for path in self._candidate_paths(search):
            with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
                found[path.stem] = self._read_candidate(path)
        return found

    def write_tried_figure(self, search: str, svg: bytes) -> Path:
        """Stores the figure of what a search tried and returns its file."""
        path = self.search_dir(search) / _FIGURE
        write_atomically(path, svg)
        return path

    def _search_names(self) -> list[str]:
        return sorted(path.parent.name for path in (self.outputs / "searches").glob(f"*/{_SEARCH}"))

    def _candidate_path(self, search: str, key: str) -> Path:
        return self.search_dir(search) / "candidates" / f"{key}.json"

    def _candidate_paths(self, search: str) -> list[Path]:
        return sorted(path for path in self._candidate_path(search, "x").parent.glob("*.json") if path.name[0] != ".")

    def _read_candidate(self, path: Path) -> CandidateRecord:
        record = read_spec(CandidateRecord, path, f"Try it again: cnnprof search {path.parents[1].name}")
        if record.key != path.stem:
            raise StoreError(f"{path}: holds the record of {record.key}. Name it so.")
        return record

    def _search_readings(self) -> Iterator[tuple[Path, Callable[[], object]]]:
        """All that there is, with how to read each."""
        for name in self._search_names():
            yield self.search_dir(name) / _SEARCH, partial(self.read_search, name)
            yield from ((path, partial(self._read_candidate, path)) for path in self._candidate_paths(name))
