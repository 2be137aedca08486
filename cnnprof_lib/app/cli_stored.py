"""Commands that read what is stored and need no TensorFlow: show, diff, claims, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base.files import write_atomically
from ..params.runtimes import REFERENCE_RUNTIME
from ..records.project import Project, find_project
from . import terminal
from .cli_options import (
    BatchSizeOption,
    DataOption,
    JsonOption,
    OutputsOption,
    StoredRuntimeOption,
    ThreadsOption,
    console,
)

if TYPE_CHECKING:
    from .stored_run import Run
    from .study import Study

app = typer.Typer()


def open_project(outputs: str) -> Project:
    """The project to read; says in a line on standard error what of it cannot be read and is passed over."""
    project = find_project(outputs=outputs)
    if lines := list(project.store.unreadable().values()):
        terminal.say(terminal.passed_over(lines))
    return project


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="VARIANT")],
    runtime: StoredRuntimeOption = REFERENCE_RUNTIME,
    batch_size: BatchSizeOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
    node_data: Annotated[
        Path | None, typer.Option("--node-data", help="Also write the times of nodes, for Google's Model Explorer.")
    ] = None,
    outputs: OutputsOption = "",
) -> None:
    """Show the newest measurement of a variant: latency, ops, layers, memory, accuracy."""
    from .study import Study

    run = Study(open_project(outputs).store).run_under(name, runtime, batch_size, threads)
    shown = run.for_scripts()
    if node_data:
        _write_node_data(run, node_data)
    if as_json:
        print(json.dumps(shown, indent=1))
    else:
        for part in terminal.show_parts(shown):
            console.print(part, highlight=False)


def _write_node_data(run: Run, path: Path) -> None:
    """Writes what Model Explorer reads, two files, and says how to open them."""
    from ..analysis.profile.for_model_explorer import layer_graph, node_data

    times, graph = node_data(run.record, run.nodes()), path.with_suffix(".graph.json")
    for file, content in ((path, times), (graph, layer_graph(run.record.network))):
        write_atomically(file, json.dumps(content, indent=1) + "\n")
    terminal.say(terminal.node_data_text(path, graph))


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A")],
    after: Annotated[str, typer.Argument(metavar="B")],
    runtime: StoredRuntimeOption = REFERENCE_RUNTIME,
    to: Annotated[str, typer.Option("--to", help="The runtime of B, if it is not that of A.")] = "",
    batch_size: BatchSizeOption = None,
    threads: ThreadsOption = None,
    forgets: Annotated[
        bool, typer.Option("--forgets", help="Show instead whom B forgets: what each class of the test images loses.")
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option("--images", metavar="FILE.png", help="With --forgets: draw the images that only A gets right."),
    ] = None,
    source: DataOption = None,
    as_json: JsonOption = False,
    outputs: OutputsOption = "",
) -> None:
    """Show where the time went from A to B: layer by layer, each change with its cause. Or whom B forgets."""
    from ..analysis.differences.numbers import difference_for_scripts
    from . import terminal_diff
    from .study import Study

    study = Study(open_project(outputs).store)
    sides = ((before, runtime), (after, to or runtime))
    old, new = (study.run_under(name, in_runtime, batch_size, threads) for name, in_runtime in sides)
    if forgets or sheet:
        shown = _forgets(old, new, study, sheet, source)
    else:
        shown = difference_for_scripts(study.between(old, new))
    if as_json:
        print(json.dumps(shown, indent=1))
        return
    for part in terminal_diff.forgets_parts(shown) if forgets or sheet else terminal_diff.diff_parts(shown):
        console.print(part, highlight=False)


def _forgets(old: Run, new: Run, study: Study, sheet: Path | None, source: Path | None) -> dict[str, Any]:
    """Whom the new one forgets; draws the images, if a file for them is named."""
    from ..analysis.accuracy.forgets import forgotten, forgotten_for_scripts

    found = forgotten(study.store, old.record, new.record)
    if sheet:
        from .contact_sheet import write_sheet

        terminal.say(f"Images: {write_sheet(sheet, found, source)}")
    return forgotten_for_scripts(found)


@app.command()
def claims(as_json: JsonOption = False, outputs: OutputsOption = "") -> None:
    """Judge each claim of the thesis by the stored runs."""
    from .study import Study

    table = Study(open_project(outputs).store).verdicts()
    from ..thesis import claims_table

    print(json.dumps(table.to_dict("records"), indent=1) if as_json else claims_table.plain_text(table))


@app.command()
def report(
    check: Annotated[bool, typer.Option("--check", help="Only say whether it matches the stored runs.")] = False,
    if_changed: Annotated[bool, typer.Option("--if-changed", help="Write it only if its inputs changed.")] = False,
    outputs: OutputsOption = "",
) -> None:
    """Write the report from the stored runs, as HTML and PDF."""
    from . import provenance

    project = open_project(outputs)
    if check:
        console.print(f"The report matches what is stored: {provenance.check(project)}.", highlight=False)
    elif if_changed and provenance.is_current(project):
        console.print(f"The report is up to date: {provenance.check(project)}.", highlight=False)
    else:
        write_report(project)


def write_report(project: Project) -> None:
    """Writes the report and says where it is."""
    from ..page import pdf
    from .report import render

    for path in render(project):
        console.print(f"Report: {path}", highlight=False, soft_wrap=True)
    if not pdf.is_available():
        terminal.say(pdf.HOW_TO_GET)
