"""Drives the notebooks: papermill executes one per run, `export` makes pages of the report."""

from __future__ import annotations

import copy
import io
import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import provenance
from .errors import ReportError
from .files import write_atomically
from .project import Project
from .records import FailureRecord, RunRecord
from .settings import GENERATED, PresetSpec, RunRequest, Runtime
from .stamps import new_run_id, utc_now
from .stderr import stderr_aside

OnStage = Callable[[float, str], None]


def requests(
    variants: Sequence[str],
    runtimes: Sequence[Runtime],
    preset: PresetSpec,
    *,
    rounds: int,
    source: str,
    batch_sizes: Sequence[int] = (),
    threads: Sequence[int] = (),
) -> list[RunRequest]:
    """The runs of one command, in the order to make them: under each batch size with each number of threads.

    With several rounds each round makes every variant and runtime once, in an order of its own drawn from the
    preset's seed, so that a drift of the machine over minutes does not fall on one variant.
    """
    series = new_run_id()
    rng = np.random.default_rng(preset.seed)
    sizes: list[int | None] = [*batch_sizes] or [None]
    counts: list[int | None] = [*threads] or [None]
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
                    source=source,
                    run_id=f"{series}-{len(result):02d}",
                    series=series,
                    batch_size=batch_size,
                    threads=thread_count,
                )
            )
    return result


def run_notebook(request: RunRequest, project: Project, on_stage: OnStage) -> RunRecord | FailureRecord:
    """Executes ``run_variant.ipynb`` in a process of its own and keeps the executed notebook.

    Args:
        request: What to run.
        project: Where notebook, parameters and outputs are.
        on_stage: Told the share done, 0 to 1, and the stage, as the notebook prints them.

    Returns:
        The stored run, or what was stored of its failure; the notebook is beside either.
    """
    store = project.store
    draft = store.draft_notebook(request)
    parameters = {**request.model_dump(), "outputs": str(project.outputs.resolve())}
    error = _execute(project.notebooks / "run_variant.ipynb", draft, parameters, _StageReader(on_stage))
    if error is None:
        result = store.read_run(store.run_dir(request))
    else:
        shared = request.model_dump(include={"run_id", "series", "variant", "runtime"})
        result = FailureRecord(purpose=request.purpose, created=utc_now(), error=error, **shared)
        store.write_failure(result)
    store.keep_notebook(draft, request)
    return result


def measure_machine(project: Project, *, rounds: int, source: str) -> None:
    """Measures what the report says of the machine, where it was not yet measured on this one, undisturbed.

    `cnnprof check` for each runtime and `cnnprof roofline` run in processes of their own. What one of them cannot do
    it says in a line on standard error; the report then does without.

    Args:
        project: Where the runs are and the outcomes go.
        rounds: Of each check; 0 measures nothing.
        source: Images, as for a run.
    """
    from .analysis import frames
    from .analysis.check import resolutions

    if not rounds:
        return
    runs = frames.completed(frames.load(project.store))
    checked, roof = resolutions(project.store, runs), project.store.read_roofline()
    images = ["--generated"] if source == GENERATED else ["--data", source]
    commands = [
        ["check", "--runtime", runtime, "--rounds", str(rounds), *images]
        for runtime in dict.fromkeys(run.runtime for run in runs)
        if runtime not in checked
    ]
    if roof is None or not roof.is_undisturbed or any(run.machine.cpu != roof.cpu for run in runs):
        commands.append(["roofline"])
    for command in commands:
        outputs = ["--outputs", str(project.outputs)]
        subprocess.run([sys.executable, "-m", "cnnprof_lib", *command, *outputs], check=False)


def render(project: Project) -> list[Path]:
    """Executes ``report.ipynb`` on the stored runs and writes ``report.html`` and, with the extra pdf, ``report.pdf``.

    Returns:
        The files written.

    Raises:
        ReportError: the notebook failed; the executed copy is named.
    """
    folder = project.store.report_dir
    folder.mkdir(parents=True, exist_ok=True)
    executed = folder / "report.ipynb"
    read, made_by = provenance.inputs(project.store), provenance.sources(project)
    error = _execute(
        project.notebooks / "report.ipynb",
        executed,
        {"outputs": str(project.outputs.resolve())},
        io.StringIO(),
        written_once=True,
    )
    if error is not None:
        raise ReportError(f"{executed}: {error}")
    written = export(executed)
    provenance.write(project, read, made_by, written)
    return written


def export(executed: Path) -> list[Path]:
    """Writes an executed notebook as HTML and, with the extra pdf, as PDF beside it; returns the files written.

    What the exporters of both would do alike, putting the page together, is done once for both.
    """
    import nbformat

    from .export import html, pdf

    notebook = nbformat.read(executed, as_version=4)
    soup, figures, _ = html.PageExporter().document(notebook, {"metadata": {"name": executed.stem}})
    written = [executed.with_suffix(".html")]
    if pdf.is_available():
        written.append(executed.with_suffix(".pdf"))
        write_atomically(written[1], pdf.typeset(copy.copy(soup), figures, pdf.subtitle_of(notebook)))
    write_atomically(written[0], html.written(soup, figures))
    return written


def _execute(
    notebook: Path, output: Path, parameters: dict[str, Any], stdout: io.TextIOBase, *, written_once: bool = False
) -> str | None:
    """Executes a notebook; returns its error as one line, or None.

    Papermill writes the whole notebook before and after each cell, which for the report's figures takes longer than
    drawing them, unless it is to be ``written_once``, at its end.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    last_words: list[str] = []
    try:
        with stderr_aside(last_words):
            papermill.execute_notebook(
                str(notebook),
                str(output),
                parameters,
                engine_name=_written_once() if written_once else None,
                kernel_name="python3",
                cwd=str(notebook.parent),
                progress_bar=False,
                stdout_file=stdout,
                extra_arguments=["--log-level=ERROR"],  # ipykernel warns of its own loopback transport
            )
    except PapermillExecutionError as failure:
        message = re.sub(r"\s+", " ", str(failure.evalue)).strip()
        return message if _is_ours(failure.ename) else f"{failure.ename}: {message}"
    except DeadKernelError:
        reason = last_words[-1] if last_words else "it was killed, or the machine ran out of memory"
        return f"The kernel died: {reason}."
    return None


def _written_once() -> str:
    """The name of an engine of papermill's that keeps the notebook to itself until the last cell ended or failed."""
    from papermill.engines import NBClientEngine, papermill_engines

    class WrittenOnce(NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
            path, nb_man.output_path = nb_man.output_path, None
            try:
                super().execute_managed_notebook(nb_man, kernel_name, **options)
            finally:
                nb_man.output_path = path

    name = "cnnprof-written-once"
    papermill_engines.register(name, WrittenOnce)
    return name


def _is_ours(name: str) -> bool:
    """Whether an exception of that name is one of `errors`, whose text is a line by itself."""
    from . import errors

    return isinstance(getattr(errors, name, None), type)


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
