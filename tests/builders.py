"""Small records for tests, whose books balance: op times and unattributed time add up to the profiled step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnprof_lib.analysis.estimates import FEWEST
from cnnprof_lib.analysis.resolution import Resolution
from cnnprof_lib.params.reading import load_recipe, load_variant
from cnnprof_lib.params.settings import CHECK_ROUNDS
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records import machine as machine_records
from cnnprof_lib.records import run as records
from cnnprof_lib.records import training as training_records
from cnnprof_lib.records.run_store import TracedFiles
from cnnprof_lib.records.store import Store

PARAMS = Path(__file__).parent.parent / "params"
BATCH = 128
RUNTIMES = ("unfused", "stock")
"""Those of TensorFlow, in the order of the presets."""
RUN_ID = "20261124T000000Z-0000"

# Seconds per MAC and per output byte of a 2-core machine, so that the figures have a natural shape.
_S_PER_MAC = 1 / 75e9
_S_PER_BYTE = {"LRN": 5e-10, "MaxPool": 2.2e-10, "BiasAdd": 4.7e-11, "Relu": 2.5e-11}


@dataclass(frozen=True)
class Node:
    """One node of a made-up graph, executed once per step."""

    op: str
    layer: str
    time_s: float
    requested_bytes: int = 0
    kernel: str = ""
    accelerator: bool = False

    @property
    def duration_ns(self) -> int:
        return round(self.time_s * 1e9)


def make_nodes(variant: VariantSpec, runtime: str = "unfused") -> list[Node]:
    """Nodes of a variant with times in proportion to its MACs and bytes."""
    return [
        Node("FIFOQueueV2", "", 1e-5, 30_319_744),
        Node("QueueDequeueManyV2", "", 1.8e-4, 885_248),
        *_layer_nodes(variant, fused=runtime == "stock"),
    ]


def _layer_nodes(variant: VariantSpec, *, fused: bool) -> Iterator[Node]:
    for cost in variant.network.layers:
        size = BATCH * math.prod(cost.output_shape) * 4
        if cost.type in ("conv", "dense"):
            op = "Conv2D" if cost.type == "conv" else "MatMul"
            time_s = (cost.macs or 0) * BATCH * _S_PER_MAC
            if fused:
                yield Node(op, cost.name, time_s / 2, size, f"_Fused{op}")
                continue
            yield Node(op, cost.name, time_s, size)
            yield Node("BiasAdd", cost.name, size * _S_PER_BYTE["BiasAdd"])
            yield Node("Relu", cost.name, size * _S_PER_BYTE["Relu"])
        else:
            op = {"lrn": "LRN", "max_pool": "MaxPool"}[cost.type]
            yield Node(op, cost.name, size * _S_PER_BYTE[op], size)


def make_record(
    variant: str | VariantSpec = "baseline",
    runtime: str = "unfused",
    *,
    nodes: Sequence[Node] | None = None,
    unattributed_s: float = 1e-3,
    plain_s: records.Blocks | None = None,
    baseline_s: records.Blocks | None = None,
    reference_s: records.Blocks = (),
    accuracy: records.AccuracyRecord | None = None,
    run_id: str = RUN_ID,
    **changes: Any,
) -> records.RunRecord:
    """A run of ``nodes``; unless given, plain steps take as long as profiled ones, and the baseline's as its own would.

    Args:
        variant: A variant, or the name of one in ``params/``.
        changes: Any other field of the record.
    """
    spec = load_variant(variant, PARAMS) if isinstance(variant, str) else variant
    nodes = make_nodes(spec, runtime) if nodes is None else nodes
    step_s = _busy_s(nodes) + unattributed_s
    plain_s = plain_s or ((step_s, step_s),) * FEWEST
    base_s = _busy_s(make_nodes(load_variant("baseline", PARAMS), runtime)) + unattributed_s
    fields = {
        "run_id": run_id,
        "series": run_id,
        "purpose": "study",
        "created": "2026-11-24T00:00:00+00:00",
        "commit": None,
        "network": spec.network,
        "variant": spec,
        "baseline": "baseline",
        "runtime": runtime,
        "preset": "quick",
        "batch_size": BATCH,
        "threads": None,
        "seed": 1,
        "machine": make_machine(runtime),
        "images": records.ImagesRecord(name="generated", sha256=None, generated=True),
        "weights": records.WeightsRecord(origin="reference", sha256="0" * 64, recipe="short", dataset="CIFAR-10"),
        "latency": records.LatencyRecord(
            plain_s=plain_s,
            profiled_s=tuple((step_s,) * len(block) for block in plain_s),
            baseline_s=baseline_s or tuple((base_s,) * len(block) for block in plain_s),
            reference_s=reference_s,
        ),
        "reference": records.ReferenceRecord(network="baseline", own_process=False) if reference_s else None,
        "load": make_load(),
        "ops": _op_records(nodes),
        "unattributed": make_unattributed(unattributed_s),
        "add_step_s": 0.02,
        "memory": make_memory(sum(node.requested_bytes for node in nodes)),
        "accuracy": accuracy,
        "warnings": (),
    }
    return records.RunRecord(**{**fields, **changes})


def make_untraced(
    variant: str | VariantSpec = "baseline", runtime: str = "unfused", **changes: Any
) -> records.RunRecord:
    """A run in a runtime that neither traces nor tells its memory."""
    record = make_record(variant, runtime, **changes)
    memory = ("requested_bytes", "persistent_bytes", "live_peak_bytes", "live_peak_layer")
    untold = {
        "latency": record.latency.model_copy(update={"profiled_s": ()}),
        "ops": (),
        "unattributed": None,
        "add_step_s": None,
        "memory": record.memory.model_copy(update=dict.fromkeys(memory)),
    }
    return records.RunRecord.model_validate(dict(record) | untold)


def make_load(**changes: Any) -> records.LoadRecord:
    """A quiet machine of a steady frequency that does not count page faults."""
    fields = {
        "others_percent": 1.0,
        "cpu_mhz": (2500.0, 2500.0),
        "plain_faults": (),
        "profiled_faults": (),
        "baseline_faults": (),
    }
    return records.LoadRecord(**{**fields, **changes})


def make_unattributed(total_s: float) -> records.UnattributedRecord:
    """Half of it between kernels, a quarter before and after them."""
    return records.UnattributedRecord(before_s=total_s / 4, between_s=total_s / 2, after_s=total_s / 4)


def _busy_s(nodes: Sequence[Node]) -> float:
    return sum(node.duration_ns for node in nodes) / 1e9


def make_machine(runtime: str = "unfused", **changes: Any) -> records.MachineRecord:
    """A laptop of 2 cores."""
    fields = {
        "cpu": "Made-up CPU",
        "logical_cores": 2,
        "memory_bytes": 8_000_000_000,
        "system": "Linux 6",
        "python": "3.12.1",
        "tensorflow": "2.21.0",
        "keras": "3.12.0",
        "onednn": runtime == "stock",
        "gpus": (),
    }
    return records.MachineRecord(**{**fields, **changes})


MACHINE_KEY = make_machine().key


def make_memory(requested_bytes: int) -> records.MemoryRecord:
    """A process of 900 MB at its peak."""
    return records.MemoryRecord(
        requested_bytes=requested_bytes,
        persistent_bytes=min(requested_bytes, 30_319_744),
        live_peak_bytes=24_000_000,
        live_peak_layer="conv1",
        rss_start_bytes=500_000_000,
        rss_loaded_bytes=700_000_000,
        rss_bytes=900_000_000,
    )


def make_accuracy(correct: int = 8600, images: int = 10_000, *, measured: bool = True) -> records.AccuracyRecord:
    """86% of 10,000 images unless said."""
    return records.AccuracyRecord(
        correct=correct, images=images, dataset="CIFAR-10", measured=measured, weights_sha256="0" * 64
    )


def make_training(
    variant: str = "baseline", *, steps: int = 4000, step_s: Sequence[float] = (0.3,) * 6, **changes: Any
) -> training_records.TrainingRecord:
    """A training of reference weights, in as many equal stretches as ``step_s`` has seconds per step."""
    spec = load_variant(variant, PARAMS)
    stretch = steps // max(len(step_s), 1)
    history = tuple(
        training_records.HistoryRow(
            step=stretch * (i + 1), loss=1.0, accuracy=0.6, learning_rate=0.01, images_per_s=BATCH / seconds
        )
        for i, seconds in enumerate(step_s)
    )
    fields = {
        "variant": spec,
        "recipe": "short",
        "steps": steps,
        "batch_size": BATCH,
        "seed": 1,
        "dataset": "CIFAR-10",
        "dataset_sha256": "0" * 64,
        "seconds": stretch * sum(step_s),
        "held_out": None,
        "test": make_accuracy(),
        "weights_sha256": "0" * 64,
        "history": history,
    }
    return training_records.TrainingRecord(**{**fields, **changes})


def make_thesis_training(
    variant: str = "baseline", *, recipe: str = "thesis", correct: int = 8600, seed: int = 1, **changes: Any
) -> training_records.TrainingRecord:
    """A training of 200 steps with a row of its history after each hundred."""
    settings = load_recipe("thesis", PARAMS).model_copy(update={"name": recipe, "seed": seed, "steps": 200})
    rows = [
        training_records.HistoryRow(
            step=step,
            loss=loss,
            accuracy=accuracy,
            learning_rate=0.1,
            images_per_s=1000.0,
            step_s=0.128,
            held_out_accuracy=accuracy,
        )
        for step, loss, accuracy in ((100, 1.5, 0.6), (200, 1.0, 0.8))
    ]
    fields = {
        "variant": load_variant(variant, PARAMS),
        "recipe": recipe,
        "settings": settings,
        "steps": settings.steps,
        "batch_size": settings.batch_size,
        "seed": seed,
        "dataset": "CIFAR-10",
        "dataset_sha256": "0" * 64,
        "seconds": 25.6,
        "step_s": 0.128,
        "held_out": make_accuracy(4250, 5_000),
        "test": make_accuracy(correct),
        "weights_sha256": "0" * 64,
        "history": tuple(rows),
    }
    return training_records.TrainingRecord(**{**fields, **changes})


def _op_records(nodes: Sequence[Node]) -> tuple[records.OpRecord, ...]:
    kernels: dict[tuple[str, str], list[Node]] = {}
    for node in nodes:
        kernels.setdefault((node.op, node.kernel or node.op), []).append(node)
    return tuple(
        records.OpRecord(
            op=op,
            kernel=kernel,
            time_s=_busy_s(same),
            cpu_s=_busy_s([node for node in same if not node.accelerator]),
            accelerator_s=_busy_s([node for node in same if node.accelerator]),
            requested_bytes=sum(node.requested_bytes for node in same),
            occurrences=len(same),
        )
        for (op, kernel), same in kernels.items()
    )


def make_ops(record: records.RunRecord, nodes: Sequence[Node] | None = None) -> pd.DataFrame:
    """Node executions of a record made of the same ``nodes``, one after the other in every profiled step."""
    assert record.variant
    nodes = make_nodes(record.variant, record.runtime) if nodes is None else nodes
    rows = []
    for step in range(sum(len(block) for block in record.latency.profiled_s)):
        start_ns = 0
        for index, node in enumerate(nodes):
            rows.append(
                {
                    "step": step,
                    "device": "/device:CPU:0",
                    "thread": 1,
                    "node": f"{node.layer or 'input'}/{node.op}_{index}",
                    "op": node.op,
                    "kernel": node.kernel or node.op,
                    "layer": node.layer,
                    "accelerator": node.accelerator,
                    "start_ns": start_ns,
                    "duration_ns": node.duration_ns,
                    "self_ns": float(node.duration_ns),
                    "profiler_us": node.duration_ns // 1000,
                    "requested_bytes": node.requested_bytes,
                    "persistent_bytes": node.requested_bytes if node.op == "FIFOQueueV2" else 0,
                }
            )
            start_ns += node.duration_ns
    return pd.DataFrame(rows).astype({"step": "int32"})


def make_failure(
    variant: str = "stride2",
    runtime: str = "unfused",
    error: str = "out of memory",
    run_id: str = RUN_ID,
) -> records.FailureRecord:
    """A run that ended in an error."""
    return records.FailureRecord(
        run_id=run_id,
        series=run_id,
        purpose="study",
        created="2026-11-24T00:00:00+00:00",
        variant=variant,
        runtime=runtime,
        error=error,
    )


def write_run(store: Store, record: records.RunRecord) -> Path:
    """Stores a record made of the default nodes as a measurement would."""
    traced = TracedFiles(make_ops(record), "Profile:\nConv2D | 22.84MB (100.00%, 31.86%)\n", b"")
    return store.write_run(record, traced if record.is_traced else None)


def make_check(
    *ratios: float, noise: float = 0.0, machine: records.MachineRecord | None = None
) -> machine_records.CheckRecord:
    """A check in ``stock``: rounds whose first session takes ``ratio`` times as long as the second, in all its parts.

    Args:
        ratios: One for each round; as few rounds as may be, without a difference, unless given.
        noise: Standard deviation of the first session's blocks.
        machine: Where it took place.
    """
    rng = np.random.default_rng(0)
    rounds = []
    for ratio in ratios or (1.0,) * CHECK_ROUNDS:
        first_s = tuple((ratio * float(1 + noise * rng.standard_normal()),) for _ in range(8))
        parts = tuple(
            machine_records.PartRecord(layer="conv1", op=op, first_s=ratio, second_s=1.0) for op in ("Conv2D", "Relu")
        )
        rounds.append(machine_records.PairRecord(first_s=first_s, second_s=((1.0,),) * len(first_s), parts=parts))
    return machine_records.CheckRecord(
        created="2026-11-24T00:00:00+00:00",
        runtime="stock",
        batch_size=BATCH,
        machine=machine or make_machine("stock"),
        rounds=tuple(rounds),
    )


def make_resolution(smallest_ratio: float, **changes: Any) -> Resolution:
    """A check without rounds, whose layers differ as whole steps do."""
    ratios = dict.fromkeys(("smallest_ratio", "unseen_ratio", "kernel_ratio", "side_ratio"), smallest_ratio)
    return Resolution(**{"rounds": (), "excluding": 0, "width": 0.01, **ratios, **changes})


def make_roofline(**changes: Any) -> machine_records.RooflineRecord:
    """Round limits: 10 MAC per byte is where the roof bends, with one thread and with both."""
    fields = {
        "schema_version": 2,
        "cpu": "Made-up CPU",
        "threads": 2,
        "peak_macs_per_s_1_thread": 50e9,
        "peak_macs_per_s_all_threads": 100e9,
        "bandwidth_bytes_per_s_1_thread": 5e9,
        "bandwidth_bytes_per_s_all_threads": 10e9,
        "busy_percent": 1.5,
        "created": "2026-11-24T00:00:00+00:00",
    }
    return machine_records.RooflineRecord(**{**fields, **changes})


def open_session(frozen: Any, runtime: str, images: Any, labels: Any) -> Any:
    """A session of TensorFlow's without its runtime's adapter, which would ask for a process of its own."""
    from cnnprof_lib.measure.runtimes import session

    kinds = {"stock": session.ArrayFedSession, "unfused": session.QueueFedSession}
    return kinds[runtime](frozen, images if isinstance(images, tuple) else (images,), labels)
