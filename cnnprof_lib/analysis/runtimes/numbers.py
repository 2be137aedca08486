"""One network in several runtimes: how fast each is against the reference, and which layer takes the time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...base.errors import MeasureError, StoreError
from ...params.runtimes import REFERENCE_RUNTIME
from ...records.run import RunRecord
from ...records.store import Store
from ..accuracy.numbers import outcomes_of, paired_loss
from ..differences.numbers import CONVERSIONS, KERNELS, LATENCY, waterfall
from ..estimates import Estimate, is_below, latency, profiled_over_plain, proportion, unattributed_share
from ..frames import UNATTRIBUTED, frame_of, layer_order
from ..profile.numbers import by_layer, kernels
from ..resolution import Resolution, ResolutionOf, not_checked, ratio_to_reference

MOST_TOLD = 3
"""Layers that a sentence names: own choice."""
LEAST_TOLD_SHARE = 0.02
"""Of the step: a smaller change is not named. Own choice."""


class RuntimeRow(NamedTuple):
    """A network in a runtime."""

    variant: str
    runtime: str
    machine: str
    """Its kind."""
    precision: str
    latency_s: float
    ratio: float
    """To the reference, stepped beside it, with its 95% interval."""
    ratio_low: float
    ratio_high: float
    top1: float = math.nan
    top1_low: float = math.nan
    top1_high: float = math.nan
    loss: float = math.nan
    """Share of the test images lost against the same weights in the reference runtime, image by image."""
    loss_low: float = math.nan
    loss_high: float = math.nan
    argmax_share: float = math.nan
    """Images that are given the same class as in the reference runtime."""
    max_abs: float = math.nan
    """Largest difference of an output from there."""
    network_bytes: float = math.nan
    """Resident memory that the runtime and the network add to the process, at its peak."""
    model_bytes: float = math.nan
    """On disk."""
    profiled_over_plain: float = math.nan
    unattributed_share: float = math.nan
    reference: str = ""
    """The network that was stepped beside it in the reference runtime."""


class Contribution(NamedTuple):
    """What a part of a step changes from one runtime to another."""

    part: str
    """A layer, or one of `CONVERSIONS` and `UNATTRIBUTED`."""
    change_s: float
    fell_back: str
    """Why the layer's kernel is not what the runtime is for; empty where it is."""


def by_runtime(runs: Sequence[RunRecord], store: Store, resolution_of: ResolutionOf = not_checked) -> pd.DataFrame:
    """A `RuntimeRow` for each run that has a reference, in their order.

    Args:
        runs: The runs.
        store: Where the outcomes of the test images are.
        resolution_of: Tells what each run's machine can tell apart.
    """
    referred = [run for run in runs if run.reference]
    right = {(run.name, run.runtime, run.machine.kind): _right(store, run) for run in referred}
    return frame_of(RuntimeRow, [_row(run, right, resolution_of(run)) for run in referred])


def _right(store: Store, run: RunRecord) -> pd.DataFrame | None:
    try:
        return outcomes_of(store, run)
    except StoreError:
        return None


def _row(
    run: RunRecord, right: Mapping[tuple[str, str, str], pd.DataFrame | None], resolution: Resolution | None
) -> RuntimeRow:
    row = RuntimeRow(
        run.name,
        run.runtime,
        run.machine.kind,
        run.precision,
        latency(run).value,
        *ratio_to_reference(run, resolution),
        network_bytes=run.memory.rss_bytes - run.memory.rss_start_bytes,
        model_bytes=math.nan if run.model_bytes is None else run.model_bytes,
        profiled_over_plain=profiled_over_plain(run).value,
        unattributed_share=unattributed_share(run),
        reference=run.reference.network if run.reference else "",
    )
    if run.accuracy:
        top1, low, high = proportion(run.accuracy.correct, run.accuracy.images)
        row = row._replace(top1=top1, top1_low=low, top1_high=high)
    base, own = (right.get((run.name, runtime, run.machine.kind)) for runtime in (REFERENCE_RUNTIME, run.runtime))
    if base is not None and own is not None and base["label"].equals(own["label"]):
        hits = [(found["predicted"] == found["label"]).to_numpy() for found in (base, own)]
        loss, low, high = paired_loss(*hits)
        row = row._replace(loss=loss, loss_low=low, loss_high=high)
    if run.agreement:
        share = run.agreement.argmax_share
        row = row._replace(max_abs=run.agreement.max_abs, argmax_share=math.nan if share is None else share)
    return row


def is_slower(table: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of `by_runtime` take longer than the same network in the reference runtime, as far as can be told.

    Ratios compare between processes of one kind of machine.
    """
    rows = table.to_dict("records")
    stock = {(row["variant"], row["machine"]): row for row in rows if row["runtime"] == REFERENCE_RUNTIME}
    found = []
    for row in rows:
        base = stock.get((row["variant"], row["machine"]))
        ratios = [
            Estimate(*(of[key] for key in ("ratio", "ratio_low", "ratio_high"))) for of in (base, row) if of is not None
        ]
        found.append(len(ratios) == 2 and is_below(*ratios) is True)
    return pd.Series(found, index=table.index, dtype=bool)


def layer_times(runs: Sequence[RunRecord], executed: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How long each layer of one network takes in each runtime that tells.

    All times are brought to the conditions of the reference runtime's run by their references, so that they compare.

    Args:
        runs: Of one network, in as many runtimes.
        executed: The node executions of each, by runtime.

    Returns:
        Seconds per step: a row per layer, then `NO_LAYER` and `UNATTRIBUTED`; a column per runtime, first the reference
        runtime.
    """
    columns = {}
    traced = [run for run in runs if run.is_traced and run.reference]
    first = next((run for run in traced if run.runtime == REFERENCE_RUNTIME), traced[0] if traced else None)
    for run in traced:
        layers = by_layer(run, executed[run.runtime]).set_index("layer")["time_s"]
        columns[run.runtime] = layers * (_reference_s(first) / _reference_s(run)) if first else layers
    table = pd.DataFrame(columns)
    names = [
        name for run in traced[:1] for name in layer_order([layer.name for layer in run.network.layers], table.index)
    ]
    runtimes = sorted(table.columns, key=lambda runtime: runtime != REFERENCE_RUNTIME)
    return table.loc[[name for name in names if name in table.index], runtimes]


def _reference_s(run: RunRecord) -> float:
    return float(np.median([np.median(block) for block in run.latency.reference_s]))


def contributions(
    before: RunRecord, before_ops: pd.DataFrame, after: RunRecord, after_ops: pd.DataFrame
) -> tuple[float, list[Contribution]]:
    """Where the time goes from one runtime to another: the change of a step, and what contributes most, both ways.

    Args:
        before: A run, in the reference runtime for instance.
        before_ops: Its node executions.
        after: One of the same network in another runtime.
        after_ops: Its node executions.

    Raises:
        MeasureError: see `waterfall`.
    """
    table = waterfall(before, before_ops, after, after_ops)
    first_s, last_s = table.loc[table["cause"] == LATENCY, "change_s"]
    by_kernel = table[table["cause"] == KERNELS].groupby("layer", sort=False)["change_s"].sum()
    parts = {
        **by_kernel.to_dict(),
        CONVERSIONS: table.loc[table["cause"] == CONVERSIONS, "change_s"].sum(),
        UNATTRIBUTED: table.loc[table["cause"] == UNATTRIBUTED, "change_s"].sum(),
    }
    reasons = kernels(after, after_ops).set_index("layer")["fell_back"]
    least_s = LEAST_TOLD_SHARE * min(first_s, last_s)
    told = [
        Contribution(str(part), float(change_s), str(reasons.get(part, "")))
        for part, change_s in parts.items()
        if abs(change_s) >= least_s
    ]
    told.sort(key=lambda found: -found.change_s)
    return float(last_s - first_s), told


def why(runs: Sequence[RunRecord], executed: Mapping[str, pd.DataFrame]) -> dict[str, tuple[float, list[Contribution]]]:
    """`contributions` of one network from the reference runtime to each other that tells, by runtime."""
    base = next((run for run in runs if run.runtime == REFERENCE_RUNTIME and run.is_traced), None)
    found = {}
    for run in runs if base else ():
        if run is base or not run.is_traced:
            continue
        try:
            found[run.runtime] = contributions(base, executed[REFERENCE_RUNTIME], run, executed[run.runtime])  # type: ignore[arg-type]
        except MeasureError:  # not run alike
            continue
    return found
