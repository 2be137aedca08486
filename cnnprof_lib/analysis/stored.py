"""All stored runs at hand: each read once, each of its frames made when first asked for and then kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..base.errors import StoreError
from ..params.variant import VariantSpec
from ..records.run import RunRecord
from ..records.store import Store
from . import frames
from .differences import numbers as differences
from .frames import RunKey, run_key_of
from .pool import pooled
from .profile import numbers as profile
from .resolution import Resolution, resolutions


class StoredRuns:
    """Every complete run, and where a command measured in several processes, these together as one run more.

    The pooled run bears the id of the command, its series. Frames are copies: they may be changed.
    """

    def __init__(self, store: Store) -> None:
        """Reads the records.

        Raises:
            StoreError: nothing that can be read has been measured yet, or no run succeeded.
        """
        stored = frames.load_records(store, every=True)
        single = frames.completed(stored)
        if not single:
            raise StoreError(
                f"{store.outputs / 'runs'}: none of {len(stored)} runs succeeded, the last for: "
                f"{getattr(stored[-1], 'error', '')}. Measure again: cnnprof run"
            )
        self._store = store
        self._folder = store.outputs / "runs"
        self.records = frames.completed(frames.in_order([*single, *_pooled(single)]))
        """The runs, the baseline first, then by falling MACs."""
        self._by_key = {run_key_of(record): record for record in self.records}
        self._resolutions: Mapping[Any, Resolution] = resolutions(store, self.records)
        self._kept: dict[tuple[str, ...], pd.DataFrame] = {}

    @property
    def variants(self) -> list[str]:
        """All variants that were run."""
        return list(dict.fromkeys(record.variant.name for record in self.records))

    def runtimes(self, variant: str) -> list[str]:
        """All runtimes in which a variant was run."""
        return list(dict.fromkeys(record.runtime for record in self.records if record.variant.name == variant))

    def run_ids(self, variant: str, runtime: str) -> list[str]:
        """All runs of a variant in a runtime, the newest command's first, and of each what is pooled first."""
        found = [record for record in self.records if run_key_of(record)[:2] == (variant, runtime)]
        found.sort(key=lambda record: (record.series, bool(record.pooled), record.run_id), reverse=True)
        return [record.run_id for record in found]

    def newest(self, variant: str, runtime: str = "") -> RunKey:
        """The newest run of a variant, in its first runtime unless named.

        Raises:
            StoreError: there is none.
        """
        runtime = runtime or next(iter(self.runtimes(variant)), "any runtime")
        for run_id in self.run_ids(variant, runtime):
            return RunKey(variant, runtime, run_id)
        raise StoreError(
            f"{self._folder}: holds no run of {variant} in {runtime}. Take one of: {', '.join(self.variants)}"
        )

    def run(self, variant: str, runtime: str, run_id: str) -> RunRecord:
        """One run.

        Raises:
            StoreError: there is none of that name.
        """
        try:
            return self._by_key[RunKey(variant, runtime, run_id)]
        except KeyError:
            raise StoreError(
                f"{self._folder}: holds no run {run_id} of {variant} in runtime {runtime}. "
                f"Take one of: {', '.join(self.run_ids(variant, runtime)) or 'none'}"
            ) from None

    def profile(self, variant: str, runtime: str, run_id: str) -> pd.DataFrame:
        """The nodes of a run's graph, see `frames.profile`."""
        record = self.run(variant, runtime, run_id)
        return self._once(
            lambda: frames.profile(record, self._store.read_ops(record), by_node=True), "profile", *run_key_of(record)
        )

    def newest_profiles(self, runtime: str, variants: Sequence[str]) -> pd.DataFrame:
        """The newest `profile` in one runtime of each of the variants that was run in it."""
        found = [self.profile(*self.newest(name, runtime)) for name in variants if runtime in self.runtimes(name)]
        if not found:
            raise StoreError(
                f"{self._folder}: none of the variants was run in {runtime}. "
                f"Received: {', '.join(variants) or 'no variant'}. Take some of: {', '.join(self.variants)}"
            )
        return pd.concat(found, ignore_index=True)

    def spec(self, variant: str, runtime: str, run_id: str) -> VariantSpec:
        """The network of a run, as it was then."""
        return self.run(variant, runtime, run_id).variant

    def steps(self, variant: str, runtime: str, run_id: str) -> pd.DataFrame:
        """The timed steps of a run, see `frames.steps`."""
        return frames.steps([self.run(variant, runtime, run_id)])

    def layers(self, variant: str, runtime: str, run_id: str) -> pd.DataFrame:
        """The layers of a run, see `profile.numbers.by_layer`."""
        record = self.run(variant, runtime, run_id)
        return self._once(lambda: profile.by_layer(record, self._store.read_ops(record)), "layers", *run_key_of(record))

    def waterfall(self, before: Sequence[str], after: Sequence[str]) -> pd.DataFrame:
        """Steps from the latency of one run to that of another, see `differences.numbers.waterfall`.

        Args:
            before: Variant, runtime and id of the run to start from.
            after: The same of the run to arrive at.

        Raises:
            MeasureError: the runs were not made alike.
        """
        old, new = self.run(*before), self.run(*after)
        return self._once(
            lambda: differences.waterfall(
                old, self._store.read_ops(old), new, self._store.read_ops(new), self.resolution(new.runtime)
            ),
            "waterfall",
            *run_key_of(old),
            *run_key_of(new),
        )

    def resolution(self, runtime: str) -> Resolution | None:
        """What this machine can tell apart in a runtime, see `resolution`; None where it was not checked."""
        return self._resolutions.get(runtime)

    def _once(self, make: Callable[[], pd.DataFrame], *key: str) -> pd.DataFrame:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key].copy()


def _pooled(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The processes of each command, variant and runtime as one, where they are several."""
    groups: dict[RunKey, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(run_key_of(record)._replace(run_id=record.series), []).append(record)
    return [pooled(group) for group in groups.values() if len(group) > 1]
