"""Measures designed networks in one runtime until the time is spent; what is interrupted goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from ...base.errors import CnnprofError, StoreError
from ...base.files import try_writing
from ...base.stamps import utc_now
from ...params.variant import VariantSpec
from ...records.calibration import ProbeRecord, ProbesRecord
from ...records.project import Project
from .. import machine
from ..runtimes.contract import find_runtime
from .bench import Bench
from .design import BASELINE_FAMILY, Designed, designed, of_space

_SAVE_EVERY_S = 10.0
_MOST_REFUSED = 5
"""So many networks the runtime may refuse before it has taken one."""

OnProbe = Callable[[float, ProbeRecord], None]
"""Told the seconds spent so far and what was measured last."""


def measure_probes(
    runtime_name: str,
    minutes: float,
    project: Project,
    *,
    batch_sizes: Sequence[int] = (),
    space: Sequence[VariantSpec] = (),
    again: bool = False,
    on_probe: OnProbe = lambda spent_s, probe: None,
) -> ProbesRecord:
    """Measures designed networks until ``minutes`` are spent, those of earlier commands included, and stores them.

    Args:
        runtime_name: In which runtime; the process must have been set up for it.
        minutes: Of measuring, all commands together.
        project: Where parameters are and the result goes.
        batch_sizes: Images per step to draw from; empty for those of the design.
        space: What to draw networks from, once the baseline is measured; empty for the design.
        again: Begins anew, whatever there is.
        on_probe: Progress.

    Raises:
        CnnprofError: whatever stops the calibration, in one line. What was measured is stored.
    """
    try_writing(project.store.machine_dir)
    runtime = find_runtime(runtime_name)
    runtime.set_up()
    bench = Bench(runtime, project)
    record = ProbesRecord(
        created=utc_now(),
        runtime=runtime.name,
        machine=machine.describe(onednn=False),
        versions=runtime.versions(),
        reference=bench.reference,
        seed=bench.preset.seed,
        drawn=0,
        spent_s=0.0,
        probes=(),
    )
    if not again:
        record = _continued(record, project.store.read_probes(runtime.name))
    try:
        return _go_on(record, bench, 60 * minutes, partial(_drawn, bench, batch_sizes, space), on_probe)
    finally:
        bench.close()


def _drawn(bench: Bench, batch_sizes: Sequence[int], space: Sequence[VariantSpec], index: int) -> Designed:
    """The network to measure at one place of the sequence."""
    seed, wanted = bench.preset.seed, designed(index, bench.preset.seed, bench.baseline, batch_sizes)
    if not space or wanted.family == BASELINE_FAMILY:
        return wanted
    return of_space(index, seed, space, wanted.batch_size)


def _go_on(
    record: ProbesRecord, bench: Bench, until_s: float, draw: Callable[[int], Designed], on_probe: OnProbe
) -> ProbesRecord:
    store, stored = bench.project.store, record
    saved = time.monotonic()
    try:
        while record.spent_s < until_s:
            start = time.monotonic()
            probes = record.probes
            try:
                probe = bench.measure(draw(record.drawn))
            except CnnprofError:
                if not probes and record.drawn >= _MOST_REFUSED:
                    raise
            else:
                probes = (*probes, probe)
                on_probe(record.spent_s, probe)
            now = time.monotonic()
            changes = {"probes": probes, "drawn": record.drawn + 1, "spent_s": record.spent_s + now - start}
            record = record.model_copy(update=changes)
            if now - saved > _SAVE_EVERY_S:
                store.write_probes(record)
                stored, saved = record, now
    finally:
        if record is not stored:
            store.write_probes(record)
    return record


def _continued(new: ProbesRecord, stored: ProbesRecord | None) -> ProbesRecord:
    """What is stored, if it was measured under the conditions of today."""
    if stored is None:
        return new
    for what in ("machine", "versions", "reference", "seed"):
        here, there = getattr(new, what), getattr(stored, what)
        if here != there:
            raise StoreError(
                f"The calibration of runtime {new.runtime} was made with another {what} and cannot go on here. "
                f"Received: {here}, not {there}. Begin anew: cnnprof calibrate --runtime {new.runtime} --again"
            )
    return stored
