"""Options that commands share, and where they print."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from ..params.settings import Runtime

console = Console(
    width=None if sys.stdout.isatty() else 120,  # what is piped is not wrapped at 80
    markup=False,  # brackets are brackets, in titles, paths and names of data sets
)

OutputsOption = Annotated[str, typer.Option("--outputs", help="Another folder for what is measured and trained.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]
RuntimeOption = Annotated[Runtime, typer.Option("--runtime", help="How TensorFlow runs the network.")]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Only runs of so many images per step.")
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="Only runs held to so many threads.")]
