"""Options that commands share, and where they print."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from ..params.runtimes import runtime_names

console = Console(
    width=None if sys.stdout.isatty() else 120,  # what is piped is not wrapped at 80
    markup=False,  # brackets are brackets, in titles, paths and names of data sets
)

OutputsOption = Annotated[str, typer.Option("--outputs", help="Another folder for what is measured and trained.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]


def _known(name: str | None) -> str | None:
    """Refuses what is no runtime."""
    if name is not None and name not in (names := runtime_names()):
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(names)}.")
    return name


RuntimeOption = Annotated[
    str, typer.Option("--runtime", callback=_known, help=f"What runs the network: {', '.join(runtime_names())}.")
]
OneRuntimeOption = Annotated[
    str | None, typer.Option("--runtime", callback=_known, help="One runtime only, not all of the preset.")
]
StoredRuntimeOption = Annotated[str, typer.Option("--runtime", help="The runtime that it was measured in.")]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline", help="What to compare with, not the preset's; where that names none, the first of several."
    ),
]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Only runs of so many images per step.")
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="Only runs held to so many threads.")]
