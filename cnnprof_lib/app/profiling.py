"""Profiles a model object from a notebook or script."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.stamps import new_run_id
from ..params.runtimes import REFERENCE_RUNTIME
from ..params.settings import GENERATED, NO_BASELINE, RunRequest
from ..records.project import find_project
from .stored_run import Run
from .study import Study

if TYPE_CHECKING:
    import keras


def profile(
    model: keras.Model,
    batch_size: int = 8,
    runtime: str = REFERENCE_RUNTIME,
    *,
    preset: str = "quick",
    outputs: str | Path = "",
) -> Run:
    """Profiles a Keras model in this process, on made-up values; in a notebook the result shows itself.

    Args:
        model: A functional or sequential model whose input sizes are known. It is left as it is.
        batch_size: Images per step.
        runtime: One of `params.runtimes.runtime_names`; the process must not have been set up for another.
        preset: How many steps: a file of ``params/presets/``.
        outputs: Where to store the run; nowhere that lasts unless named.

    Raises:
        CnnprofError: the model cannot be told apart into layers, or the process is set up for another runtime.
    """
    from ..measure.run import measure

    with tempfile.TemporaryDirectory() as folder:
        project = find_project(outputs or folder)
        run_id = new_run_id()
        request = RunRequest(
            variant=re.sub(r"\W+", "-", model.name).strip("-"),
            runtime=runtime,
            preset=preset,
            baseline=NO_BASELINE,
            source=GENERATED,
            run_id=run_id,
            series=run_id,
            batch_size=batch_size,
        )
        run = Study(project.store).of_record(measure(request, project, model=model))
        _ = run.executions, run.profiler_text  # read while the folder is there
        return run
