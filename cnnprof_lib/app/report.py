"""Drives the notebooks: papermill executes one per run, `export` makes pages of the report."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..base.errors import ReportError, StoreError
from ..base.files import try_writing, write_atomically
from ..base.processes import how_it_ended, undisturbed
from ..base.stamps import new_run_id, utc_now
from ..base.stderr import stderr_aside
from ..params.settings import GENERATED, PresetSpec, RunRequest
from ..records.project import Project
from ..records.run import FailureRecord, RunRecord
from . import provenance

OnStage = Callable[[float, str], None]


def requests(
    variants: Sequence[str],
    runtimes: Sequence[str],
    preset: PresetSpec,
    *,
    rounds: int,
    source: str,
    baseline: str | None = None,
    batch_sizes: Sequence[int] = (),
    threads: Sequence[int] = (),
) -> list[RunRequest]:
    """The runs of one command, in the order to make them: under each batch size with each number of threads.

    All are compared with one baseline: the one named, else the preset's, else the first of several variants.

    With several rounds each round makes every variant and runtime once, in an order of its own drawn from the
    preset's seed, so that a drift of the machine over minutes does not fall on one variant.
    """
    series = new_run_id()
    rng = np.random.default_rng(preset.seed)
    sizes: list[int | None] = [*batch_sizes] or [None]
    counts: list[int | None] = [*threads] or [None]
    if baseline is None and preset.baseline is None and len(variants) > 1:
        baseline = variants[0]
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
        The stored run, or its failure; where the disk took it, it is stored too, with the notebook beside.

    Raises:
        StoreError: nothing could be stored, as was clear before the run.
    """
    store = project.store
    try_writing(store.run_dir(request).parent)
    executed, error = _execute("run_variant.ipynb", request.model_dump(), project, _StageReader(on_stage))
    if error is None:
        try:
            result: RunRecord | FailureRecord = store.read_run(store.run_dir(request))
        except StoreError as unstored:
            error = str(unstored)
    if error is not None:
        shared = request.model_dump(include={"run_id", "series", "variant", "runtime"})
        result = FailureRecord(purpose=request.purpose, created=utc_now(), error=error, **shared)
    with contextlib.suppress(StoreError):  # a disk that is full by now: the error told of may be just that
        if isinstance(result, FailureRecord):
            store.write_failure(result)
        store.write_notebook(executed, request)
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
    from ..analysis import frames
    from ..analysis.resolution import resolutions

    if not rounds:
        return
    runs = frames.completed(frames.load_records(project.store))
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
        arguments = [*command, "--outputs", str(project.outputs)]
        process = None
        try:
            with undisturbed():
                process = subprocess.Popen([sys.executable, "-m", "cnnprof_lib", *arguments])
            process.wait()
        finally:
            if process:
                process.kill()


def render(project: Project) -> list[Path]:
    """Executes ``report.ipynb`` on the stored runs and writes ``report.html`` and, with the extra pdf, ``report.pdf``.

    Returns:
        The files written.

    Raises:
        ReportError: the notebook failed; the executed copy is named.
    """
    folder = project.store.report_dir
    try_writing(folder)
    executed = folder / "report.ipynb"
    read, made_by = provenance.inputs(project.store), provenance.sources(project)
    notebook, error = _execute("report.ipynb", {}, project, io.StringIO())
    write_atomically(executed, notebook)
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

    from ..page import html, pdf

    notebook = nbformat.read(executed, as_version=4)
    soup, figures, _ = html.PageExporter().document(notebook, {"metadata": {"name": executed.stem}})
    written = [executed.with_suffix(".html")]
    if pdf.is_available():
        written.append(executed.with_suffix(".pdf"))
        write_atomically(written[1], pdf.typeset(copy.copy(soup), figures, pdf.subtitle_of(notebook)))
    write_atomically(written[0], html.written(soup, figures))
    return written


def _execute(name: str, parameters: dict[str, Any], project: Project, stdout: io.TextIOBase) -> tuple[str, str | None]:
    """Executes a notebook where the command was called, if that is in the project, so that both name files alike.

    Returns:
        The notebook as far as it was executed, and its error as one line, or None.
    """
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    executed: list[Any] = []
    started: list[Any] = []
    inside = Path.cwd().is_relative_to(project.root.resolve())
    parameters = {**parameters, "outputs": str(project.outputs if inside else project.outputs.resolve())}
    error = None
    with tempfile.TemporaryFile() as said, stderr_aside():
        try:
            papermill.execute_notebook(
                str(project.notebooks / name),
                None,
                parameters,
                engine_name=_keeping(executed),
                kernel_name="python3",
                kernel_manager_class=_manager(started, said),
                cwd=None if inside else str(project.root),
                progress_bar=False,
                stdout_file=stdout,
                extra_arguments=["--log-level=ERROR"],  # ipykernel warns of its own loopback transport
            )
        except PapermillExecutionError as failure:
            message = re.sub(r"\s+", " ", str(failure.evalue)).strip()
            error = message if _is_ours(failure.ename) else f"{failure.ename}: {message}"
        except RuntimeError:  # nbclient's for a kernel that died, at its start or later
            error = _obituary(started[0].process.wait(), said, executed[0])
        finally:
            _end(started)
    return nbformat.writes(executed[0]), error


def _keeping(executed: list[Any]) -> str:
    """The name of an engine of papermill's that adds the notebook it executes to ``executed``, whatever comes of it.

    Papermill itself would write the whole notebook before and after each cell, which for the report's figures takes
    longer than drawing them.
    """
    from papermill.engines import NBClientEngine, papermill_engines

    class Keeping(NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
            executed.append(nb_man.nb)
            super().execute_managed_notebook(nb_man, kernel_name, **options)

    name = "cnnprof-keeping"
    papermill_engines.register(name, Keeping)
    return name


def _manager(started: list[Any], said: IO[bytes]) -> type:
    """A class for nbclient: adds itself and its ``process`` to ``started``, which writes its errors to ``said``."""
    from jupyter_client.manager import AsyncKernelManager

    class Manager(AsyncKernelManager):
        async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
            await super()._async_launch_kernel(kernel_cmd, **options, stderr=said.fileno())
            self.process = self.provisioner.process  # type: ignore[union-attr, attr-defined]
            started.append(self)

    return Manager


def _end(started: list[Any]) -> None:
    """Ends kernels that nbclient left running, with what they started, and removes their files."""
    for manager in started:
        if manager.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(manager.process.pid, signal.SIGKILL)  # jupyter_client gives each kernel a group of its own
            manager.process.wait()
        manager.cleanup_connection_file()


def _obituary(status: int, said: IO[bytes], notebook: Any) -> str:
    """How a kernel died, and the last it said, as one line."""
    said.seek(0)
    streams = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]
    words = [line for text in (*streams, said.read().decode(errors="replace")) for line in text.splitlines()]
    last = next((line.strip() for line in reversed(words) if line.strip()), "")
    return f"The kernel {how_it_ended(status)}.{f' Its last words: {last[:300]}' if last else ''}"


def _is_ours(name: str) -> bool:
    """Whether an exception of that name is one of `errors`, whose text is a line by itself."""
    from ..base import errors

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
