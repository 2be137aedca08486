"""The command that makes a trained network cheaper."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ..base.errors import CnnprofError
from ..base.files import try_writing
from ..base.spec import LARGEST
from ..params.costs import cost_on_paper
from ..params.model import NetworkSpec, is_model, model_of
from ..params.reading import load_preset, load_recipe, load_spec
from ..params.runtimes import REFERENCE_RUNTIME
from ..params.variant import VariantSpec
from ..records.optimized import MethodName, OptimizedRecord, TriedRecord
from ..records.project import Project, find_project
from . import terminal, terminal_optimize
from .cli_options import (
    DataOption,
    InputShapeOption,
    OutputsOption,
    PreprocessingOption,
    RuntimeOption,
    TrustOption,
    console,
    images_of,
    sides_of,
)
from .terminal import LiveBar, say

if TYPE_CHECKING:
    from ..measure.images.cache import DataSet
    from ..measure.optimizing.subject import Cost

app = typer.Typer()
_METHODS: tuple[MethodName, ...] = get_args(MethodName)
_LONGEST_NAME = 48


def _known(names: list[str] | None) -> list[str] | None:
    """Refuses what is no method."""
    for name in names or ():
        if name not in _METHODS:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(_METHODS)}.")
    return names


@app.command()
def optimize(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A trained variant, or a Keras file.")],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            callback=_known,
            help=f"Only this one, whatever it gains: {', '.join(_METHODS)}; repeatable. Without it all that gain.",
        ),
    ] = None,
    limit: Annotated[
        float, typer.Option("--lose-at-most", min=0, max=100, help="Accuracy that may be lost, in percentage points.")
    ] = 0.5,
    step: Annotated[
        float,
        typer.Option("--step", min=0.05, max=0.99, help="Share of the cost to which one pruning or splitting goes."),
    ] = 0.8,
    runtime: RuntimeOption = REFERENCE_RUNTIME,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, max=LARGEST, help="Images per step.")] = 128,
    recipe_name: Annotated[str, typer.Option("--recipe", help="How to train on: a file of params/recipes/.")] = "tune",
    measure: Annotated[bool, typer.Option("--measure", help="Measure the new network beside the old one.")] = False,
    input_shape: InputShapeOption = "",
    trusted: TrustOption = False,
    preprocessing: PreprocessingOption = None,
    source: DataOption = None,
    outputs: OutputsOption = "",
) -> None:
    """Make a trained network cheaper: by fewer filters, layers of low rank, without LRN, and more."""
    project = find_project(outputs=outputs)
    options = {"input_shape": sides_of(input_shape), "trusted": trusted, "preprocessing": preprocessing}
    spec = model_of(name, **options) if is_model(name) else load_spec(name, project.params)
    wanted = tuple(method for named in methods or () for method in _METHODS if method == named)
    recipe = load_recipe(recipe_name, project.params)
    is_predicted, cost = _cost(project, runtime, batch_size)
    say(terminal_optimize.gains_text(runtime, batch_size, is_predicted=is_predicted))
    try_writing(project.store.optimized_dir)
    dataset = _images(spec, source, project)

    from ..measure.models.load import load_network
    from ..measure.optimizing.tune import Tuner
    from . import optimizing

    loaded = load_network(spec, project.store, batch_size=1, seed=recipe.seed)
    model = optimizing.ready(spec, loaded, dataset.classes)
    tuner = Tuner.of(spec, loaded.network.inputs[0], dataset)
    say(terminal_optimize.images_text(tuner, is_model=not isinstance(spec, VariantSpec)))
    wish = optimizing.Wish(wanted, limit, step, recipe)
    with LiveBar(console, recipe.steps) as bar:

        def on_tried(tried: TriedRecord) -> None:
            bar.show(0, spec.name)
            bar.console.print(terminal_optimize.tried_text(tried), highlight=False, soft_wrap=True)

        on_step = partial(terminal_optimize.show_step, bar, spec.name, recipe.steps)
        optimizer = optimizing.Optimizer(model, tuner, cost, wish, on_tried, on_step)
        optimizer.run()
    if optimizer.best is optimizer.first:
        console.print(terminal_optimize.NOTHING_KEPT, highlight=False)
        return
    new_name = f"{spec.name[:_LONGEST_NAME]}-{wanted[0] if len(wanted) == 1 else 'optimized'}"
    record, content = optimizing.result(
        optimizer,
        new_name,
        source=name,
        source_sha256=loaded.weights.sha256,
        runtime=runtime,
        batch_size=batch_size,
        is_predicted=is_predicted,
    )
    path = project.store.write_optimized(record, content)
    console.print(terminal_optimize.written_text(record, path), highlight=False, soft_wrap=True)
    if measure:
        _measure(record, path, project, source, options)
    else:
        console.print(
            terminal_optimize.measure_text(record, path, images_of(source, False)), highlight=False, soft_wrap=True
        )


def _cost(project: Project, runtime: str, batch_size: int) -> tuple[bool, Cost]:
    """What a network costs, and whether that is its predicted latency."""
    from .study import Study

    if project.store.read_probes(runtime) is None:
        return False, cost_on_paper
    predictor = Study(project.store).predictor(runtime)
    return True, lambda network: predictor.predict(network, batch_size).latency_s


def _images(spec: NetworkSpec, source: Path | None, project: Project) -> DataSet:
    """The images, labels numbered as the network gives them; the process is set up to train afterwards."""
    from ..measure.images import cache as images
    from ..measure.images import fit
    from ..measure.runtimes import environment as runtimes

    dataset = images.load(source, progress=say)
    if isinstance(spec, VariantSpec):
        fit.check_images(dataset, spec, project.params)
        dataset = fit.in_order_of_weights(dataset, spec, project.store)
    runtimes.set_up("Training", runtimes.TRAINING_ENVIRONMENT)
    runtimes.load_tensorflow()
    return dataset


def _measure(
    record: OptimizedRecord, path: Path, project: Project, source: Path | None, options: Mapping[str, object]
) -> None:
    """Runs the new network beside the old one in the runtime that it was made for."""
    from . import runs

    requests = runs.requests(
        [str(path)],
        [record.runtime],
        load_preset("quick", project.params),
        rounds=1,
        source=images_of(source, False),
        baseline=record.source,
        model_options={**options, "preprocessing": record.preprocessing},
    )
    if terminal.run_each(requests, lambda request, tell: runs.run_notebook(request, project, tell), console):
        raise CnnprofError(f"The run of {path} failed; its notebook is in {project.outputs}/runs.")
