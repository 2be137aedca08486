"""The runs of one variant and runtime in several processes, as one record."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

from ..base.errors import StoreError
from ..records.conditions import LoadRecord
from ..records.run import LatencyRecord, MemoryRecord, OpRecord, RunRecord, UnattributedRecord


def pooled(runs: Sequence[RunRecord]) -> RunRecord:
    """Pools processes that made the same measurement.

    Args:
        runs: Runs of one variant, runtime and series, at least one.

    Returns:
        The run itself where there is one. Else a record whose blocks are those of all processes in turn, whose ops and
        unattributed time are means over all profiled steps, and whose memory and load are the most of any process.

    Raises:
        StoreError: they were not made on one machine.
    """
    first = runs[0]
    if len(runs) == 1:
        return first
    if other := next((run for run in runs if run.machine != first.machine), None):
        raise StoreError(
            f"{first.name} in runtime {first.runtime}: the runs {first.run_id} ({_called(first)}) and "
            f"{other.run_id} ({_called(other)}) are of two machines and make no one measurement. "
            "Keep the runs of each machine in a folder of its own, by --outputs."
        )
    steps = [sum(map(len, run.latency.profiled_s or run.latency.plain_s)) for run in runs]
    weights = [count / sum(steps) for count in steps]
    blocks = {
        kind: tuple(block for run in runs for block in getattr(run.latency, kind))
        for kind in ("plain_s", "profiled_s", "baseline_s", "reference_s")
    }
    memory = {
        key: max((size for run in runs if (size := getattr(run.memory, key)) is not None), default=None)
        for key in MemoryRecord.model_fields
        if key.endswith("_bytes")
    }
    add_step_s = [run.add_step_s for run in runs if run.add_step_s is not None]
    return first.model_copy(
        update={
            "run_id": first.series,
            "pooled": tuple(run.run_id for run in runs),
            "latency": LatencyRecord(**blocks, processes=tuple(len(run.latency.plain_s) for run in runs)),
            "load": LoadRecord(
                others_percent=max(run.load.others_percent for run in runs),
                **{
                    name: tuple(itertools.chain.from_iterable(getattr(run.load, name) for run in runs))
                    for name in ("cpu_mhz", "plain_faults", "profiled_faults", "baseline_faults")
                },
            ),
            "ops": _mean_ops(runs, weights),
            "unattributed": _mean_unattributed(runs, weights),
            "unowned_s": math.fsum(w * run.unowned_s for w, run in zip(weights, runs, strict=True)),
            "add_step_s": statistics.median(add_step_s) if add_step_s else None,
            "memory": first.memory.model_copy(update=memory),
            "warnings": tuple(dict.fromkeys(text for run in runs for text in run.warnings)),
        }
    )


def _called(run: RunRecord) -> str:
    return f"{run.machine.host}, {run.machine.cpu}" if run.machine.host else run.machine.cpu


def _mean_unattributed(runs: Sequence[RunRecord], weights: Sequence[float]) -> UnattributedRecord | None:
    parts = [run.unattributed.model_dump() for run in runs if run.unattributed]
    if not parts:
        return None
    means = {name: math.fsum(w * part[name] for w, part in zip(weights, parts, strict=True)) for name in parts[0]}
    return UnattributedRecord(**means)


def _mean_ops(runs: Sequence[RunRecord], weights: Sequence[float]) -> tuple[OpRecord, ...]:
    """Kernels of all runs; one that a run did not execute counts there as nothing."""
    keys = dict.fromkeys((op.op, op.kernel) for run in runs for op in run.ops)
    by_run = [{(op.op, op.kernel): op for op in run.ops} for run in runs]
    result = []
    for name, kernel in keys:
        found = [(w, ops[name, kernel]) for w, ops in zip(weights, by_run, strict=True) if (name, kernel) in ops]
        means = {
            key: math.fsum(w * getattr(op, key) for w, op in found)
            for key in ("time_s", "cpu_s", "accelerator_s", "occurrences")
        }
        sizes = [w * op.requested_bytes for w, op in found if op.requested_bytes is not None]
        size = round(math.fsum(sizes)) if sizes else None
        fuses = tuple(dict.fromkeys(fused for _, op in found for fused in op.fuses))
        result.append(OpRecord(op=name, kernel=kernel, requested_bytes=size, fuses=fuses, **means))
    return tuple(sorted(result, key=lambda op: -op.time_s))
