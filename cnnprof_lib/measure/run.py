"""The composer: a variant, a runtime and a preset in, a stored record out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..base.files import try_writing
from ..base.stamps import utc_now
from ..params.reading import load_preset, load_variant
from ..params.settings import PresetSpec, RunRequest
from ..params.variant import VariantSpec
from ..records.project import Project
from ..records.run import (
    AccuracyRecord,
    LatencyRecord,
    LoadRecord,
    MemoryRecord,
    OpRecord,
    RunRecord,
    UnattributedRecord,
)
from ..records.store import Store
from . import machine, timeline
from .clock import TimedStep, time_blocks
from .images.cache import DataSet
from .images.fit import ORDER_UNKNOWN, classes_of, in_order_of_weights, training_of
from .load import FaultCount
from .models.evaluate import top1
from .prepare import Images, Network, load_dataset, prepare_images, prepare_network
from .runtimes import environment as runtimes
from .runtimes import memory, ops
from .runtimes.session import NetworkSession, TracedStep
from .training.apart import train_first

BASELINE = "baseline"

OnStage = Callable[[float, str], None]
"""Told the share of the run that is done, 0 to 1, and what comes next."""


@dataclass(frozen=True)
class _Conditions:
    """A request with its files read."""

    request: RunRequest
    variant: VariantSpec
    baseline: VariantSpec
    preset: PresetSpec

    @property
    def batch_size(self) -> int:
        return self.request.batch_size or self.preset.batch_size

    def network(self, variant: VariantSpec, images: Images, store: Store) -> Network:
        return prepare_network(
            variant,
            self.request.runtime,
            images,
            store,
            batch_size=self.batch_size,
            seed=self.preset.seed,
        )


def measure(request: RunRequest, project: Project, on_stage: OnStage = lambda share, stage: None) -> RunRecord:
    """Profiles one variant in one runtime and stores the run.

    The process must have been set up by `runtime.set_up` before TensorFlow was loaded.

    Args:
        request: What to run, and under which conditions.
        project: Where parameters are and records go.
        on_stage: Progress.

    Raises:
        CnnprofError: whatever stops the run, in one line; nothing is stored then.
    """
    try_writing(project.store.run_dir(request).parent)
    runtimes.set_up(request.runtime)
    runtimes.limit_threads(request.threads)
    conditions = _Conditions(
        request,
        variant=load_variant(request.variant, project.params),
        baseline=load_variant(BASELINE, project.params),
        preset=load_preset(request.preset, project.params),
    )
    for network_spec in (conditions.variant, conditions.baseline):
        memory.require_memory(network_spec, conditions.batch_size)
    if request.train != "never":
        on_stage(0.02, "training, unless there are weights" if request.train == "if missing" else "training")
        train_first(request, project, lambda text: on_stage(0.02, f"training, {text}"))

    on_stage(0.05, "images")
    dataset = load_dataset(request.source, project.params, conditions.variant, conditions.baseline)
    if dataset is not None:
        dataset = in_order_of_weights(dataset, conditions.variant, project.store)
    images, baseline_images = (
        prepare_images(dataset, variant.input, conditions.batch_size, conditions.preset.seed)
        for variant in (conditions.variant, conditions.baseline)
    )

    on_stage(0.10, "model")
    rss_start = machine.resident_bytes()
    network = conditions.network(conditions.variant, images, project.store)
    rss_loaded = machine.resident_bytes()
    rss_peak = max(rss_loaded, _warm_up(network.session, conditions.preset))
    baseline = conditions.network(conditions.baseline, baseline_images, project.store)

    timed = _time(network.session, baseline.session, conditions.preset, on_stage)
    on_stage(0.80, "reading the step statistics")
    profile = _profile(timed, network)

    on_stage(0.85, "accuracy")
    record = RunRecord(
        run_id=request.run_id,
        series=request.series,
        purpose=request.purpose,
        created=utc_now(),
        commit=project.commit(),
        variant=conditions.variant,
        runtime=request.runtime,
        preset=request.preset,
        batch_size=conditions.batch_size,
        threads=request.threads,
        seed=conditions.preset.seed,
        parameters=conditions.variant.parameters,
        macs_per_image=conditions.variant.macs_per_image,
        machine=machine.describe(onednn=any(op.kernel.startswith("_Mkl") for op in profile.ops)),
        images=images.record(),
        weights=network.weights,
        latency=timed.latency,
        load=timed.load,
        ops=profile.ops,
        unattributed=profile.unattributed,
        unowned_s=profile.unowned_s,
        fused_into=profile.fused_into,
        add_step_s=profile.add_step_s,
        memory=MemoryRecord(
            requested_bytes=profile.requested_bytes,
            persistent_bytes=profile.persistent_bytes,
            live_peak_bytes=profile.live_peak_bytes,
            live_peak_layer=profile.live_peak_layer,
            rss_start_bytes=rss_start,
            rss_loaded_bytes=rss_loaded,
            rss_bytes=rss_peak,
        ),
        accuracy=_accuracy(network, dataset, project.store, conditions.variant),
        warnings=_warnings(network, images, classes_of(training_of(conditions.variant, project.store))),
    )
    project.store.write_run(record, profile.rows, profile.text, profile.trace)
    on_stage(1.0, "stored")
    return record


def _warnings(network: Network, images: Images, classes: tuple[str, ...]) -> tuple[str, ...]:
    """What a reader of the run should know, as sentences without a full stop."""
    is_scored = images.dataset is not None and network.weights.origin != "initial"
    found = {
        "Timed on generated images, no real ones were at hand": images.dataset is None,
        "Profiled with initial weights, none are trained": network.weights.origin == "initial",
        ORDER_UNKNOWN: is_scored and not classes,
    }
    return tuple(text for text, holds in found.items() if holds)


def _warm_up(session: NetworkSession, preset: PresetSpec) -> int:
    """Runs a few steps of both kinds and returns the most resident memory seen."""
    seen = 0
    for _ in range(preset.warmup_steps):
        session.prepare()
        session.step()
        session.prepare()
        session.traced_step()
        seen = max(seen, machine.resident_bytes())
    return seen


class _Timed(NamedTuple):
    """The timed steps, the profiled ones' traces in order, and what else the machine did meanwhile."""

    latency: LatencyRecord
    steps: list[TracedStep]
    load: LoadRecord


def _time(session: NetworkSession, baseline: NetworkSession, preset: PresetSpec, on_stage: OnStage) -> _Timed:
    """Times the three kinds of step."""
    steps: list[TracedStep] = []
    watch = machine.LoadWatch()
    counts = {
        "plain": FaultCount(TimedStep(session.step, session.prepare)),
        "profiled": FaultCount(TimedStep(session.traced_step, session.prepare, steps.append)),
        "baseline": FaultCount(TimedStep(baseline.step, baseline.prepare)),
    }

    def on_round(done: int) -> None:
        watch.look()
        on_stage(0.2 + 0.6 * done / preset.blocks, f"timing, round {done} of {preset.blocks}")

    times = time_blocks(
        {kind: count.step for kind, count in counts.items()},
        blocks=preset.blocks,
        steps_per_block=preset.steps_per_block,
        warmup_steps=preset.warmup_steps,
        rng=np.random.default_rng(preset.seed),
        on_round=on_round,
    )
    latency = LatencyRecord(plain_s=times["plain"], profiled_s=times["profiled"], baseline_s=times["baseline"])
    load = watch.record({kind: count.by_block(preset.steps_per_block) for kind, count in counts.items()})
    return _Timed(latency, steps, load)


class _Profile(NamedTuple):
    """What the traced steps tell, apart from their times."""

    rows: pd.DataFrame
    ops: tuple[OpRecord, ...]
    unattributed: UnattributedRecord
    unowned_s: float
    fused_into: dict[str, str]
    requested_bytes: int
    persistent_bytes: int
    live_peak_bytes: int
    live_peak_layer: str
    add_step_s: float
    text: str
    trace: bytes


def _profile(timed: _Timed, network: Network) -> _Profile:
    """Reads the step statistics; memory and timeline are those of the median step."""
    executed = network.session.executed_graph()
    profiled_s = [seconds for block in timed.latency.profiled_s for seconds in block]
    steps = [ops.parse(step.serialized) for step in timed.steps]
    rows = ops.node_rows(steps, [step.called_ns for step in timed.steps], executed.layer_of)
    rest = ops.unattributed(rows, profiled_s)
    median = _median_index(profiled_s)
    median_rest = _unattributed(rest.iloc[median])
    live_peak_bytes, live_peak_layer = memory.live_peak(steps[median], executed.layer_of)
    profiler = ops.profiler_report(network.session.graph, steps)
    return _Profile(
        rows=rows,
        ops=ops.totals(rows, executed.fused_ops),
        unattributed=_unattributed(rest.mean()),
        unowned_s=rows.loc[~rows["node"].map(executed.knows), "self_ns"].sum() / len(steps) / 1e9,
        fused_into=dict(executed.fused_into),
        requested_bytes=round(rows["requested_bytes"].sum() / len(steps)),
        persistent_bytes=round(rows["persistent_bytes"].sum() / len(steps)),
        live_peak_bytes=live_peak_bytes,
        live_peak_layer=live_peak_layer,
        add_step_s=statistics.median(profiler.add_step_s),
        text=profiler.text,
        trace=timeline.chrome_trace(rows, median, profiled_s[median], median_rest),
    )


def _unattributed(parts: pd.Series[float]) -> UnattributedRecord:
    return UnattributedRecord(**{str(name): float(seconds) for name, seconds in parts.items()})


def _median_index(values: Sequence[float]) -> int:
    """Where the lower median stands."""
    return values.index(statistics.median_low(values))


def _accuracy(network: Network, dataset: DataSet | None, store: Store, variant: VariantSpec) -> AccuracyRecord | None:
    """Measured on all test images; without images the one recorded with the weights; else none."""
    if network.weights.origin == "initial":
        return None
    if dataset is not None:
        return top1(network.model, dataset, network.weights.sha256)
    training = store.read_training(variant.name)
    return training.test.model_copy(update={"measured": False}) if training else None
