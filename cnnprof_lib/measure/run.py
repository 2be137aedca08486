"""The composer: a variant, a runtime and a preset in, a stored record out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tensorflow.core.protobuf import config_pb2

from ..params import load_preset, load_variant
from ..project import Project
from ..records import AccuracyRecord, LatencyRecord, MemoryRecord, RunRecord
from ..settings import PresetSpec, RunRequest
from ..store import Store, utc_now
from ..variant import VariantSpec
from . import machine, memory, ops, timeline
from . import runtime as runtimes
from .apart import train_first
from .data import DataSet
from .evaluate import top1
from .graph import NetworkSession
from .latency import TimedStep, time_blocks
from .prepare import Images, Network, load_dataset, prepare_images, prepare_network

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
    runtimes.set_up(request.runtime)
    runtimes.limit_threads(request.threads)
    conditions = _Conditions(
        request,
        variant=load_variant(request.variant, project.params),
        baseline=load_variant(BASELINE, project.params),
        preset=load_preset(request.preset, project.params),
    )
    if request.train != "never":
        on_stage(0.02, "training, unless there are weights" if request.train == "if missing" else "training")
        train_first(request, project)
    busy_percent = machine.busy_percent()

    on_stage(0.05, "images")
    dataset = load_dataset(request.source)
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

    latency, steps = _time(network.session, baseline.session, conditions.preset, on_stage)

    on_stage(0.80, "reading the step statistics")
    layer_of = ops.remembered(network.frozen.layer_of)
    profiled_s = [seconds for block in latency.profiled_s for seconds in block]
    rows = ops.node_rows(steps, layer_of)
    unattributed_s = ops.unattributed_s(rows, profiled_s)
    median = _median_index(profiled_s)
    live_peak, live_peak_layer = memory.live_peak(steps[median], layer_of)
    profiler_text, _ = ops.profiler_report(network.session.graph, steps)

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
        parameters=conditions.variant.parameters,
        macs_per_image=conditions.variant.macs_per_image,
        machine=machine.describe(onednn=bool(rows["kernel"].str.startswith("_Mkl").any())),
        images=images.record(),
        weights=network.weights,
        latency=latency,
        ops=ops.totals(rows),
        unattributed_s=float(unattributed_s.mean()),
        memory=MemoryRecord(
            requested_bytes=round(rows["requested_bytes"].sum() / len(steps)),
            live_peak_bytes=live_peak,
            live_peak_layer=live_peak_layer,
            rss_start_bytes=rss_start,
            rss_loaded_bytes=rss_loaded,
            rss_bytes=rss_peak,
        ),
        accuracy=_accuracy(network, dataset, project.store, conditions.variant),
        warnings=_warnings(busy_percent, network, images),
    )
    project.store.write_run(record, rows, profiler_text, timeline.chrome_trace(rows, median, profiled_s[median]))
    on_stage(1.0, "stored")
    return record


def _warnings(busy_percent: float, network: Network, images: Images) -> tuple[str, ...]:
    """What a reader of the run should know, as sentences without a full stop."""
    found = {
        f"Other programs used {busy_percent:.0f}% of the processor when the run began": (
            busy_percent > machine.BUSY_PERCENT
        ),
        "Timed on generated images, no real ones were at hand": images.dataset is None,
        "Profiled with initial weights, none are trained": network.weights.origin == "initial",
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


def _time(
    session: NetworkSession, baseline: NetworkSession, preset: PresetSpec, on_stage: OnStage
) -> tuple[LatencyRecord, list[config_pb2.RunMetadata]]:
    """Times the three kinds of step; returns the times and the profiled steps' metadata, in order."""
    serialized: list[bytes] = []
    times = time_blocks(
        {
            "plain": TimedStep(session.step, session.prepare),
            "profiled": TimedStep(session.traced_step, session.prepare, serialized.append),
            "baseline": TimedStep(baseline.step, baseline.prepare),
        },
        blocks=preset.blocks,
        steps_per_block=preset.steps_per_block,
        warmup_steps=preset.warmup_steps,
        rng=np.random.default_rng(preset.seed),
        on_round=lambda done: on_stage(0.2 + 0.6 * done / preset.blocks, f"timing, round {done} of {preset.blocks}"),
    )
    latency = LatencyRecord(plain_s=times["plain"], profiled_s=times["profiled"], baseline_s=times["baseline"])
    return latency, [ops.parse(metadata) for metadata in serialized]


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
