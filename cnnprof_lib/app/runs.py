"""Makes runs: one after the other, each notebook in a process of its own, and what the report asks of the machine."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ..base.errors import StoreError
from ..base.files import try_writing
from ..base.locks import WAITING, alone_on_host
from ..base.processes import undisturbed
from ..base.stamps import new_run_id, utc_now
from ..params.model import is_model
from ..params.settings import GENERATED, NO_BASELINE, PresetSpec, RunRequest
from ..records.project import Project
from ..records.run import FailureRecord, RunRecord
from . import notebook

OnStage = Callable[[float, str], None]
STARTING = "starting"


def requests(
    variants: Sequence[str],
    runtimes: Sequence[str],
    preset: PresetSpec,
    *,
    rounds: int,
    source: str,
    baseline: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    batch_sizes: Sequence[int] = (),
    threads: Sequence[int] = (),
) -> list[RunRequest]:
    """The runs of one command, in the order to make them: under each batch size with each number of threads.

    All are compared with one baseline: the one named, else the preset's, else the first of several. A preset's is not
    taken where a model is named, for it is of other variants. ``model_options`` are those of a `RunRequest`.

    With several rounds each round makes every variant and runtime once, in an order of its own drawn from the
    preset's seed, so that a drift of the machine over minutes does not fall on one variant.
    """
    series = new_run_id()
    rng = np.random.default_rng(preset.seed)
    sizes: list[int | None] = [*batch_sizes] or [None]
    counts: list[int | None] = [*threads] or [None]
    if baseline is None and (preset.baseline is None or any(map(is_model, variants))):
        baseline = variants[0] if len(variants) > 1 else NO_BASELINE
    places = list(itertools.product(variants, runtimes, sizes, counts))
    result: list[RunRequest] = []
    for _ in range(rounds):
        order = rng.permutation(len(places)) if rounds > 1 else range(len(places))
        for variant, runtime, batch_size, thread_count in (places[index] for index in order):
            result.append(
                RunRequest(
                    variant=variant,
                    runtime=runtime,
                    preset=preset.name,
                    baseline=baseline,
                    **(model_options or {}),
                    source=source,
                    run_id=f"{series}-{len(result):02d}",
                    series=series,
                    batch_size=batch_size,
                    threads=thread_count,
                )
            )
    return result


def run_notebook(
    request: RunRequest, project: Project, on_stage: OnStage, limit_s: int | None = None
) -> RunRecord | FailureRecord:
    """Executes ``run_variant.ipynb`` in a process of its own, alone on the host, and keeps the executed notebook.

    Args:
        request: What to run.
        project: Where notebook, parameters and outputs are.
        on_stage: Told the share done, 0 to 1, and the stage, as the notebook prints them; first `locks.WAITING` if
            another process times something, then `STARTING`.
        limit_s: When to end a cell that has taken so long; None for never.

    Returns:
        The stored run, or its failure; where the disk took it, it is stored too, with the notebook beside.

    Raises:
        StoreError: nothing could be stored, as was clear before the run.
    """
    store = project.store
    try_writing(store.run_dir(request).parent)
    with alone_on_host(lambda: on_stage(0.0, WAITING)):
        on_stage(0.0, STARTING)
        parameters = request.model_dump(mode="json")
        executed, error = notebook.execute("run_variant.ipynb", parameters, project, _StageReader(on_stage), limit_s)
    if error is None:
        try:
            result: RunRecord | FailureRecord = store.read_run(store.run_dir(request))
        except StoreError as unstored:
            error = str(unstored)
    if error is not None:
        shared = request.model_dump(include={"run_id", "series", "runtime"})
        result = FailureRecord(variant=request.name, purpose=request.purpose, created=utc_now(), error=error, **shared)
    with contextlib.suppress(StoreError):  # a disk that is full by now: the error told of may be just that
        if isinstance(result, FailureRecord):
            store.write_failure(result)
        store.write_notebook(executed, request)
    return result


def measure_machine(project: Project, *, rounds: int, runtimes: Collection[str], source: str) -> None:
    """Measures what the report says of this machine, where the newest runs were made, if it was not yet, undisturbed.

    `cnnprof check` for each of the runtimes that was run, and `cnnprof roofline` run in processes of their own. What
    one of them cannot do it says in a line on standard error; the report then does without.

    Args:
        project: Where the runs are and the outcomes go.
        rounds: Of each check; 0 measures nothing.
        runtimes: Which to check.
        source: Images, as for a run.
    """
    from .study import Study

    if not rounds:
        return
    study = Study(project.store)
    runs = sorted(study.runs, key=lambda run: run.run_id)
    newest = {run.runtime: run for run in runs if run.machine.key == runs[-1].machine.key}
    images = ["--generated"] if source == GENERATED else ["--data", source]
    commands = [
        ["check", "--runtime", runtime, "--rounds", str(rounds), *images]
        for runtime in dict.fromkeys(run.runtime for run in study.runs)
        if runtime in runtimes and runtime in newest and study.resolution_of(newest[runtime]) is None
    ]
    roof = project.store.read_roofline(runs[-1].machine) if runs else None
    if roof is None or not roof.is_undisturbed:
        commands.append(["roofline"])
    for command in commands:
        arguments = [*command, "--outputs", str(project.outputs)]
        process = None
        try:
            with undisturbed():
                process = subprocess.Popen([sys.executable, "-m", "cnnprof_lib", *arguments])
            process.wait()
        finally:
            if process:
                process.kill()


class _StageReader(io.StringIO):
    """Takes what the notebook prints and passes on the lines that tell the stage: ``0.35 timing, round 5 of 20``."""

    _LINE = re.compile(r"^([01]\.\d\d) (\S.*)$", re.MULTILINE)

    def __init__(self, on_stage: OnStage) -> None:
        super().__init__()
        self._on_stage = on_stage

    def write(self, text: str) -> int:
        """Reports the last stage in ``text``."""
        stages = self._LINE.findall(text)
        if stages:
            share, stage = stages[-1]
            self._on_stage(float(share), stage)
        return len(text)
