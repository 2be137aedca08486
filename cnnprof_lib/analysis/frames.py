"""Stored records to tidy DataFrames: one row per run, step, kernel, layer or node execution.

Nothing is estimated here: columns hold what was stored, or its mean per profiled step. Every frame carries
``variant``, ``runtime`` and ``run_id``, so frames of several runs can be stacked and filtered alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ..base.errors import MeasureError
from ..records.run import FailureRecord, OpRecord, RunRecord
from ..records.store import Store
from .pool import pooled

Record = RunRecord | FailureRecord

UNATTRIBUTED = "unattributed"
"""Row for the time of a step in which no kernel ran."""
NO_LAYER = "(no layer)"
"""Row for the nodes around the network: queue, feed, return."""

_PROFILE_MEANS = ("time_s", "requested_bytes", "occurrences")


class RunKey(NamedTuple):
    """What names a run."""

    variant: str
    runtime: str
    run_id: str


class RunRow(NamedTuple):
    """A run or failure. Bytes are those of one step of ``batch_size`` images, but for ``rss_bytes``."""

    variant: str
    runtime: str
    run_id: str
    title: str
    created: str
    status: str
    """``ok`` or ``failed``: a failure has its one line in ``error`` and nothing measured."""
    error: str = ""
    preset: str | None = None
    batch_size: float = math.nan
    parameters: float = math.nan
    macs_per_image: float = math.nan
    requested_bytes: float | None = None
    live_peak_bytes: float | None = None
    rss_bytes: float = math.nan
    """The peak of the process."""
    correct: int | None = None
    images: int | None = None
    dataset: str | None = None
    accuracy_measured: bool | None = None


class StepRow(NamedTuple):
    """A timed step."""

    variant: str
    runtime: str
    run_id: str
    kind: str
    """``plain``, ``profiled`` or ``baseline``."""
    block: int
    step: int
    """In its block."""
    seconds: float


def newest_series(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Of every variant, runtime and kind of machine those of the newest series and host, in their order, oldest first.

    A sweep has one series on all its hosts.
    """
    newest = {(*run_key_of(run)[:2], run.machine.kind): (run.series, run.machine) for run in runs}
    return [run for run in runs if newest[(*run_key_of(run)[:2], run.machine.kind)] == (run.series, run.machine)]


def pooled_by_series(records: Sequence[Record]) -> list[Record]:
    """One record per variant, runtime and series: its runs pooled, or its failure where no process succeeded."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        found.setdefault((*run_key_of(record)[:2], record.series), []).append(record)
    return [pooled(done) if (done := completed(some)) else some[-1] for some in found.values()]


def kinds_of_machine(records: Iterable[Record]) -> list[str]:
    """The kinds of machine that there are runs of, that of the newest run first."""
    newest_first = sorted(completed(records), key=lambda run: run.run_id, reverse=True)
    return list(dict.fromkeys(run.machine.kind for run in newest_first))


def in_order(records: Iterable[Record]) -> list[Record]:
    """Sorts as every table and figure does: the baseline, then by falling MACs, each in the order of the runtimes.

    Runtimes come in the order in which `records` has them first.
    """
    records = list(records)
    macs = {record.name: record.network.macs_per_image for record in completed(records)}
    runtimes = list(dict.fromkeys(record.runtime for record in records))
    baseline = baseline_of(records)

    def key(record: Record) -> tuple[bool, int, str, int, str]:
        name = variant_name(record)
        return name != baseline, -macs.get(name, 0), name, runtimes.index(record.runtime), record.run_id

    return sorted(records, key=key)


def completed(records: Iterable[Record]) -> list[RunRecord]:
    """The runs among the records, in their order, without the failures."""
    return [record for record in records if isinstance(record, RunRecord)]


def baseline_of(records: Iterable[Record]) -> str | None:
    """What the newest of the runs was compared with: the baseline of a study; None where there is none."""
    newest = max(completed(records), key=lambda run: run.run_id, default=None)
    return newest.baseline if newest else None


def variant_name(record: Record) -> str:
    """Name of the variant that a run or failure is of."""
    return record.name if isinstance(record, RunRecord) else record.variant


def run_key_of(record: Record) -> RunKey:
    """What names a run or failure."""
    return RunKey(variant_name(record), record.runtime, record.run_id)


def runs(records: Iterable[Record]) -> pd.DataFrame:
    """A `RunRow` per run or failure, in the order given."""
    return frame_of(RunRow, [_run_row(r) if isinstance(r, RunRecord) else _failure_row(r) for r in records])


def _run_row(record: RunRecord) -> RunRow:
    accuracy = record.accuracy
    return RunRow(
        *run_key_of(record),
        title=record.network.title,
        created=record.created,
        status="ok",
        preset=record.preset,
        batch_size=record.batch_size,
        parameters=record.network.parameters,
        macs_per_image=record.network.macs_per_image,
        requested_bytes=record.memory.requested_bytes,
        live_peak_bytes=record.memory.live_peak_bytes,
        rss_bytes=record.memory.rss_bytes,
        correct=accuracy.correct if accuracy else None,
        images=accuracy.images if accuracy else None,
        dataset=accuracy.dataset if accuracy else None,
        accuracy_measured=accuracy.measured if accuracy else None,
    )


def _failure_row(record: FailureRecord) -> RunRow:
    return RunRow(*run_key_of(record), title="", created=record.created, status="failed", error=record.error)


def frame_of(kind: type[tuple[Any, ...]], rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows of one NamedTuple as a frame whose columns are its fields, also where there are no rows."""
    return pd.DataFrame(list(rows), columns=list(kind._fields))  # type: ignore[attr-defined]


def steps(records: Sequence[Record]) -> pd.DataFrame:
    """A `StepRow` per timed step."""
    rows = [
        StepRow(*run_key_of(record), kind=kind, block=block, step=step, seconds=seconds)
        for record in completed(records)
        for kind, blocks in (
            ("plain", record.latency.plain_s),
            ("profiled", record.latency.profiled_s),
            ("baseline", record.latency.baseline_s),
        )
        for block, block_s in enumerate(blocks)
        for step, seconds in enumerate(block_s)
    ]
    return frame_of(StepRow, rows)


def ops(records: Sequence[Record]) -> pd.DataFrame:
    """One row per executed kernel and one `UNATTRIBUTED` row per run; ``time_s`` adds up to the profiled step.

    Times and bytes are means per profiled step of one batch. A run that was not traced has no rows.
    """
    rows: list[dict[str, Any]] = []
    for record in completed(records):
        if not record.is_traced:
            continue
        key = run_key_of(record)._asdict()
        rows += [{**key, **op.model_dump()} for op in record.ops]
        rows.append(
            {
                **key,
                "op": UNATTRIBUTED,
                "kernel": "",
                "time_s": record.unattributed_s,
                "cpu_s": 0.0,
                "accelerator_s": 0.0,
                "requested_bytes": told_bytes(record),
                "occurrences": 1.0,
                "fuses": (),
            }
        )
    return pd.DataFrame(rows, columns=[*RunKey._fields, *OpRecord.model_fields]).astype({"requested_bytes": float})


def told_bytes(record: RunRecord) -> float:
    """Bytes of what requests none: 0, or missing where the runtime tells of no bytes at all."""
    return math.nan if record.memory.requested_bytes is None else 0.0


def sum_of_told(values: pd.Series[float]) -> float:
    """The sum of what is known; missing where nothing is."""
    return float(values.sum(min_count=1))


def executions(records: Sequence[Record], store: Store) -> pd.DataFrame:
    """One row per node execution of the profiled steps, with the columns of ops.parquet."""
    frames = [store.read_ops(record).assign(**run_key_of(record)._asdict()) for record in completed(records)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(RunKey._fields))


def layer_order(*networks: Iterable[str]) -> list[str]:
    """One order for the layers of several networks.

    Args:
        networks: Names of each one's layers in its order, then of those that it is not known to have, if any.

    Returns:
        The layers of the first, and behind its predecessor each that only another one has; last `NO_LAYER` and
        `UNATTRIBUTED`, once each, whether or not there was any.
    """
    last = (NO_LAYER, UNATTRIBUTED)
    names: list[str] = []
    for network in networks:
        place = 0
        for name in dict.fromkeys(network):
            if name not in names and name not in last:
                names.insert(place, name)
            place = names.index(name) + 1 if name in names else place
    return [*names, *last]


def profile(record: RunRecord, executed: pd.DataFrame, *, by_node: bool = False) -> pd.DataFrame:
    """One row per layer, op and kernel of one run, layers in the network's order.

    Args:
        record: The run.
        executed: Its node executions, as `Store.read_ops` returns them.
        by_node: One row per node of the graph instead, named in a column ``node``.

    Returns:
        ``layer``, ``op``, ``kernel``, ``time_s``, ``requested_bytes``, ``occurrences``: means per profiled step.
        Rows of `NO_LAYER` and one `UNATTRIBUTED` row come last; ``time_s`` adds up to the profiled step.

    Raises:
        MeasureError: the run was not traced.
    """
    require_traced(record)
    profiled_steps = sum(len(block) for block in record.latency.profiled_s)
    keys = ["layer", "op", "kernel", *(["node"] if by_node else [])]
    sums = (
        executed.groupby(keys, as_index=False, sort=False)
        .agg(time_s=("self_ns", "sum"), requested_bytes=("requested_bytes", sum_of_told), occurrences=("step", "size"))
        .replace({"layer": {"": NO_LAYER}})
    )
    sums["time_s"] *= 1e-9
    means = sums.assign(**{c: sums[c] / profiled_steps for c in _PROFILE_MEANS})
    rest = pd.DataFrame(
        {
            "layer": [UNATTRIBUTED],
            "op": [UNATTRIBUTED],
            "kernel": [""],
            "node": [""],
            "time_s": [record.unattributed_s],
            "requested_bytes": [told_bytes(record)],
            "occurrences": [1.0],
        }
    )
    rows = pd.concat([means, rest], ignore_index=True).assign(**run_key_of(record)._asdict())
    names = layer_order([*(layer.name for layer in record.network.layers), *rows["layer"]])
    rows = rows.sort_values("layer", key=lambda layers: layers.map(names.index), kind="stable", ignore_index=True)
    return rows[[*RunKey._fields, *keys, *_PROFILE_MEANS]]


def computations(record: RunRecord, executed: pd.DataFrame) -> pd.Series[bool]:
    """Which of a run's node executions compute, rather than only change a layout or a number format."""
    return ~executed["node"].isin(record.conversions)


def require_traced(record: RunRecord) -> None:
    """Refuses a run of which it is not known what its steps are spent on.

    Raises:
        MeasureError: it was not traced.
    """
    if not record.is_traced:
        raise MeasureError(
            f"{record.name} ({record.run_id}): runtime {record.runtime} cannot trace, so it is not known what its "
            "layers take. Name another --runtime."
        )


def require_told(data: pd.DataFrame, value: str) -> None:
    """Refuses rows of a runtime that does not tell what is to be drawn.

    Args:
        data: Rows of `profile` or `ops`.
        value: The column to be drawn.

    Raises:
        MeasureError: it is missing in all rows of a runtime.
    """
    told = data.groupby("runtime")[value].count()
    if not told.all():
        silent = ", ".join(map(str, told.index[told == 0]))
        raise MeasureError(f"{value}: not told by runtime {silent}. Choose time_s or occurrences, or another runtime.")


def profiles(records: Sequence[Record], store: Store) -> pd.DataFrame:
    """The `profile` of every run in one frame: what `profile.shown.profile_figure` draws from."""
    frames = [profile(record, store.read_ops(record)) for record in completed(records)]
    return (
        pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame(columns=[*RunKey._fields, "layer", "op", "kernel", *_PROFILE_MEANS])
    )
