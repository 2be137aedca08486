"""The command ``cnnprof search``: what it costs, how it goes, what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..base.errors import CnnprofError
from ..base.locks import only_process
from ..base.units import counted
from ..params.search import SearchSpec, load_search
from ..params.settings import RecipeSpec
from ..params.variant import VariantSpec
from ..records.project import Project
from ..records.training import HistoryRow, TrainingRecord, TrialRecord
from . import cli_stored, terminal, terminal_search
from .cli_options import DataOption, OutputsOption, console

app = typer.Typer()


@app.command()
def search(
    name: Annotated[str, typer.Argument(help="A file of params/searches/.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would try, and cost.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Write the finalists into params/, to be run.")] = False,
    source: DataOption = None,
    outputs: OutputsOption = "",
) -> None:
    """Find networks that are as fast as you ask, by predicted latency and short trainings. What is stopped goes on."""
    from .search_plan import plan_search

    project = cli_stored.open_project(outputs)
    spec = load_search(name, project.params)
    if keep and project.brought is not None:
        raise CnnprofError(f"{project.params}: came with cnnprof. To keep finalists, go to a project of your own.")
    if dry_run:
        for line in plan_search(spec, project).describe():
            console.print(line, highlight=False, soft_wrap=True)
        return
    with only_process(project.store.search_dir(name), "makes the same search"):
        failed = _make(spec, project, source)
        _tell(spec, project, keep=keep)
    if failed:
        raise CnnprofError(
            f"{name}: {counted(len(failed), 'training')} failed, the first for: {failed[0]} "
            "The same command tries them again."
        )


def _make(spec: SearchSpec, project: Project, source: Path | None) -> list[CnnprofError]:
    """Makes what is missing, and returns what went wrong with single networks."""
    from .search_plan import plan_search
    from .searching import check_data, make_search, store_plan

    found = plan_search(spec, project)
    for line in found.describe():
        console.print(line, highlight=False, soft_wrap=True)
    if not found.untried and not found.untrained:
        store_plan(found, project.store)
        return []

    from ..measure.images import cache as images
    from ..measure.runtimes import environment as runtimes

    dataset = images.load(source, progress=terminal.say)
    check_data(found, dataset, project)
    store_plan(found, project.store)
    runtimes.set_up("Training", runtimes.TRAINING_ENVIRONMENT)
    runtimes.load_tensorflow()
    total = len(found.untried) * found.proxy.steps + found.untrained * found.record.recipe.steps
    with terminal.LiveBar(console, total) as bar:
        going = _Going(bar)
        return make_search(found, dataset, project.store, going.on_row, going.on_end)


class _Going:
    """Shows how the trainings of a search go, one after the other."""

    def __init__(self, bar: terminal.LiveBar) -> None:
        self._bar, self._steps = bar, 0

    def on_row(self, variant: VariantSpec, recipe: RecipeSpec, row: HistoryRow) -> None:
        text = f"{variant.name}: {row.describe()}"
        self._bar.show(self._steps + row.step, text, f"{text}, {row.describe_rest(recipe)}")

    def on_end(self, variant: VariantSpec, ended: TrialRecord | TrainingRecord | CnnprofError) -> None:
        self._steps += 0 if isinstance(ended, CnnprofError) else ended.history[-1].step
        console.print(terminal_search.end_text(variant, ended), highlight=False, soft_wrap=True)


def _tell(spec: SearchSpec, project: Project, *, keep: bool) -> None:
    """Prints what was tried and how to go on, and draws it."""
    from .searching import draw_tried, keep_finalists
    from .study import Study

    kept = keep_finalists(spec.name, project) if keep else []
    rows = Study(project.store).tried()
    for part in terminal_search.tried_parts(spec, rows[rows["search"] == spec.name], kept):
        console.print(part, highlight=False, soft_wrap=True)
    console.print(f"Figure: {draw_tried(spec.name, project)}", highlight=False, soft_wrap=True)
