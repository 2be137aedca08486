"""One stored run at hand, which shows itself in a notebook."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pandas as pd

from ..analysis import frames
from ..analysis.frames import RunKey, run_key_of
from ..analysis.profile import numbers as profile
from ..analysis.profile.for_scripts import run_for_scripts
from ..analysis.profile.shown_tables import MOST_ROWS, layers_table, ops_table
from ..analysis.profile.shown_text import run_text
from ..analysis.resolution import Resolution
from ..analysis.variants import numbers as variants
from ..page.table import beside
from ..page.text import code
from ..records.run import RunRecord
from ..records.store import Store


class Run:
    """One run, and what it tells as data frames; in a notebook it shows itself."""

    def __init__(self, record: RunRecord, store: Store, resolution: Resolution | None = None) -> None:
        self.record = record
        self._store, self._resolution = store, resolution

    @property
    def key(self) -> RunKey:
        """What names it."""
        return run_key_of(self.record)

    @cached_property
    def executions(self) -> pd.DataFrame:
        """A row per node execution, see `records.run.EXECUTIONS`."""
        return self._store.read_ops(self.record)

    def ops(self) -> pd.DataFrame:
        """Its ops by falling time, see `profile.numbers.by_op`."""
        return profile.by_op(self.record)

    def layers(self) -> pd.DataFrame:
        """Its layers in the network's order, see `profile.numbers.by_layer`."""
        return profile.by_layer(self.record, self.executions)

    def nodes(self) -> pd.DataFrame:
        """The nodes of its graph, see `frames.profile`."""
        return frames.profile(self.record, self.executions, by_node=True)

    def steps(self) -> pd.DataFrame:
        """Its timed steps, see `frames.steps`."""
        return frames.steps([self.record])

    def for_scripts(self) -> dict[str, Any]:
        """What `cnnprof show --json` prints."""
        return run_for_scripts(self.record, self.executions, self._resolution)

    @cached_property
    def profiler_text(self) -> str:
        """What the runtime's own profiler printed; empty where it has none."""
        return self._store.read_profiler_text(self.record)

    def _repr_markdown_(self) -> str:
        name, runtime = self.record.name, self.record.runtime
        tables = ("Ops", ops_table(self.ops())), ("Layers", layers_table({runtime: self.layers()}, MOST_ROWS))
        (row,) = variants.overview([self.record]).to_dict("records")
        return f"{code(name)}: {run_text(self.ops(), row)}\n\n{beside(*tables)}"
