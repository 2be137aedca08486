"""The command ``cnnprof sweep``: what it costs, how it goes, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from ..base import units
from ..base.errors import CnnprofError
from ..params.reading import load_preset
from ..params.settings import GENERATED
from ..params.sweep import load_cluster, load_sweep
from ..records.project import find_project
from ..records.run import FailureRecord, RunRecord
from . import cli_stored, terminal
from .cli_options import DataOption, GeneratedOption, OutputsOption, PresetOption, console, images_of

if TYPE_CHECKING:
    from ..analysis.resolution import ResolutionOf
    from .sweep_plan import PlannedRun

app = typer.Typer()


@app.command()
def sweep(
    name: Annotated[str, typer.Argument(help="A file of params/sweeps/.")],
    preset_name: PresetOption = "quick",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would cost.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Workers on this host; one of them times at a time.")] = 1,
    scheduler: Annotated[str, typer.Option(help="Scheduler of Dask that runs already: tcp://HOST:PORT.")] = "",
    tls: Annotated[
        tuple[Path, Path, Path] | None,
        typer.Option("--tls", metavar="CA CERT KEY", help="Files for a scheduler at tls://, or for a --cluster."),
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option("--cluster", help="A YAML file that says which jobs to ask a batch system for.")
    ] = None,
    render: Annotated[bool, typer.Option("--report", help="Write the report afterwards.")] = False,
    source: DataOption = None,
    generated: GeneratedOption = False,
    outputs: OutputsOption = "",
) -> None:
    """Run what is missing of many networks under many conditions. Stop it and start it again at will."""
    from ..analysis.resolution import checked_by
    from .sweep_engine import Where
    from .sweep_plan import plan
    from .sweeping import make_missing

    if scheduler and cluster:
        raise typer.BadParameter("Name a --scheduler or a --cluster, not both.")
    project = find_project(outputs=outputs)
    wanted, preset = load_sweep(name, project.params), load_preset(preset_name, project.params)
    where = Where(workers, scheduler, load_cluster(cluster) if cluster else None, tls)
    if where.is_remote and not generated:  # images lie where the workers find them, not here
        images = str(source or "")
    else:
        images = GENERATED if generated or dry_run else images_of(source, generated)
    found = plan(wanted, preset, project, source=images)
    console.print(found.describe(), highlight=False, soft_wrap=True)
    if dry_run:
        return
    failures = 0
    if found.missing:
        with terminal.LiveBar(console, len(found.missing)) as bar:
            ended = _Ended(bar, len(found.missing))
            failures = make_missing(found, project, where, on_end=ended, say=terminal.say)
        for line in _unchecked(ended.runs.values(), checked_by(project.store), where.is_remote):
            terminal.say(line)
    if render:
        cli_stored.write_report(project)
    if failures:
        raise CnnprofError(
            f"{failures} of {units.counted(len(found.missing), 'run')} failed; the notebooks are in "
            f"{project.outputs}/sweeps. The same command tries them again."
        )


def _unchecked(runs: Iterable[RunRecord], resolution_of: ResolutionOf, is_remote: bool) -> Iterator[str]:
    """A line for each kind of machine of which it is not known what it can tell apart, with what makes it known."""
    commands: dict[str, list[str]] = {}
    for run in runs:
        if resolution_of(run) is None:
            commands.setdefault(run.machine.kind, []).append(f"cnnprof check --runtime {run.runtime}")
    there = " there, and copy its outputs/check here" if is_remote else ""
    for kind, missing in commands.items():
        yield f"{kind}: not checked, so no ratio is called indistinct. Run{there}: {', '.join(missing)}"


class _Ended:
    """Prints a line for each run that ended, with the time left."""

    def __init__(self, bar: terminal.LiveBar, total: int) -> None:
        self._bar, self._total, self._done, self._begun = bar, total, 0, monotonic()
        self.runs: dict[tuple[str, str], RunRecord] = {}
        """One of each runtime and machine."""
        bar.show(0, "waiting for the first run")

    def __call__(self, run: PlannedRun, result: RunRecord | FailureRecord) -> None:
        self._done += 1
        if isinstance(result, RunRecord):
            self.runs.setdefault((result.machine.key, result.runtime), result)
        about = f"[{self._done}/{self._total}] {run.identity}"
        self._bar.show(self._done, about)
        left_min = (monotonic() - self._begun) / self._done * (self._total - self._done) / 60
        left = f" ({left_min:.1f} min left)" if self._done < self._total else ""
        console.print(f"{about}{terminal.end_of(result)}{left}", highlight=False, soft_wrap=True)
