"""What a step of a run takes, layer by layer, in any choice of its rounds or processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...base.errors import MeasureError
from ...records.run import BALANCE_TOLERANCE_S, MAC_OPS, RunRecord
from ..estimates import BlocksOfSteps, block_medians, by_unit, unit_of_block
from ..frames import NO_LAYER

Floats = NDArray[np.float64]
Units = NDArray[np.int64]


class Level(NamedTuple):
    """What a step takes in seconds, a row per resample: (resamples, layers), the last three (resamples, 1)."""

    kernel_s: Floats
    side_s: Floats
    traced_s: Floats
    latency_s: Floats
    baseline_s: Floats

    @property
    def unattributed_s(self) -> Floats:
        """What of a traced step no kernel took."""
        kernels_s: Floats = (self.kernel_s + self.side_s).sum(axis=1, keepdims=True)
        return self.traced_s - kernels_s


@dataclass(frozen=True)
class Timed:
    """A run's times in seconds: of each profiled step, and the median unprofiled step of each unit that is drawn."""

    kernel_s: Floats  # (steps, layers)
    side_s: Floats  # (steps, layers)
    step_s: Floats
    unit_of_step: Units
    plain_s: Floats  # (units,)
    baseline_s: Floats  # (units,)

    def level(self, units: Units) -> Level:
        """What a step takes in the drawn units, an array of (resamples, units)."""
        weights = self._middle_half(units)
        # Not `@`, whose many threads wait for each other for seconds where the processor is busy.
        return Level(
            kernel_s=np.einsum("rs,sl->rl", weights, self.kernel_s),
            side_s=np.einsum("rs,sl->rl", weights, self.side_s),
            traced_s=np.einsum("rs,s->r", weights, self.step_s)[:, None],
            latency_s=np.median(self.plain_s[units], axis=1, keepdims=True),
            baseline_s=np.median(self.baseline_s[units], axis=1, keepdims=True),
        )

    def _middle_half(self, units: Units) -> Floats:
        """Weights of the steps in the mean over the middle half of those drawn; (resamples, steps), rows sum to 1."""
        resamples, total = len(units), len(self.plain_s)
        places = units + total * np.arange(resamples)[:, None]
        drawn = np.bincount(places.ravel(), minlength=resamples * total).reshape(resamples, total)
        order = np.argsort(self.step_s, kind="stable")
        times = drawn[:, self.unit_of_step[order]]  # how often each step was drawn, the shortest step first
        upto = times.cumsum(axis=1)
        low, high = upto[:, -1:] / 4, upto[:, -1:] * 3 / 4
        weights = np.empty(times.shape)
        weights[:, order] = (upto.clip(low, high) - (upto - times).clip(low, high)) / (high - low)
        return weights


def multiply_adds(record: RunRecord, executed: pd.DataFrame) -> pd.Series[bool]:
    """Which of a run's node executions do the multiply-adds of a layer."""
    with_macs = [cost.name for cost in record.network.layers if cost.macs]
    return executed["op"].isin(MAC_OPS) & executed["layer"].isin(with_macs)


def timed(
    record: RunRecord,
    executed: pd.DataFrame,
    layers: Sequence[str],
    baseline_s: BlocksOfSteps,
    is_kernel: Callable[[RunRecord, pd.DataFrame], pd.Series[bool]] = multiply_adds,
) -> Timed:
    """Times of a run by step and layer, and of the baseline in its process; ones where there was none.

    Args:
        record: The run.
        executed: Its node executions.
        layers: What to tell apart.
        baseline_s: Steps of what brings two runs to the same conditions, by block.
        is_kernel: Which executions are a layer's own kernels, not what stands beside.

    Raises:
        MeasureError: the executions leave another time unattributed than the record has.
    """
    latency = record.latency
    step_s = np.concatenate(latency.profiled_s)
    own = is_kernel(record, executed)
    kernel_s = _seconds_by_layer(executed[own], len(step_s), layers)
    side_s = _seconds_by_layer(executed[~own], len(step_s), layers)
    unattributed_s = float((step_s - kernel_s.sum(axis=1) - side_s.sum(axis=1)).mean())
    if abs(unattributed_s - record.unattributed_s) > BALANCE_TOLERANCE_S:
        raise MeasureError(
            f"{record.name} ({record.run_id}): its ops leave {unattributed_s:.6f} s of a step unattributed, "
            f"but its record {record.unattributed_s:.6f} s. Pass the ops of the same run."
        )
    processes = latency.processes
    unit_of_round = unit_of_block(len(latency.profiled_s), processes)
    unit_of_step = np.repeat(unit_of_round, [len(block) for block in latency.profiled_s])
    plain = by_unit(block_medians(latency.plain_s), processes)
    baseline = by_unit(block_medians(baseline_s), processes) if baseline_s else np.ones_like(plain)
    return Timed(kernel_s, side_s, step_s, unit_of_step, plain, baseline)


def _seconds_by_layer(executed: pd.DataFrame, total: int, layers: Sequence[str]) -> Floats:
    """Sums of each step and layer, (steps, layers)."""
    named = executed["layer"].replace("", NO_LAYER)
    sums = executed.groupby(["step", named])["self_ns"].sum().unstack()
    return sums.reindex(index=range(total), columns=list(layers)).fillna(0.0).to_numpy(dtype=float) * 1e-9
