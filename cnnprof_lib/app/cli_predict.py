"""Commands that calibrate a runtime on this machine, and predict from it the latency of networks never run."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

import typer

from ..base.spec import LARGEST
from ..params.model import is_model, model_of
from ..params.network import Network
from ..params.reading import load_spec
from ..params.runtimes import REFERENCE_RUNTIME
from ..params.search import load_search, networks_in
from ..params.variant import VariantSpec
from ..records.project import Project, find_project
from . import cli_stored, terminal, terminal_predict
from .cli_options import (
    InputShapeOption,
    JsonOption,
    OutputsOption,
    RuntimeOption,
    SignatureOption,
    TrustOption,
    console,
    sides_of,
)

app = typer.Typer()
MINUTES = 10.0


@app.command()
def calibrate(
    runtime: RuntimeOption = REFERENCE_RUNTIME,
    minutes: Annotated[float, typer.Option(min=0, help="Of measuring, those of earlier commands included.")] = MINUTES,
    batch_sizes: Annotated[
        list[int] | None,
        typer.Option("--batch-size", min=1, max=LARGEST, help="Images per step, instead of 1 to 256; repeatable."),
    ] = None,
    search: Annotated[
        str, typer.Option(help="Go on with networks that this search may ask for, its batch size alone.")
    ] = "",
    again: Annotated[bool, typer.Option("--again", help="Begin anew, whatever was measured.")] = False,
    outputs: OutputsOption = "",
) -> None:
    """Measure designed networks on this machine, for `predict`. What is interrupted goes on."""
    from ..measure.runtimes.contract import ready_runtime

    project = find_project(outputs=outputs)
    wanted = load_search(search, project.params) if search else None
    space = [network.variant for network in networks_in(wanted, project.params)] if wanted else []
    sizes = batch_sizes or ([wanted.batch_size] if wanted else [])
    ready_runtime(runtime)
    from ..measure.calibration.calibrate import measure_probes

    with terminal.LiveBar(console, 60 * minutes) as bar:
        on_probe = partial(terminal_predict.show_probe, bar, runtime)
        record = measure_probes(
            runtime, minutes, project, batch_sizes=sizes, space=space, again=again, on_probe=on_probe
        )
    console.print(terminal_predict.calibration_text(record), highlight=False, soft_wrap=True)


@app.command()
def predict(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A file of params/, or a model.")],
    runtime: RuntimeOption = REFERENCE_RUNTIME,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, max=LARGEST, help="Images per step.")] = 128,
    input_shape: InputShapeOption = "",
    signature: SignatureOption = None,
    trusted: TrustOption = False,
    as_json: JsonOption = False,
    outputs: OutputsOption = "",
) -> None:
    """Predict the latency of a network that was never run, by layer, from what `calibrate` measured."""
    from .study import Study

    project = cli_stored.open_project(outputs)
    options = {"input_shape": sides_of(input_shape), "signature": signature, "trusted": trusted}
    network = _network(name, project, options)
    found = Study(project.store).predictor(runtime).predict(network, batch_size)
    if as_json:
        print(json.dumps(found.for_scripts(), indent=1))
        return
    for part in terminal_predict.prediction_parts(found, network, runtime, batch_size):
        console.print(part, highlight=False, soft_wrap=True)


def _network(name: str, project: Project, options: dict[str, Any]) -> Network:
    """A network as it was named. A variant needs no TensorFlow for that, a model does."""
    spec = model_of(name, **options) if is_model(name) else load_spec(name, project.params)
    if isinstance(spec, VariantSpec):
        return spec.network
    from ..measure.runtimes.environment import load_tensorflow

    load_tensorflow()
    from ..measure.models.load import load_network

    return load_network(spec, project.store, batch_size=1, seed=1).network
