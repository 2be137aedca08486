"""Options that commands share, and where they print."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from ..params.model import Preprocessing
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


def sides_of(text: str) -> tuple[int, ...] | None:
    """``224,224,3`` as numbers; None for nothing."""
    return tuple(int(side) for side in text.split(",")) if text else None


def _sides(text: str) -> str:
    """Refuses what is no shape."""
    if text and not all(side.isdecimal() and int(side) > 0 for side in text.split(",")):
        raise typer.BadParameter(f"{text!r} must be whole numbers with commas, such as 224,224,3.")
    return text


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
InputShapeOption = Annotated[
    str, typer.Option("--input-shape", metavar="H,W,C", help="Of a model that leaves sizes open.", callback=_sides)
]
SignatureOption = Annotated[str | None, typer.Option("--signature", help="Of a SavedModel that has several.")]
TrustOption = Annotated[bool, typer.Option("--trust", help="Run code that a model's file brings along: Lambda layers.")]
PreprocessingOption = Annotated[
    Preprocessing | None, typer.Option("--preprocessing", help="Of images for a model: none unless said.")
]
