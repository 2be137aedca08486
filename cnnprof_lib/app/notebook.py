"""Executes a notebook in a process of its own, and says in a line how it failed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import tempfile
from pathlib import Path
from typing import IO, Any

from ..base.processes import how_it_ended
from ..base.stderr import stderr_aside
from ..records.project import Project


def execute(
    name: str, parameters: dict[str, Any], project: Project, stdout: io.TextIOBase, limit_s: int | None = None
) -> tuple[str, str | None]:
    """Executes a notebook where the command was called, if that is in the project, so that both name files alike.

    Args:
        name: Of its file.
        parameters: What takes the place of its parameters, but for ``outputs``.
        project: Where it is.
        stdout: Is written what it prints, when it prints it.
        limit_s: When to end a cell that has taken so long; None for never.

    Returns:
        The notebook as far as it was executed, and its error as one line, or None.
    """
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    path = project.notebooks / name
    executed = [nbformat.read(path, as_version=4)]  # the last is the one to keep
    started: list[Any] = []
    inside = Path.cwd().is_relative_to(project.root.resolve())
    parameters = {**parameters, "outputs": str(project.outputs if inside else project.outputs.resolve())}
    error = None
    with tempfile.TemporaryFile() as said, stderr_aside():
        try:
            papermill.execute_notebook(
                path,
                None,  # papermill would write all of it before and after each cell: longer than the figures take
                parameters,
                on_notebook_start=lambda notebook: executed.append(notebook),  # of which papermill keeps none that died
                kernel_name="python3",
                kernel_manager_class=_manager(started, said),
                cwd=None if inside else str(project.root),
                progress_bar=False,
                stdout_file=stdout,
                execution_timeout=limit_s,
                extra_arguments=["--log-level=ERROR"],  # ipykernel warns of its own loopback transport
            )
        except PapermillExecutionError as failure:
            message = re.sub(r"\s+", " ", str(failure.evalue)).strip()
            error = message if _is_ours(failure.ename) else f"{failure.ename}: {message}"
        except TimeoutError:
            error = f"A cell took longer than {limit_s} s and was ended."
        except RuntimeError:  # nbclient's for a kernel that died, at its start or later
            error = _obituary(started[0].process.wait(), said, executed[-1])
        finally:
            _end(started)
    return nbformat.writes(executed[-1]), error


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
