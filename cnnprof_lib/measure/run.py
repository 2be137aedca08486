"""The composer: a variant, a runtime and a preset in, a stored record out."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import keras

from ..base.files import try_writing
from ..base.stamps import utc_now
from ..params.model import ModelSpec
from ..params.settings import RunRequest
from ..params.variant import VariantSpec
from ..records.project import Project
from ..records.run import AccuracyRecord, LatencyRecord, MemoryRecord, ReferenceRecord, RunRecord
from ..records.trained_store import packed_outcomes
from . import machine
from .answers import Answers, answers
from .clock import TimedStep
from .conditions import Conditions, conditions_of
from .images.cache import DataSet
from .images.fit import ORDER_UNKNOWN, classes_of, training_of
from .models.evaluate import accuracy
from .models.graph import function_of
from .models.load import LoadedNetwork
from .prepare import Images
from .profile import OnStage, StepProfile, read_profile, time_steps, warm_up
from .reference import Reference, apart, is_slowed, within
from .runtimes.contract import Session, plain_step
from .training.apart import train_first


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
    try_writing(project.store.run_dir(request).parent)
    conditions = conditions_of(request, project, model)
    if request.train != "never":
        on_stage(0.02, "training, unless there are weights" if request.train == "if missing" else "training")
        train_first(request, project, lambda text: on_stage(0.02, f"training, {text}"))
    on_stage(0.05, "images")
    dataset = conditions.dataset()
    on_stage(0.10, "model")
    with ExitStack() as stack:
        return _measured(conditions, dataset, on_stage, stack)


def _measured(conditions: Conditions, dataset: DataSet | None, on_stage: OnStage, stack: ExitStack) -> RunRecord:
    """The run, once it is known what it is of; all that it opens is closed with ``stack``."""
    network, images, rss_start = _loaded(conditions, dataset)
    reference, rss_reference = _reference(conditions, dataset, stack)
    session = _opened(conditions.runtime.open(network, images), stack)
    rss_loaded = machine.resident_bytes() - rss_reference
    rss_peak = max(rss_loaded, warm_up(session, conditions.preset) - rss_reference)
    slowed = False
    if reference and not reference.own_process and is_slowed(reference, session, conditions.preset):
        slowed = True
        reference.close()
        reference = _apart(conditions, stack)
    beside = _beside(conditions, reference, dataset, stack)
    timed = time_steps(session, beside, conditions.preset, on_stage)

    on_stage(0.80, "reading the step statistics")
    profile = read_profile(timed, session) if session.can_trace else StepProfile.untold()

    on_stage(0.85, "accuracy")
    stock = None if conditions.in_reference else function_of(network.frozen)
    found = answers(session, images, conditions.batch_size, stock)
    scored = _accuracy(network, conditions, found, dataset, session.precision)
    record = RunRecord(
        **_identity(conditions),
        network=network.network,
        variant=conditions.spec if isinstance(conditions.spec, VariantSpec) else None,
        machine=machine.describe(onednn=profile.uses_onednn),
        versions=conditions.runtime.versions(),
        images=images.record(),
        weights=network.weights,
        **_against_reference(conditions, reference, timed.latency),
        load=timed.load,
        **profile.fields,
        memory=MemoryRecord(
            **profile.memory, rss_start_bytes=rss_start, rss_loaded_bytes=rss_loaded, rss_bytes=rss_peak
        ),
        precision=session.precision,
        model_bytes=session.model_bytes,
        calibration=session.calibration,
        agreement=found.agreement,
        accuracy=scored,
        warnings=_warnings(network, images, conditions, slowed),
    )
    is_measured = scored and scored.measured and dataset and found.predicted is not None
    outcomes = packed_outcomes(found.predicted, dataset.test_labels) if is_measured else None  # type: ignore[arg-type, union-attr]
    conditions.store.write_run(record, profile.files, outcomes)
    on_stage(1.0, "stored")
    return record


def _opened(session: Session, stack: ExitStack) -> Session:
    """A session that is closed with ``stack``."""
    stack.callback(session.close)
    return session


def _loaded(conditions: Conditions, dataset: DataSet | None) -> tuple[LoadedNetwork, Images, int]:
    """The network, what it is fed, and the resident bytes before there was a network but with what it is fed.

    A model tells what it takes only when it is open, so the network comes first and its bytes are taken off again.
    """
    before = machine.resident_bytes()
    network = conditions.load(conditions.spec)
    with_network = machine.resident_bytes()
    images = conditions.images(dataset, conditions.spec, network.network.inputs)
    return network, images, before + machine.resident_bytes() - with_network


def _reference(conditions: Conditions, dataset: DataSet | None, stack: ExitStack) -> tuple[Reference | None, int]:
    """What the run is stepped beside, and the resident bytes that it takes; None in the reference runtime itself."""
    if conditions.in_reference:
        return None, 0
    if conditions.reference is None:
        return _apart(conditions, stack), 0
    before = machine.resident_bytes()
    session = conditions.open(conditions.compared, dataset, conditions.reference)
    reference = within(conditions.compared.name, session, conditions.preset)
    stack.callback(reference.close)
    return reference, machine.resident_bytes() - before


def _apart(conditions: Conditions, stack: ExitStack) -> Reference | None:
    """The reference in a process of its own; None for a model in memory, which cannot be handed to one."""
    if conditions.model is not None and conditions.compared is conditions.spec:
        return None
    reference = apart(conditions.compared.name, conditions.request, conditions.project, conditions.preset)
    stack.callback(reference.close)
    return reference


def _beside(
    conditions: Conditions, reference: Reference | None, dataset: DataSet | None, stack: ExitStack
) -> dict[str, TimedStep]:
    """What is timed beside the network, by kind."""
    beside = {"reference": reference.step} if reference else {}
    if conditions.baseline is not None:
        beside["baseline"] = plain_step(_opened(conditions.open(conditions.baseline, dataset), stack))
    return beside


def _against_reference(conditions: Conditions, reference: Reference | None, latency: LatencyRecord) -> dict[str, Any]:
    """Latency and reference of a record. In the reference runtime the baseline is the reference, or the network."""
    if reference is not None:
        record = ReferenceRecord(
            network=reference.network, own_process=reference.own_process, alone_s=reference.alone_s
        )
        return {"latency": latency, "reference": record}
    if not conditions.in_reference:
        return {"latency": latency, "reference": None}
    latency = latency.model_copy(update={"reference_s": latency.baseline_s or latency.plain_s})
    return {"latency": latency, "reference": ReferenceRecord(network=conditions.compared.name, own_process=False)}


def _identity(conditions: Conditions) -> dict[str, Any]:
    """The fields of a record that say what was run, and under which conditions."""
    request = conditions.request
    return {
        **request.model_dump(include={"run_id", "series", "runtime", "preset", "threads"}),
        "purpose": request.purpose,
        "created": utc_now(),
        "commit": conditions.project.commit(),
        "baseline": conditions.baseline.name if conditions.baseline else None,
        "batch_size": conditions.batch_size,
        "seed": conditions.preset.seed,
    }


def _warnings(network: LoadedNetwork, images: Images, conditions: Conditions, slowed: bool) -> tuple[str, ...]:
    """What a reader of the run should know, as sentences without a full stop."""
    spec = conditions.spec
    order_known = isinstance(spec, VariantSpec) and bool(classes_of(training_of(spec, conditions.store)))
    is_scored = images.dataset is not None and network.weights.origin != "initial"
    found = {
        "Timed on generated images, no real ones were at hand": images.dataset is None,
        "Profiled with initial weights, none are trained": network.weights.origin == "initial",
        ORDER_UNKNOWN: is_scored and not order_known,
        "The reference was slower beside the runtime than alone, so it has a process of its own": slowed,
    }
    return tuple(text for text, holds in found.items() if holds)


def _accuracy(
    network: LoadedNetwork, conditions: Conditions, found: Answers, dataset: DataSet | None, precision: str
) -> AccuracyRecord | None:
    """Measured on all test images; without images the one recorded with the weights, which is of floats; else none."""
    if network.weights.origin == "initial":
        return None
    if dataset is not None:
        labels, sha256 = dataset.test_labels, network.weights.sha256
        return None if found.predicted is None else accuracy(found.predicted, labels, dataset.name, sha256)
    if isinstance(conditions.spec, ModelSpec) or precision != "float32":
        return None
    training = conditions.store.read_training(network.network.name)
    return training.test.model_copy(update={"measured": False}) if training else None
