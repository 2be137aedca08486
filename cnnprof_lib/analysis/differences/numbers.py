"""Where the time went: from the latency of one run to that of another, layer by layer, each change with its cause.

What one step takes on average has to be additive, or the parts would not sum to the whole: medians are not. Means are,
but a few disturbed steps move them, and they would stand in one layer as a cost of the network. So each run is
represented by its middle half: profiled steps are ranked by their whole duration, and all layers are averaged over the
same middle half of the steps (the interquartile mean of the step). What then separates this traced step from the
median unprofiled one is what tracing adds, which has a step of its own.

Processes differ by more than many changes are worth, so ``before`` is brought to the conditions of ``after``: all its
times are multiplied by the drift, the median step of the baseline in the process of ``after`` over that in its own.

The runs are of two networks in one runtime, or of one network in two. Then the drift is that of the reference, and a
layer changes by its kernels and by conversions between layouts or number formats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...base.errors import MeasureError
from ...records.run import RunRecord
from ..conditions import unlike
from ..estimates import are_units, bootstrap, ends
from ..frames import NO_LAYER, UNATTRIBUTED, computations, require_traced
from ..resolution import Resolution, is_beyond
from .levels import Floats, Level, Timed, Units, multiply_adds, timed
from .matching import BOTH, Pair, matched_layers

MACS = "MACs"
RATE = "rate"
SIDE_OPS = "side operations"
KERNELS = "kernels"
CONVERSIONS = "conversions"
TRACING = "tracing"
OF_NETWORKS, OF_RUNTIMES = (MACS, RATE, SIDE_OPS), (MACS, KERNELS, CONVERSIONS)
"""Why a layer changes: from one network to another, and from one runtime to another, in which no MACs change."""
CAUSES = tuple(dict.fromkeys([*OF_NETWORKS, *OF_RUNTIMES, UNATTRIBUTED, TRACING]))
"""Why a step of the waterfall is there; the rows of these causes sum to the difference of the latencies."""
LATENCY = "latency"
"""Cause of the two rows between which the waterfall falls."""
DIFFERENCE = "difference"
"""Cause of the last row: one latency less the other, with its own interval."""

LEAST_CHANGE_SHARE = 1e-3
"""Own choice: no change of a layer by a smaller share of the step is told. Where a session's memory lies changes short
ops by microseconds, whatever share of their own time that is."""
MOST_DRAWN = 16
"""What a figure has room for."""
RESAMPLES = 1999
"""Fewer than for a single estimate: each resample averages all steps of both runs anew, by layer."""
_SUM_TOLERANCE_S = 1e-9


def waterfall(
    before: RunRecord,
    before_ops: pd.DataFrame,
    after: RunRecord,
    after_ops: pd.DataFrame,
    resolution: Resolution | None = None,
) -> pd.DataFrame:
    """Steps from the latency of one run to that of another: of two networks in a runtime, or of one network in two.

    A layer's own kernels (`MAC_OPS`) change by `MACS`, the products they compute more or less at the rate of before
    (see `MachineRecord.multiplies_padding`), and by `RATE`, the rest; everything else it runs is `SIDE`. Layers are
    paired by `matched_layers`; one without its like is all MACs, for there is no rate to compare with. `TRACING` takes
    out again what tracing adds to the one and not to the other: the traced step (see above) less the median unprofiled
    one, after less before, negative. Between two runtimes a layer changes by `KERNELS`, whatever they compute, and by
    `CONVERSIONS`.

    Args:
        before: The run to start from; its times are multiplied by ``drift``. For the baseline, whose own unprofiled
            steps give the drift, this makes the first latency the one timed between the steps of ``after``.
        before_ops: Its node executions, as `Store.read_ops` returns them.
        after: The run to arrive at, its times as they are.
        after_ops: Its node executions.
        resolution: What the machine can tell apart, of whole steps and of layers; None where it was not checked.

    Returns:
        ``layer``, ``cause``, ``presence`` (whether both networks have the layer), ``change_s`` with
        ``change_s_low`` and ``change_s_high``, seconds per step of one batch.
        The first row is the latency of ``before`` (``layer`` is the variant or the runtime); then the steps: layers in
        the network's order, `NO_LAYER`, `UNATTRIBUTED`, `TRACING`; then the latency of ``after``, and last the
        `DIFFERENCE`, which the steps sum to. Each row carries ``before``, ``after`` and their ``run_id`` and
        ``runtime``, ``batch_size``, ``drift`` and ``smallest_ratio`` of the resolution. The intervals are 95%,
        bootstrapped over the rounds of each run, whose blocks share the state of the machine, or over its processes if
        these `are_units`. Where rounds are drawn, what two sessions of one network differ by, in each layer and as a
        whole, widens them. They are missing where a run has too few of either.

    Raises:
        MeasureError: the runs were not made alike or not traced, or ops and record do not belong together.
    """
    across = before.runtime != after.runtime
    _refuse_unlike(before, after)
    for run in (before, after):
        require_traced(run)
    layers = _layers(before, before_ops, after, after_ops)
    # Where one network has no such layer, it has no executions and products under the other's name either.
    names = [pair.before or str(pair.after) for pair in layers], [pair.after or str(pair.before) for pair in layers]
    if across:
        bases_s, is_kernel, macs = (before.latency.reference_s, after.latency.reference_s), computations, None
    else:
        own_s = before.latency.plain_s if before.is_baseline else before.latency.baseline_s
        bases_s, is_kernel = (own_s, after.latency.baseline_s), multiply_adds
        macs = np.array([_macs(record, own) for record, own in zip((before, after), names, strict=True)])
    old = timed(before, before_ops, names[0], bases_s[0], is_kernel)
    new = timed(after, after_ops, names[1], bases_s[1], is_kernel)
    over_processes = all(are_units(record.latency.processes) for record in (before, after))
    change_s, low_s, high_s = _estimated(old, new, macs, None if over_processes else resolution)
    labels = _labels(before, after, layers, macs, (old, new))
    table = pd.DataFrame(labels, columns=["layer", "cause", "presence", "happens"]).assign(
        change_s=change_s,
        change_s_low=low_s,
        change_s_high=high_s,
        before=before.name,
        before_run_id=before.run_id,
        before_runtime=before.runtime,
        after=after.name,
        after_run_id=after.run_id,
        after_runtime=after.runtime,
        batch_size=after.batch_size,
        drift=np.median(new.baseline_s) / np.median(old.baseline_s) if all(bases_s) else np.nan,
        smallest_ratio=resolution.smallest_ratio if resolution else np.nan,
    )
    return check_balance(table[table.pop("happens")].reset_index(drop=True))


def _macs(record: RunRecord, layers: Sequence[str]) -> list[float]:
    """Products that the kernels of each layer compute of one image; 0 where the network has no such layer."""
    with_padding = record.machine.multiplies_padding
    products = {layer.name: layer.products(with_padding=with_padding) for layer in record.network.layers}
    return [float(products.get(layer, 0)) for layer in layers]


def _estimated(
    old: Timed, new: Timed, macs: Floats | None, resolution: Resolution | None
) -> tuple[Floats, Floats, Floats]:
    """Each row's change with the ends of its interval, which what sessions differ by widens; (rows,) each."""

    def rows(old_units: Units, new_units: Units, axis: int = -1) -> Floats:
        return _changes(old.level(old_units), new.level(new_units), macs).T

    every = np.arange(len(old.plain_s)), np.arange(len(new.plain_s))
    change_s = rows(every[0][None], every[1][None])[:, 0]
    low_s, high_s = bootstrap(every, rows, resamples=RESAMPLES)
    if resolution is None:
        return change_s, low_s, high_s
    reach_s = _reach(old.level(every[0][None]), new.level(every[1][None]), macs, resolution)[0]
    return change_s, change_s - np.hypot(change_s - low_s, reach_s), change_s + np.hypot(high_s - change_s, reach_s)


def waterfall_steps(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `waterfall` that sum to the difference."""
    return table[table["cause"].isin(CAUSES)]


def largest_steps(table: pd.DataFrame) -> pd.DataFrame:
    """A `waterfall` of no more than `MOST_DRAWN` layers: those that change least are one, with a row for each cause.

    Their intervals are missing, for those of single layers do not add up to one.
    """
    of_layers = table["cause"].isin((*OF_NETWORKS, *OF_RUNTIMES)) & (table["layer"] != NO_LAYER)
    by_layer = table[of_layers].groupby("layer", sort=False)["change_s"].agg(lambda changes: changes.abs().sum())
    if len(by_layer) <= MOST_DRAWN:
        return table
    small = by_layer.sort_values(kind="stable").index[: len(by_layer) - MOST_DRAWN + 1]
    folded = of_layers & table["layer"].isin(small)
    rest = table[folded].drop_duplicates("cause").sort_values("cause", key=lambda causes: causes.map(CAUSES.index))
    sums = table[folded].groupby("cause")["change_s"].sum()
    rest = rest.assign(
        layer=f"{len(small)} other layers",
        presence=BOTH,
        change_s=rest["cause"].map(sums),
        change_s_low=np.nan,
        change_s_high=np.nan,
    )
    kept = table[~folded]
    ends = int((of_layers & ~folded)[~folded].to_numpy().nonzero()[0].max()) + 1
    return pd.concat([kept.iloc[:ends], rest, kept.iloc[ends:]], ignore_index=True)


def check_balance(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a `waterfall` whose steps lead from the first latency to the second.

    Raises:
        MeasureError: they do not.
    """
    first_s, last_s = table.loc[table["cause"] == LATENCY, "change_s"]
    total_s = waterfall_steps(table)["change_s"].sum()
    if abs(total_s - (last_s - first_s)) > _SUM_TOLERANCE_S:
        raise MeasureError(
            f"{table['before'].iloc[0]} and {table['after'].iloc[0]}: the steps add up to {total_s:.9f} s, "
            f"but the latencies differ by {last_s - first_s:.9f} s."
        )
    return table


def latency_ratio(table: pd.DataFrame) -> float:
    """Latency of ``after`` over that of ``before``, brought to the same conditions, of a `waterfall`."""
    before_s, after_s = table.loc[table["cause"] == LATENCY, "change_s"]
    return float(after_s / before_s)


def is_distinct(table: pd.DataFrame) -> bool | None:
    """Whether the latencies of a `waterfall` differ by more than the machine's own noise; None where it is unknown."""
    smallest = table["smallest_ratio"].iloc[0]
    return None if np.isnan(smallest) else is_beyond(latency_ratio(table), smallest)


def difference_for_scripts(table: pd.DataFrame) -> dict[str, Any]:
    """The object `cnnprof diff --json` prints, of a `waterfall`: plain dicts, lists, numbers and text."""
    rows: list[dict[Any, Any]] = table.astype(object).to_dict("records")
    first, *between, last, difference = rows
    return {
        **{
            side: {
                "variant": row[side],
                "runtime": row[f"{side}_runtime"],
                "run_id": row[f"{side}_run_id"],
                "latency_s": _shown(row, "median"),
            }
            for side, row in (("before", first), ("after", last))
        },
        "runtime": last["after_runtime"],
        "batch_size": first["batch_size"],
        "drift": None if np.isnan(first["drift"]) else first["drift"],
        "difference_s": _shown(difference, "value"),
        "distinguishable": is_distinct(table),
        "steps": [
            {"layer": row["layer"], "cause": row["cause"], "presence": row["presence"], **_shown(row, "change_s")}
            for row in between
        ],
    }


def _shown(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: row["change_s"], "ci95": ends(row["change_s_low"], row["change_s_high"])}


def _refuse_unlike(before: RunRecord, after: RunRecord) -> None:
    if found := unlike(before, after):
        names = " ".join(dict.fromkeys([before.name, after.name]))
        raise MeasureError(
            f"{before.name} ({before.run_id}) and {after.name} ({after.run_id}) were not run alike: "
            f"{', '.join(found)}. Measure both anew under the same conditions: cnnprof run {names}"
        )


def _layers(before: RunRecord, before_ops: pd.DataFrame, after: RunRecord, after_ops: pd.DataFrame) -> list[Pair]:
    """Layers of both networks, behind them those that only the ops name, and `NO_LAYER`."""
    types = [
        dict.fromkeys([*(layer.name for layer in record.network.layers), *filter(None, ops["layer"].unique())], "")
        | {layer.name: layer.type for layer in record.network.layers}
        for record, ops in ((before, before_ops), (after, after_ops))
    ]
    return [*matched_layers(*types), Pair(NO_LAYER, NO_LAYER)]


def _changes(old: Level, new: Level, macs: Floats | None) -> Floats:
    """Rows in the order of `_labels`, (resamples, rows), with ``old`` brought to the conditions of ``new``."""
    old, by_macs = _brought(old, new, macs)
    change = Level(*(new_s - old_s for new_s, old_s in zip(new, old, strict=True)))
    by_layer = _layer_rows(by_macs, change.kernel_s - by_macs, change.side_s)
    unattributed = new.unattributed_s - old.unattributed_s
    tracing = change.latency_s - change.traced_s
    return np.hstack([old.latency_s, by_layer, unattributed, tracing, new.latency_s, change.latency_s])


def _reach(old: Level, new: Level, macs: Floats | None, resolution: Resolution) -> Floats:
    """How far two sessions of one network may differ in each row of `_changes`, going by what the machine showed.

    Tracing is taken out of steps of one session, whose state it shares; a latency is one session's.
    """
    old, by_macs = _brought(old, new, macs)
    kernel, side, whole = (r - 1 for r in (resolution.kernel_ratio, resolution.side_ratio, resolution.unseen_ratio))
    rate_s = kernel * np.maximum(old.kernel_s + by_macs, new.kernel_s)
    by_layer = _layer_rows(kernel * np.abs(by_macs), rate_s, side * np.maximum(old.side_s, new.side_s))
    unattributed = side * np.maximum(old.unattributed_s, new.unattributed_s)
    none = np.zeros_like(old.latency_s)
    step_s = np.maximum(old.latency_s, new.latency_s)
    return np.hstack([none, np.hypot(by_layer, LEAST_CHANGE_SHARE * step_s), unattributed, none, none, whole * step_s])


def _brought(old: Level, new: Level, macs: Floats | None) -> tuple[Level, Floats]:
    """``old`` at the conditions of ``new``, and what each layer's kernels change by for their MACs alone."""
    old = Level(*(times_s * (new.baseline_s / old.baseline_s) for times_s in old))
    if macs is None:  # one network, the same MACs
        return old, np.zeros_like(new.kernel_s)
    comparable = macs.all(axis=0)
    more = np.divide(macs[1] - macs[0], macs[0], out=np.zeros_like(macs[0]), where=comparable)
    return old, np.where(comparable, old.kernel_s * more, new.kernel_s - old.kernel_s)


def _layer_rows(by_macs: Floats, by_rate: Floats, aside: Floats) -> Floats:
    """Three rows for each layer, (resamples, 3 layers)."""
    return np.stack([by_macs, by_rate, aside], axis=-1).reshape(len(by_macs), -1)


def _labels(
    before: RunRecord, after: RunRecord, layers: Sequence[Pair], macs: Floats | None, both: Sequence[Timed]
) -> list[tuple[str, str, str, bool]]:
    """Layer and cause of each row, whose layer it is, and whether there is anything behind it."""
    kernel_s, side_s = (
        np.sum([getattr(run, part).sum(axis=0) for run in both], axis=0) for part in ("kernel_s", "side_s")
    )
    nothing = np.zeros(len(layers), bool)
    changed, kept = (nothing, kernel_s > 0) if macs is None else (macs[0] != macs[1], macs.all(axis=0))
    by_layer = [
        (layer.label, cause, layer.presence, bool(happens))
        for layer, found in zip(layers, np.stack([changed, kept, side_s > 0], axis=1), strict=True)
        for cause, happens in zip(OF_RUNTIMES if macs is None else OF_NETWORKS, found, strict=True)
    ]
    first, last = (before.runtime, after.runtime) if macs is None else (before.name, after.name)
    ends = [(last, LATENCY, BOTH, True), (DIFFERENCE, DIFFERENCE, BOTH, True)]
    rest = [(UNATTRIBUTED, UNATTRIBUTED, BOTH, True), (TRACING, TRACING, BOTH, True)]
    return [(first, LATENCY, BOTH, True), *by_layer, *rest, *ends]
