"""The report's section on runtimes: every network in each, and the baseline's layers side by side."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
from IPython.display import HTML

from ..analysis.differences.shown import waterfall_figure
from ..analysis.profile import numbers as profile
from ..analysis.runtimes import numbers as runtimes
from ..analysis.runtimes import shown as runtimes_shown
from ..base.errors import MeasureError
from ..page.table import folded_table
from ..params.runtimes import REFERENCE_RUNTIME
from .study import Study

NO_OTHERS = (
    "Only the reference runtime and its like were measured. To compare runtimes, install some, "
    "`pip install 'cnnprof[runtimes]'`, and run again."
)


def runtime_parts(study: Study) -> Iterator[object]:
    """What the section shows, in order; nothing of the layers where only one runtime tells of them."""
    table = study.runtimes_table()
    yield runtimes_shown.failures_text(study.overview())
    if table["runtime"].nunique() < 2:
        yield NO_OTHERS
        return
    yield runtimes_shown.matrix_table(table)
    yield HTML(folded_table("Every network in each runtime", runtimes_shown.runtimes_table(table)))
    machine = next(kind for kind in study.machines if kind in set(table["machine"]))
    study, table = study.on(machine), table[table["machine"] == machine]
    measured = [str(name) for name in table["variant"]]
    name = next((name for name in measured if name == study.baseline), measured[0])
    runs = [study.of_record(run) for run in study.runs if run.name == name and run.reference]
    executed = {run.record.runtime: run.executions for run in runs}
    records = [run.record for run in runs]
    times = runtimes.layer_times(records, executed)
    if len(times.columns) < 2:
        return
    kernels = {r.runtime: profile.kernels(r, executed[r.runtime]) for r in records if r.runtime in times.columns}
    fell_back = {name: set(table.loc[table["fell_back"] != "", "layer"]) for name, table in kernels.items()}
    figure, ax = plt.subplots(figsize=(12, 1.5 + 0.3 * len(times)))
    runtimes_shown.layers_figure(times, fell_back, ax=ax)
    yield runtimes_shown.LAYERS_CAPTION.put(figure)
    yield runtimes_shown.losers_text(table, name, runtimes.why(records, executed))
    yield HTML(folded_table(f"Kernels of {name} in each runtime", runtimes_shown.kernels_table(kernels)))
    yield from _waterfalls(study, name, [runtime for runtime in times.columns if runtime != REFERENCE_RUNTIME])


def _waterfalls(study: Study, name: str, others: list[str]) -> Iterator[object]:
    """From the reference runtime to each other, layer by layer."""
    for runtime in others if REFERENCE_RUNTIME in study.runtimes(name) else ():
        try:
            fall = study.diff((name, REFERENCE_RUNTIME), (name, runtime))
        except MeasureError as error:  # runs that were not made alike are not compared
            yield str(error)
            continue
        figure, ax = plt.subplots(figsize=(9, 0.25 * len(fall) + 1))
        waterfall_figure(fall, ax=ax)
        yield figure
