"""Options that commands share, and where they print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..base.errors import CnnprofError
from ..params.runtimes import runtime_names
from ..params.settings import GENERATED
from .terminal import say

console = Console(
    width=None if sys.stdout.isatty() else 120,  # what is piped is not wrapped at 80
    markup=False,  # brackets are brackets, in titles, paths and names of data sets
)

OutputsOption = Annotated[str, typer.Option("--outputs", help="Folder of the results, instead of outputs/.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


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
    str | None, typer.Option("--runtime", callback=_known, help="This runtime only, instead of all of the preset.")
]
StoredRuntimeOption = Annotated[str, typer.Option("--runtime", help="The runtime of the run.")]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        help="Variant to compare with, instead of the preset's. If neither names one: the first of several variants.",
    ),
]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Only runs with this many images per step.")
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="Only runs limited to this many threads.")]
InputShapeOption = Annotated[
    str,
    typer.Option(
        "--input-shape", metavar="H,W,C", help="Size of one image, where the model leaves it open.", callback=_sides
    ),
]
SignatureOption = Annotated[
    str | None, typer.Option("--signature", help="The signature of a SavedModel that has several.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Run code that a model file contains, such as Lambda layers.")
]
PreprocessingOption = Annotated[
    str | None,
    typer.Option(
        "--preprocessing",
        metavar="HOW",
        help="Of images for a model: none (the default), standardize, scale, crop, or a module of keras.applications.",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="CIFAR-10 or other images of one size: a folder, .zip or .tar.gz."),
]
GeneratedOption = Annotated[bool, typer.Option("--generated", help="Use generated images, and look for no others.")]
PresetOption = Annotated[str, typer.Option("--preset", help="A file of params/presets/.")]


def images_of(given: Path | None, generated: bool) -> str:
    """The images to hand to the runs, decoded and cached by now, or `GENERATED` where none can be had or are wanted."""
    if generated:
        return GENERATED

    from ..measure.images import cache as images

    try:
        images.load(given, progress=say)
    except CnnprofError as error:
        if images.locate(given).origin != "download":
            raise
        say(f"{error} Going on with generated images: times are real, accuracy is the one recorded.")
        return GENERATED
    return str(images.locate(given).path.resolve())
