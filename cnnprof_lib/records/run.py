"""What one run leaves behind: frozen records with units in their names, which refuse nonsense.

``LatencyRecord`` holds every timed step, so that each statistic can be computed anew; ``OpRecord`` holds
means per profiled step, and together with the unattributed time they add up to the step.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from ..base import units
from ..base.spec import NonNegativeFloat, PositiveFloat, Spec
from ..params.network import Network
from ..params.settings import Purpose
from ..params.variant import VariantSpec
from .conditions import Blocks, Bytes, CalibrationRecord, ImagesRecord, LoadRecord, MachineRecord, Share, WeightsRecord

SCHEMA_VERSION: Final = 2
"""Of record.json and ops.parquet.

2: holds the network, the baseline's name, and nothing where a runtime cannot tell.
1: held a variant of ``params/`` only; `upgraded` makes 2 of it. Its oldest have no ``fused_into``, ``unowned_s`` and
   ``classes``, name the processor without its instruction set, and count the cores of the machine rather than those
   that the process could use: runs of before and after are told apart as of two machines.
"""

EXECUTIONS: Final = {
    **{"step": "int32", "device": "str", "thread": "int64", "node": "str", "op": "str", "kernel": "str"},
    **{"layer": "str", "accelerator": "bool", "start_ns": "int64", "duration_ns": "int64", "self_ns": "float64"},
    **{"profiler_us": "int64", "requested_bytes": "float64", "persistent_bytes": "float64"},
}
"""Columns of ops.parquet with their types: one row per node execution of the profiled steps.

``op`` is the op in the thesis's terms of what ran as ``kernel``; ``layer`` is the one it works for, empty for a node
around the network. ``start_ns`` counts from the call of the step. ``self_ns`` is the part of the step that is this
row's: moments when n kernels run count 1/n for each. ``profiler_us`` is the duration as the runtime's own profiler
counts it. Bytes are missing in all rows where the runtime does not tell them."""

BALANCE_TOLERANCE_S = 1e-6
MAC_OPS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
"""Ops that do a layer's multiply-adds; fused kernels, whatever else they do, count under these names."""


class LatencyRecord(Spec):
    """Every timed step, in seconds, by block. The kinds of block alternate in random order."""

    plain_s: Annotated[Blocks, Field(min_length=1)]
    """Steps without any tracing: the latency."""
    profiled_s: Blocks = ()
    """Traced steps: where the ops' times come from; empty where the runtime cannot trace."""
    baseline_s: Blocks = ()
    """Unprofiled steps of the baseline in the same process, so that drift of the machine cancels in the ratio; empty
    where the study has no baseline."""
    reference_s: Blocks = ()
    """Unprofiled steps of the reference, see `ReferenceRecord`; empty in runs of before there was one."""
    processes: tuple[Annotated[int, Field(gt=0)], ...] = ()
    """Blocks of each process, in order, where `analysis.pool` put several together; empty for one process."""

    @model_validator(mode="after")
    def _check(self) -> LatencyRecord:
        for blocks in (self.plain_s, self.profiled_s, self.baseline_s, self.reference_s):
            if blocks and (len(blocks) != len(self.plain_s) or not all(blocks)):
                raise ValueError("plain, profiled, baseline and reference need the same number of blocks, none empty")
        if self.processes and sum(self.processes) != len(self.plain_s):
            raise ValueError(
                f"the processes have {units.counted(sum(self.processes), 'block')}, not {len(self.plain_s)}"
            )
        return self

    @property
    def profiled_mean_s(self) -> float | None:
        """Mean of the profiled steps, the total that the ops' times are shares of."""
        return statistics.fmean(step for block in self.profiled_s for step in block) if self.profiled_s else None


class ReferenceRecord(Spec):
    """What any two runtimes compare by: a network in the reference runtime, stepped beside every run."""

    network: str
    """Its name: the study's baseline, or where there is none the network that is measured."""
    own_process: bool
    """Whether it was stepped in a process of its own, because the runtime and it cannot share one, or because it was
    slower there beside the runtime than alone."""
    alone_s: Blocks = ()
    """Its steps before the runtime was opened; empty where the run is in the reference runtime itself."""


class AgreementRecord(Spec):
    """How far the network's outputs are from those in the reference runtime, on the same images."""

    images: Annotated[int, Field(gt=0)]
    max_abs: NonNegativeFloat
    """Largest difference of any output value."""
    argmax_share: Share | None
    """Share of the images that are given the same class; None where the network does not give classes."""


class UnattributedRecord(Spec):
    """The part of a profiled step in which no kernel ran: means per step, in seconds, by when it was."""

    before_s: NonNegativeFloat
    """From the call to the first kernel: the session call, the feed."""
    between_s: NonNegativeFloat
    """Between kernels: the executor schedules."""
    after_s: NonNegativeFloat
    """From the last kernel to the return: the fetch, and the step statistics being put together."""

    @property
    def total_s(self) -> float:
        """The three together."""
        return self.before_s + self.between_s + self.after_s


class OpRecord(Spec):
    """One executed kernel: means over the profiled steps."""

    op: str
    """The op in the thesis's terms, e.g. ``Conv2D`` for the kernel ``_FusedConv2D``."""
    kernel: str
    """The kernel as TensorFlow executed it."""
    time_s: NonNegativeFloat
    """Time of the step that is this kernel's: moments when n kernels run at once count 1/n for each."""
    cpu_s: NonNegativeFloat
    """Start to end on the CPU, as ``tf.compat.v1.profiler`` counts it."""
    accelerator_s: NonNegativeFloat
    """Start to end on an accelerator."""
    requested_bytes: Bytes | None
    """None where the runtime does not tell."""
    occurrences: Annotated[float, Field(gt=0)]
    fuses: tuple[str, ...] = ()
    """What else the kernel computes, say a bias and a ReLU; empty for a kernel that was not fused."""


class MemoryRecord(Spec):
    """Three answers to "how much memory", which differ by design; None where the runtime does not tell."""

    requested_bytes: Bytes | None
    """Sum of all that is asked for in a step: the thesis's figure, not a peak."""
    persistent_bytes: Bytes | None
    """Part of it that stays from one step to the next: the input queue and the variables."""
    live_peak_bytes: Bytes | None
    """Most bytes alive at one moment of a step, from allocations and releases; what persists is not included."""
    live_peak_layer: str | None
    rss_start_bytes: Bytes
    """Resident memory of the process with the images to feed, before a model was made."""
    rss_loaded_bytes: Bytes
    """The same with the sessions ready."""
    rss_bytes: Bytes
    """The same at its peak."""


class AccuracyRecord(Spec):
    """Top-1 accuracy on the test images."""

    correct: Annotated[int, Field(ge=0)]
    images: Annotated[int, Field(gt=0)]
    dataset: str
    measured: bool
    """False where no images were at hand and the figure is the one recorded with the weights."""
    weights_sha256: str

    @model_validator(mode="after")
    def _check(self) -> AccuracyRecord:
        if self.correct > self.images:
            raise ValueError(f"more correct answers ({self.correct}) than images ({self.images})")
        return self

    @property
    def top1(self) -> float:
        """Share of the images whose most probable class is the right one."""
        return self.correct / self.images


class RunRecord(Spec):
    """One network, measured once in one runtime."""

    schema_version: Literal[2] = SCHEMA_VERSION
    run_id: str
    series: str
    """Shared by the runs of one command; those of one network and runtime are pooled."""
    purpose: Purpose
    created: str
    """UTC, ISO 8601."""
    commit: str | None
    """Git commit of the project, with ``+changes`` where the work tree differed."""
    network: Network
    variant: VariantSpec | None
    """As ``params/`` has the network, if it is from there."""
    baseline: str | None
    """Name of the network whose steps are `LatencyRecord.baseline_s`; None where the study has none."""
    runtime: str
    preset: str
    batch_size: Annotated[int, Field(gt=0)]
    threads: Annotated[int, Field(gt=0)] | None
    """Threads that the runtime was held to; None where it chose."""
    seed: int
    """Seed of the order of the blocks, of generated images and of initial weights."""
    machine: MachineRecord
    versions: dict[str, str] = Field(default_factory=dict)
    """Of the runtime's libraries beside TensorFlow and Keras, by name."""
    images: ImagesRecord
    weights: WeightsRecord
    latency: LatencyRecord
    load: LoadRecord
    ops: tuple[OpRecord, ...]
    """Empty where the runtime cannot trace."""
    unattributed: UnattributedRecord | None
    unowned_s: NonNegativeFloat = 0.0
    """Part of the ops' time, a mean per step, of nodes of the network of which it is not known for which layer they
    work."""
    conversions: tuple[str, ...] = ()
    """Nodes that only change a layout or a number format, such as a reorder or a quantisation."""
    fell_back: dict[str, str] = Field(default_factory=dict)
    """Nodes whose kernel is not what the runtime is for, each with what it is instead."""
    fused_into: dict[str, str] = Field(default_factory=dict)
    """Layers without a kernel of their own, each with the layer whose kernel computes it."""
    add_step_s: PositiveFloat | None
    """Median time in which the runtime's own profiler, ``tf.compat.v1.profiler``, adds a profiled step to its books;
    not part of the step. None where it has none."""
    memory: MemoryRecord
    reference: ReferenceRecord | None = None
    """None in runs of before there was one."""
    precision: str = "float32"
    """Of the runtime's multiplications, as far as it has kernels for that."""
    model_bytes: Bytes | None = None
    """Size of the network as a file of the runtime's own format; None where it has none."""
    calibration: CalibrationRecord | None = None
    """What number formats were chosen by; None where nothing was to be chosen."""
    agreement: AgreementRecord | None = None
    """None in the reference runtime itself."""
    accuracy: AccuracyRecord | None
    warnings: tuple[str, ...]
    pooled: tuple[str, ...] = ()
    """Runs that `analysis.pool` made this record of, one per process; empty for a run as it was stored."""

    @property
    def name(self) -> str:
        """The network's."""
        return self.network.name

    @property
    def is_baseline(self) -> bool:
        """Whether its network is the one that it is compared with."""
        return self.name == self.baseline

    @property
    def is_traced(self) -> bool:
        """Whether it is known what the time of a step is spent on."""
        return self.unattributed is not None

    @property
    def unattributed_s(self) -> float:
        """Mean part of a profiled step in which no kernel ran; NaN where nothing was traced."""
        return self.unattributed.total_s if self.unattributed else math.nan

    @model_validator(mode="after")
    def _check_balance(self) -> RunRecord:
        step_s = self.latency.profiled_mean_s
        if (step_s is None, step_s is None) != (not self.ops, self.unattributed is None):
            raise ValueError("profiled steps, ops and unattributed time are known together or not at all")
        if step_s is not None:
            total = math.fsum(op.time_s for op in self.ops) + self.unattributed_s
            if abs(total - step_s) > BALANCE_TOLERANCE_S:
                raise ValueError(
                    f"op times and unattributed time add up to {total:.6f} s, but a profiled step takes {step_s:.6f} s"
                )
        if (self.baseline is None) != (not self.latency.baseline_s):
            raise ValueError("the baseline has a name and steps, or neither")
        if (self.reference is None) != (not self.latency.reference_s):
            raise ValueError("the reference has a name and steps, or neither")
        return self


_OF_SCHEMA_1 = re.compile(rb'^\{\s*"schema_version":\s*1\b')


def upgraded(stored: bytes) -> bytes:
    """A stored `RunRecord` of schema 1 as one of schema 2; any other, or a damaged one, as it is."""
    if not _OF_SCHEMA_1.match(stored):
        return stored
    try:
        content = json.loads(stored)
    except ValueError:
        return stored
    for key in ("parameters", "macs_per_image"):
        content.pop(key, None)
    variant = VariantSpec.model_validate_json(json.dumps(content.get("variant")))
    network = variant.network.model_dump(mode="json")
    return json.dumps({**content, "schema_version": 2, "network": network, "baseline": "baseline"}).encode()


class FailureRecord(Spec):
    """A run that ended in an error."""

    schema_version: Literal[1] = 1
    run_id: str
    series: str
    purpose: Purpose
    created: str
    variant: str
    runtime: str
    error: str
    """One line."""
