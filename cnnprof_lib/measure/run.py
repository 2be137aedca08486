"""The composer: a variant, a runtime and a preset in, a stored record out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from ..base.files import try_writing
from ..base.stamps import utc_now
from ..params.model import ModelSpec, NetworkSpec, is_model, model_of
from ..params.network import Tensor
from ..params.reading import load_preset, load_spec
from ..params.settings import PresetSpec, RunRequest
from ..params.variant import VariantSpec
from ..records.project import Project
from ..records.run import (
    AccuracyRecord,
    MemoryRecord,
    RunRecord,
)
from ..records.store import Store
from . import machine
from .images.cache import DataSet
from .images.fit import ORDER_UNKNOWN, classes_of, in_order_of_weights, training_of
from .models.evaluate import top1, top1_of_graph
from .models.load import LoadedNetwork, load_network, loaded_of
from .models.open import of_keras
from .models.weights import content_sha256
from .prepare import Images, load_dataset, prepare_images
from .profile import OnStage, StepProfile, read_profile, time_steps, warm_up
from .runtimes import memory
from .runtimes.contract import Runtime, Session, find_runtime
from .training.apart import train_first


@dataclass(frozen=True)
class _Conditions:
    """A request with its files read."""

    request: RunRequest
    runtime: Runtime
    spec: NetworkSpec
    baseline: NetworkSpec | None
    preset: PresetSpec
    model: keras.Model | None = None

    @property
    def batch_size(self) -> int:
        return self.request.batch_size or self.preset.batch_size

    @property
    def variants(self) -> list[VariantSpec]:
        """All networks of the run that are written as layers."""
        return [spec for spec in (self.spec, self.baseline) if isinstance(spec, VariantSpec)]

    def images(self, dataset: DataSet | None, spec: NetworkSpec, inputs: Sequence[Tensor]) -> Images:
        how = spec.preprocessing if isinstance(spec, ModelSpec) else None
        return prepare_images(dataset, inputs, self.batch_size, self.preset.seed, how)

    def load(self, spec: NetworkSpec, store: Store) -> LoadedNetwork:
        if self.model is not None and isinstance(spec, ModelSpec) and spec is self.spec:
            opened = of_keras(spec, self.model, content_sha256(self.model))
            loaded = loaded_of(spec, opened, self.batch_size, "memory")
        else:
            loaded = load_network(spec, store, batch_size=self.batch_size, seed=self.preset.seed)
        memory.require_memory(loaded.network, self.batch_size)
        return loaded


def measure(
    request: RunRequest,
    project: Project,
    on_stage: OnStage = lambda share, stage: None,
    *,
    model: keras.Model | None = None,
) -> RunRecord:
    """Profiles one network in one runtime and stores the run.

    The process must have been set up by `Runtime.set_up` before anything heavy was imported.

    Args:
        request: What to run, and under which conditions.
        project: Where parameters are and records go.
        on_stage: Progress.
        model: The network, if it is an object at hand; the request then gives its name.

    Raises:
        CnnprofError: whatever stops the run, in one line; nothing is stored then.
    """
    store = project.store
    try_writing(store.run_dir(request).parent)
    conditions = _conditions(request, project, model)
    dataset = _dataset(conditions, project, on_stage)

    on_stage(0.10, "model")
    variant = conditions.spec if isinstance(conditions.spec, VariantSpec) else None
    network, images, rss_start = _loaded(conditions, dataset, store)
    session = conditions.runtime.open(network, images)
    rss_loaded = machine.resident_bytes()
    rss_peak = max(rss_loaded, warm_up(session, conditions.preset))
    timed = time_steps(session, _open_baseline(conditions, dataset, store), conditions.preset, on_stage)

    on_stage(0.80, "reading the step statistics")
    profile = read_profile(timed, session) if session.can_trace else StepProfile.untold()

    on_stage(0.85, "accuracy")
    record = RunRecord(
        **_identity(conditions, project),
        network=network.network,
        variant=variant,
        machine=machine.describe(onednn=profile.uses_onednn),
        versions=conditions.runtime.versions(),
        images=images.record(),
        weights=network.weights,
        latency=timed.latency,
        load=timed.load,
        **profile.fields,
        memory=MemoryRecord(
            **profile.memory, rss_start_bytes=rss_start, rss_loaded_bytes=rss_loaded, rss_bytes=rss_peak
        ),
        accuracy=_accuracy(network, conditions.spec, dataset, store),
        warnings=_warnings(network, images, variant is not None and bool(classes_of(training_of(variant, store)))),
    )
    store.write_run(record, profile.files)
    on_stage(1.0, "stored")
    return record


def _conditions(request: RunRequest, project: Project, model: keras.Model | None) -> _Conditions:
    """Reads the files that a request names; sets the process up; refuses what memory cannot hold."""
    runtime = find_runtime(request.runtime)
    runtime.set_up()
    if request.threads is not None:
        runtime.limit_threads(request.threads)
    preset = load_preset(request.preset, project.params)
    baseline = preset.baseline if request.baseline is None else request.baseline
    conditions = _Conditions(
        request,
        runtime,
        spec=_spec(request.variant, request, project) if model is None else _in_memory(request.variant),
        baseline=_spec(baseline, request, project) if baseline else None,
        preset=preset,
        model=model,
    )
    for variant in conditions.variants:  # before anything is built
        memory.require_memory(variant.network, conditions.batch_size)
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


def _loaded(conditions: _Conditions, dataset: DataSet | None, store: Store) -> tuple[LoadedNetwork, Images, int]:
    """The network, what it is fed, and the resident bytes before there was a network but with what it is fed.

    A model tells what it takes only when it is open, so the network comes first and its bytes are taken off again.
    """
    before = machine.resident_bytes()
    network = conditions.load(conditions.spec, store)
    with_network = machine.resident_bytes()
    images = conditions.images(dataset, conditions.spec, network.network.inputs)
    return network, images, before + machine.resident_bytes() - with_network


def _dataset(conditions: _Conditions, project: Project, on_stage: OnStage) -> DataSet | None:
    """The images, their labels as the weights number them; trains the weights first where that is asked for."""
    request = conditions.request
    if request.train != "never":
        on_stage(0.02, "training, unless there are weights" if request.train == "if missing" else "training")
        train_first(request, project, lambda text: on_stage(0.02, f"training, {text}"))
    on_stage(0.05, "images")
    dataset = load_dataset(request.source, project.params, *conditions.variants)
    if dataset and isinstance(conditions.spec, VariantSpec):
        return in_order_of_weights(dataset, conditions.spec, project.store)
    return dataset


def _open_baseline(conditions: _Conditions, dataset: DataSet | None, store: Store) -> Session | None:
    if conditions.baseline is None:
        return None
    network = conditions.load(conditions.baseline, store)
    images = conditions.images(dataset, conditions.baseline, network.network.inputs)
    return conditions.runtime.open(network, images)


def _identity(conditions: _Conditions, project: Project) -> dict[str, Any]:
    """The fields of a record that say what was run, and under which conditions."""
    request = conditions.request
    return {
        **request.model_dump(include={"run_id", "series", "runtime", "preset", "threads"}),
        "purpose": request.purpose,
        "created": utc_now(),
        "commit": project.commit(),
        "baseline": conditions.baseline.name if conditions.baseline else None,
        "batch_size": conditions.batch_size,
        "seed": conditions.preset.seed,
    }


def _warnings(network: LoadedNetwork, images: Images, order_known: bool) -> tuple[str, ...]:
    """What a reader of the run should know, as sentences without a full stop."""
    is_scored = images.dataset is not None and network.weights.origin != "initial"
    found = {
        "Timed on generated images, no real ones were at hand": images.dataset is None,
        "Profiled with initial weights, none are trained": network.weights.origin == "initial",
        ORDER_UNKNOWN: is_scored and not order_known,
    }
    return tuple(text for text, holds in found.items() if holds)


def _accuracy(
    network: LoadedNetwork, spec: NetworkSpec, dataset: DataSet | None, store: Store
) -> AccuracyRecord | None:
    """Measured on all test images; without images the one recorded with the weights; else none."""
    if network.weights.origin == "initial":
        return None
    if dataset is not None:
        sha256 = network.weights.sha256
        if isinstance(spec, ModelSpec):
            return top1_of_graph(network.frozen, network.network, dataset, sha256, spec.preprocessing)
        return top1(network.model, dataset, sha256)
    if isinstance(spec, ModelSpec):
        return None
    training = store.read_training(network.network.name)
    return training.test.model_copy(update={"measured": False}) if training else None
