"""What a run is of and how it is made: a request with its files read, and what is opened of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from ..params.model import ModelSpec, NetworkSpec, is_model, model_of, preprocessing_of
from ..params.network import Tensor
from ..params.reading import load_preset, load_spec
from ..params.runtimes import REFERENCE_RUNTIME
from ..params.settings import PresetSpec, RunRequest
from ..params.variant import VariantSpec
from ..records.project import Project
from ..records.store import Store
from .images.cache import DataSet
from .images.fit import in_order_of_weights
from .models.load import LoadedNetwork, load_network, loaded_of
from .models.open import of_keras
from .models.weights import content_sha256
from .prepare import Images, load_dataset, prepare_images
from .reference import can_share
from .runtimes import memory
from .runtimes.contract import Runtime, Session, find_runtime


@dataclass(frozen=True)
class Conditions:
    """A request with its files read.

    Attributes:
        request: What to run.
        project: Where parameters and weights are.
        runtime: In what; the process is set up for it.
        spec: The network.
        baseline: What it is compared with, if anything.
        preset: How much to measure.
        model: The network, if it is an object at hand.
        reference: The reference runtime, where this process is set up for it, too.
    """

    request: RunRequest
    project: Project
    runtime: Runtime
    spec: NetworkSpec
    baseline: NetworkSpec | None
    preset: PresetSpec
    model: keras.Model | None = None
    reference: Runtime | None = None

    @property
    def store(self) -> Store:
        """Where weights are."""
        return self.project.store

    @property
    def batch_size(self) -> int:
        """Images per step."""
        return self.request.batch_size or self.preset.batch_size

    @property
    def in_reference(self) -> bool:
        """Whether the run is in the reference runtime."""
        return self.runtime.name == REFERENCE_RUNTIME

    @property
    def compared(self) -> NetworkSpec:
        """What runtimes compare by: the baseline, or where there is none the network itself."""
        return self.baseline or self.spec

    def dataset(self) -> DataSet | None:
        """The images, their labels as the weights number them; None where made-up ones are to serve."""
        variants = [spec for spec in (self.spec, self.baseline) if isinstance(spec, VariantSpec)]
        dataset = load_dataset(self.request.source, self.project.params, *variants)
        if dataset and isinstance(self.spec, VariantSpec):
            return in_order_of_weights(dataset, self.spec, self.store)
        return dataset

    def load(self, spec: NetworkSpec) -> LoadedNetwork:
        """A network with its weights."""
        if self.model is not None and isinstance(spec, ModelSpec) and spec is self.spec:
            opened = of_keras(spec, self.model, content_sha256(self.model))
            loaded = loaded_of(spec, opened, self.batch_size, "memory")
        else:
            loaded = load_network(spec, self.store, batch_size=self.batch_size, seed=self.preset.seed)
        memory.require_memory(loaded.network, self.batch_size)
        return loaded

    def images(self, dataset: DataSet | None, spec: NetworkSpec, inputs: Sequence[Tensor]) -> Images:
        """What a network is fed."""
        return prepare_images(dataset, inputs, self.batch_size, self.preset.seed, preprocessing_of(spec))

    def open(self, spec: NetworkSpec, dataset: DataSet | None, runtime: Runtime | None = None) -> Session:
        """A network in the runtime, or in another that this process is set up for, with all that it needs."""
        network = self.load(spec)
        return (runtime or self.runtime).open(network, self.images(dataset, spec, network.network.inputs))


def conditions_of(request: RunRequest, project: Project, model: keras.Model | None = None) -> Conditions:
    """Reads the files that a request names; sets the process up; refuses what memory cannot hold.

    Raises:
        CnnprofError: it cannot be run, in one line.
    """
    runtime = find_runtime(request.runtime)
    runtime.set_up()
    preset = load_preset(request.preset, project.params).in_runtime(request.runtime)
    baseline = preset.baseline if request.baseline is None else request.baseline
    conditions = Conditions(
        request,
        project,
        runtime,
        spec=_spec(request.variant, request, project) if model is None else _in_memory(request.variant),
        baseline=_spec(baseline, request, project) if baseline else None,
        preset=preset,
        model=model,
        reference=can_share(),
    )
    if request.threads is not None:  # before anything is computed
        for each in {type(found): found for found in (runtime, conditions.reference) if found}.values():
            each.limit_threads(request.threads)
    for spec in (conditions.spec, conditions.baseline):
        if isinstance(spec, VariantSpec):  # before anything is built
            memory.require_memory(spec.network, conditions.batch_size)
    return conditions


def _in_memory(name: str) -> ModelSpec:
    return ModelSpec(name=name, title=f"{name}, a model in memory", model=f"{name} in memory")


def _spec(reference: str, request: RunRequest, project: Project) -> NetworkSpec:
    """A network as it was named: a model, or a file of ``params/``."""
    if is_model(reference):
        return model_of(
            reference, **request.model_dump(include={"input_shape", "signature", "trusted", "preprocessing"})
        )
    return load_spec(reference, project.params)
