"""The command ``cnnprof``: commands parse, call one function, print. Those that only read are in `cli_stored`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..base.errors import CnnprofError, VariantError
from ..base.spec import LARGEST
from ..base.units import counted
from ..params import reading as params
from ..params.model import is_model, model_of, network_name
from ..params.settings import DEFAULT_RECIPE, RecipeSpec
from ..params.variant import VariantSpec
from ..records.project import Project, find_project
from . import cli_machine, cli_optimize, cli_predict, cli_search, cli_stored, cli_sweep, terminal
from .cli_options import (
    BaselineOption,
    DataOption,
    GeneratedOption,
    InputShapeOption,
    OneRuntimeOption,
    OutputsOption,
    PreprocessingOption,
    PresetOption,
    SignatureOption,
    TrustOption,
    console,
    images_of,
    sides_of,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure what each operation of a convolutional network costs, and what a change saves.",
)
app.add_typer(cli_stored.app)
app.add_typer(cli_machine.app)
app.add_typer(cli_predict.app)
app.add_typer(cli_optimize.app)
app.add_typer(cli_sweep.app)
app.add_typer(cli_search.app)
DownloadOption = Annotated[bool, typer.Option("--download", help="Download CIFAR-10 if it is missing.")]


def main() -> None:
    """Runs the command line: status 1 and one line on standard error for a `CnnprofError`."""
    try:
        app()
    except CnnprofError as error:
        terminal.say(str(error))
        sys.exit(1)


@app.command()
def variants(outputs: OutputsOption = "") -> None:
    """List the variants of params/, one line each."""
    project = cli_stored.open_project(outputs)
    found, models, refused = params.load_variants(project.params)
    console.print(terminal.variants_table(found, models, project.store))
    _end(refused)


@app.command()
def data(source: DataOption = None, download: DownloadOption = False) -> None:
    """Say where the images are or how to get them, how many were read, and what was left out."""
    from ..measure.images import cache as images

    place = images.locate(source)
    dataset = images.load(source, progress=terminal.say) if place.exists or download else None
    console.print(terminal.location_text(place, dataset), highlight=False, soft_wrap=True)


@app.command()
def train(
    names: Annotated[list[str] | None, typer.Argument(metavar="VARIANT...")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every variant of params/.")] = False,
    recipe_name: Annotated[
        str,
        typer.Option(
            "--recipe",
            help=f"A file of params/recipes/, instead of that of the stored weights, or else {DEFAULT_RECIPE}.",
        ),
    ] = "",
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Seed, instead of the recipe's.")] = None,
    beside: Annotated[bool, typer.Option("--beside", help="Keep the result beside the reference weights.")] = False,
    logs: Annotated[Path | None, typer.Option("--tensorboard", help="Also log to this folder.")] = None,
    source: DataOption = None,
    outputs: OutputsOption = "",
) -> None:
    """Train variants and keep the weights as reference. A stopped training continues."""
    project = find_project(outputs=outputs)
    wanted, _, refused = params.load_variants(project.params) if every else (_load(names or [], project), [], [])
    failed: list[CnnprofError] = [*refused]
    recipes = {variant.name: _recipe(variant.name, recipe_name, seed, project) for variant in wanted}

    from ..measure.images import cache as images
    from ..measure.images import fit
    from ..measure.runtimes import environment as runtimes

    dataset = images.load(source, progress=terminal.say)
    for variant in wanted:  # all of them before the first one's hour
        fit.check_images(dataset, variant, project.params)
        fit.in_order_of_weights(dataset, variant, project.store)
    runtimes.set_up("Training", runtimes.TRAINING_ENVIRONMENT)
    runtimes.load_tensorflow()
    from ..measure.training.tensorboard import EventsFile
    from ..measure.training.train import OnRow
    from ..measure.training.train import train as train_variant

    for variant in wanted:
        recipe = recipes[variant.name]
        try:
            with terminal.LiveBar(console, recipe.steps) as bar:
                on_row: list[OnRow] = [partial(terminal.show_training, bar, variant.name, recipe)]
                if logs:
                    on_row.append(EventsFile(logs / variant.name / recipe.key).add)
                record = train_variant(variant, recipe, dataset, project.store, *on_row, reference=not beside)
        except CnnprofError as error:
            failed.append(error)
        else:
            console.print(terminal.training_text(record), highlight=False)
    _end(failed)


def _recipe(variant: str, name: str, seed: int | None, project: Project) -> RecipeSpec:
    """The recipe that is named, else the one by which the stored weights came about, so that `--all` keeps to it."""
    stored = None if name else project.store.read_training(variant)
    recipe = params.load_recipe(name or (stored.recipe if stored else DEFAULT_RECIPE), project.params)
    return recipe if seed is None else recipe.model_copy(update={"seed": seed})


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(metavar="VARIANT")],
    weights: Annotated[Path | None, typer.Option("--weights", help="A .weights.h5 file, not the reference.")] = None,
    source: DataOption = None,
    outputs: OutputsOption = "",
) -> None:
    """Measure the top-1 accuracy of a variant's weights on the test images."""
    project = find_project(outputs=outputs)
    (variant,) = _load([name], project)

    from ..measure.images import cache as images
    from ..measure.images import fit
    from ..measure.runtimes.environment import load_tensorflow

    dataset = images.load(source, progress=terminal.say)
    fit.check_images(dataset, variant, project.params)
    load_tensorflow()
    from ..measure.models.evaluate import evaluate as score

    accuracy = score(variant, dataset, project.store, weights)
    if not fit.classes_of(fit.training_of(variant, project.store, weights)):
        terminal.say(f"{fit.ORDER_UNKNOWN}.")
    console.print(terminal.accuracy_text(accuracy), highlight=False)


@app.command()
def run(
    names: Annotated[list[str] | None, typer.Argument(metavar="VARIANT...")] = None,
    preset_name: PresetOption = "quick",
    runtime: OneRuntimeOption = None,
    baseline: BaselineOption = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Processes per variant, instead of the preset's.")] = None,
    batch_sizes: Annotated[
        list[int] | None,
        typer.Option("--batch-size", min=1, max=LARGEST, help="Images per step, instead of the preset's; repeatable."),
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, max=LARGEST, help="Limit of threads for the runtime; repeatable.")
    ] = None,
    input_shape: InputShapeOption = "",
    signature: SignatureOption = None,
    trusted: TrustOption = False,
    preprocessing: PreprocessingOption = None,
    render: Annotated[bool, typer.Option("--report", help="Write the report afterwards.")] = False,
    source: DataOption = None,
    generated: GeneratedOption = False,
    outputs: OutputsOption = "",
) -> None:
    """Profile variants or models, each in a process of its own. Without names: all of the preset."""
    from . import runs

    project = find_project(outputs=outputs)
    preset = params.load_preset(preset_name, project.params)
    wanted = names or list(preset.variants)
    named = [*wanted, baseline] if baseline else wanted
    models = [name for name in named if is_model(name)]
    for name in named:  # a misspelt name is wrong usage and stops here; a broken file fails in its own run
        model_of(name) if name in models else params.file_of(name, project.params)
    _tell_apart({name: network_name(name) for name in named})
    images = images_of(source, generated or (bool(models) and source is None))
    requests = runs.requests(
        wanted,
        [runtime] if runtime else [*preset.runtimes, *_installed(preset.other_runtimes)],
        preset,
        rounds=rounds or preset.processes,
        source=images,
        baseline=baseline,
        model_options={
            "input_shape": sides_of(input_shape),
            "signature": signature,
            "trusted": trusted,
            "preprocessing": preprocessing,
        },
        batch_sizes=batch_sizes or (),
        threads=threads or (),
    )
    failures = terminal.run_each(requests, lambda request, tell: runs.run_notebook(request, project, tell), console)
    if render:
        runs.measure_machine(project, rounds=preset.check_rounds, runtimes=preset.runtimes, source=images)
        cli_stored.write_report(project)
    if failures:
        raise CnnprofError(
            f"{failures} of {counted(len(requests), 'run')} failed; the notebooks are in {project.outputs}/runs."
        )


def _installed(runtimes: Sequence[str]) -> list[str]:
    """Those of the runtimes that can be had here; a line on standard error for each of the others."""
    from ..measure.runtimes.contract import find_runtime

    found = []
    for name in runtimes:
        try:
            find_runtime(name)
        except CnnprofError as error:
            terminal.say(f"{error}. It is passed over.")
        else:
            found.append(name)
    return found


def _tell_apart(called: Mapping[str, str]) -> None:
    """Refuses two networks of one name, whose runs would be taken for one another's."""
    for reference, name in called.items():
        alike = [other for other in called if called[other] == name and other != reference]
        if alike:
            raise CnnprofError(
                f"{reference}, {alike[0]}: would both be called `{name}`. Rename one, or run them apart."
            )


def _load(names: list[str], project: Project) -> list[VariantSpec]:
    if not names:
        raise VariantError("No variant named. Name one of `cnnprof variants`, or say --all.")
    return [params.load_variant(name, project.params) for name in names]


def _end(failed: Sequence[CnnprofError]) -> None:
    """Names what went wrong with some of several, and ends with status 1 if anything did."""
    for error in failed:
        terminal.say(str(error))
    if failed:
        raise typer.Exit(1)
