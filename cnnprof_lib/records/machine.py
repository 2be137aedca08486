"""What a machine shows of itself, and of the profiles made on it: checks, rooflines, second opinions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..base.spec import NonNegativeFloat, PositiveFloat, Spec
from .conditions import BUSY_PERCENT, Blocks, MachineRecord, Share


class PartRecord(Spec):
    """The ops of one kind in one layer of two sessions: the median of the profiled steps, in seconds."""

    layer: str
    """Empty for ops around the network."""
    op: str
    first_s: NonNegativeFloat
    second_s: NonNegativeFloat


class PairRecord(Spec):
    """Steps of two sessions of one network, in seconds; their blocks alternate in random order."""

    first_s: Annotated[Blocks, Field(min_length=1)]
    """Unprofiled steps, by block."""
    second_s: Annotated[Blocks, Field(min_length=1)]
    parts: tuple[PartRecord, ...] = ()
    """Of the profiled steps; empty where the runtime cannot trace."""


class CheckRecord(Spec):
    """The baseline timed against itself: what this machine calls a difference where there is none."""

    schema_version: Literal[1] = 1
    created: str
    runtime: str
    batch_size: Annotated[int, Field(gt=0)]
    machine: MachineRecord
    rounds: Annotated[tuple[PairRecord, ...], Field(min_length=1)]
    """Each with sessions of its own."""

    def is_of(self, machine: MachineRecord) -> bool:
        """Whether it says something of runs on a machine."""
        return self.machine.key == machine.key


class RooflineRecord(Spec):
    """The two limits of a processor, as measured: how fast it multiplies and how fast it reaches memory."""

    schema_version: Literal[1, 2] = 1
    """2: `busy_percent` is of the time of measuring. 1, also where there is none: of the half second before."""
    cpu: str
    threads: Annotated[int, Field(gt=0)]
    """Number behind ``_all_threads``: the logical cores this process may use."""
    peak_macs_per_s_1_thread: PositiveFloat
    """Most float32 multiply-adds per second in a matrix product."""
    peak_macs_per_s_all_threads: PositiveFloat
    bandwidth_bytes_per_s_1_thread: PositiveFloat
    """Most bytes per second, read and written together, in a copy of arrays that no cache holds."""
    bandwidth_bytes_per_s_all_threads: PositiveFloat
    busy_percent: NonNegativeFloat
    """Processor time others used meanwhile: on a busy machine the limits come out too low."""
    created: str
    """UTC, ISO 8601."""
    machine: MachineRecord | None = None
    """Not told in older records."""

    @property
    def is_undisturbed(self) -> bool:
        """Whether it is known that the machine was not busy with anything else."""
        return self.schema_version > 1 and self.busy_percent <= BUSY_PERCENT

    def is_of(self, machine: MachineRecord) -> bool:
        """Whether it says something of runs on a machine."""
        if self.machine is None:
            return (self.cpu, self.threads) == (machine.cpu, machine.logical_cores)
        return self.machine.key == machine.key

    def best_with(self, other: RooflineRecord) -> RooflineRecord:
        """The same with the higher of each limit: whatever disturbs a measurement only lowers it."""
        return self.model_copy(update={name: max(getattr(self, name), getattr(other, name)) for name in _LIMITS})


_LIMITS = (
    "peak_macs_per_s_1_thread",
    "peak_macs_per_s_all_threads",
    "bandwidth_bytes_per_s_1_thread",
    "bandwidth_bytes_per_s_all_threads",
)


class OpShares(Spec):
    """One op's share of the time of all ops that both sides know."""

    op: str
    our_share: Share
    xprof_share: Share

    @property
    def difference_pp(self) -> float:
        """Ours less XProf's, in percentage points."""
        return 100 * (self.our_share - self.xprof_share)


class ComparisonRecord(Spec):
    """Shares per op of one variant in one runtime, by us and by XProf."""

    schema_version: Literal[1] = 1
    created: str
    variant: str
    runtime: str
    machine: MachineRecord
    preset: str
    steps: Annotated[int, Field(gt=0)]
    """Steps on each side."""
    ops: Annotated[tuple[OpShares, ...], Field(min_length=1)]
    """The largest of our shares first."""
    left_out: tuple[str, ...]
    """Ops that only one side knows: TensorFlow's tracer skips the cheapest kernels and those that wait."""
    left_out_share: Share
    """Their share of our kernel time."""
    own_difference_pp: Annotated[float, Field(ge=0)]
    """The largest difference between our own odd and even blocks: how much of a difference is the machine's."""

    @property
    def largest(self) -> OpShares:
        """The op on which the two differ most."""
        return max(self.ops, key=lambda op: abs(op.difference_pp))

    @property
    def largest_difference_pp(self) -> float:
        """How far the two differ on it, in percentage points; never negative."""
        return abs(self.largest.difference_pp)
