"""Commands that measure what the machine itself can show and do, and how far its profilers agree."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ..base.files import try_writing
from ..base.locks import WAITING, alone_on_host
from ..params.runtimes import REFERENCE_RUNTIME
from ..params.settings import CHECK_ROUNDS
from ..records.project import find_project
from . import terminal
from .cli_options import DataOption, GeneratedOption, OutputsOption, PresetOption, RuntimeOption, console, images_of

app = typer.Typer()


@app.command()
def check(
    runtime: RuntimeOption = REFERENCE_RUNTIME,
    rounds: Annotated[int, typer.Option(min=CHECK_ROUNDS, help="How often the baseline is timed against itself.")] = 20,
    source: DataOption = None,
    generated: GeneratedOption = False,
    outputs: OutputsOption = "",
) -> None:
    """Time the baseline against itself, to find the smallest ratio that this machine can show."""
    project, images = find_project(outputs=outputs), images_of(source, generated)
    from ..measure.runtimes.contract import ready_runtime

    ready_runtime(runtime)
    from ..analysis.resolution import resolution
    from ..measure.check import check as check_machine

    with alone_on_host(_say_waiting), terminal.LiveBar(console, rounds) as bar:
        on_round = partial(terminal.show_check, bar, runtime, rounds)
        record = check_machine(runtime, rounds, project, images, on_round)
    found = resolution(record)
    text = terminal.check_text(runtime, found) if found else "The check's preset has too few blocks for intervals."
    console.print(text, highlight=False, soft_wrap=True)


@app.command()
def roofline(outputs: OutputsOption = "") -> None:
    """Measure once the most that this machine can do. The report then draws it."""
    store = find_project(outputs=outputs).store
    try_writing(store.machine_dir)

    from ..measure import machine
    from ..measure import roofline as limits
    from ..measure.images.cache import cache_dir
    from ..measure.runtimes.environment import load_tensorflow

    load_tensorflow()
    terminal.say("Measuring matrix products and copies, half a minute the first time.")
    with alone_on_host(_say_waiting):
        here = machine.describe(onednn=False)
        record = limits.cached_roofline(cache_dir(), here.key).model_copy(update={"machine": here})
    store.write_roofline(record)
    console.print(terminal.roofline_text(record), highlight=False, soft_wrap=True)


@app.command()
def compare_xprof(
    name: Annotated[str, typer.Argument(metavar="VARIANT")],
    runtime: RuntimeOption = REFERENCE_RUNTIME,
    preset_name: PresetOption = "quick",
    source: DataOption = None,
    generated: GeneratedOption = False,
    outputs: OutputsOption = "",
) -> None:
    """Compare the ops' shares with those of XProf on the same graph. It needs cnnprof's extra xprof."""
    project, images = find_project(outputs=outputs), images_of(source, generated)
    from ..measure.runtimes.contract import ready_runtime

    ready_runtime(runtime)
    from ..measure.xprof import compare

    with alone_on_host(_say_waiting):
        compared = compare(name, runtime, preset_name, project, source=images)
    for part in terminal.comparison_parts(compared):
        console.print(part, highlight=False)


def _say_waiting() -> None:
    terminal.say(f"{WAITING.capitalize()}.")
