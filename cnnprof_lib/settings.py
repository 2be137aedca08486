"""How to train (recipes) and how to measure (presets), as read from ``params/``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .layers import Fraction, NonNegativeFloat, PositiveInt, Spec

Runtime = Literal["unfused", "stock"]
Purpose = Literal["study", "scaling"]
GENERATED = "generated"
"""The source of images that are made up."""
RUNTIMES: tuple[Runtime, ...] = ("unfused", "stock")


class Augmentation(Spec):
    """What a training image goes through besides the random crop to the network's input size."""

    flip: bool = False
    brightness: NonNegativeFloat = 0.0
    """Largest brightness change, in steps of the 0 to 255 scale."""
    contrast: Annotated[tuple[float, float], Field(strict=False)] | None = None
    """Range of the contrast factor."""


class RecipeSpec(Spec):
    """A training recipe: Nesterov SGD, the learning rate up to ``peak_rate`` and down to zero in one cycle."""

    name: str
    steps: PositiveInt
    batch_size: PositiveInt
    peak_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    momentum: Fraction
    warmup_share: Fraction
    """Share of the steps in which the rate rises."""
    augmentation: Augmentation
    held_out: Annotated[int, Field(ge=0)]
    """Training images kept aside to choose by; never trained on."""
    checkpoint_every: PositiveInt
    """Steps between checkpoints."""
    seed: int


class RunRequest(Spec):
    """One run to make: what `cnnprof run` hands to the notebook, and the notebook to `measure.run`."""

    variant: str
    """A file of ``params/``."""
    runtime: Runtime
    preset: str
    """A file of ``params/presets/``: how many steps of what batch."""
    source: str = ""
    """A folder or archive of images; ``generated`` makes them up; empty takes CNNPROF_DATA or the cache."""
    run_id: str
    series: str
    """Shared by the runs of one command, which the report pools."""
    batch_size: PositiveInt | None = None
    """Images per step, in place of the preset's."""
    threads: PositiveInt | None = None
    """Threads TensorFlow may use; None leaves it the choice."""

    @property
    def purpose(self) -> Purpose:
        """``study`` for a run under the preset's own conditions, ``scaling`` for one under others."""
        return "study" if self.batch_size is None and self.threads is None else "scaling"


class PresetSpec(Spec):
    """How much to measure, and of what."""

    name: str
    variants: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    runtimes: Annotated[tuple[Runtime, ...], Field(min_length=1, strict=False)]
    batch_size: PositiveInt
    warmup_steps: PositiveInt
    blocks: Annotated[int, Field(ge=2)]
    """Blocks of each kind (profiled, unprofiled, baseline); they alternate in random order."""
    steps_per_block: PositiveInt
    processes: PositiveInt = 1
    """Processes per variant and runtime; the variants' order is shuffled between rounds of processes."""
    check_rounds: Annotated[int, Field(ge=0)] = 0
    """Rounds of the baseline against itself with which a report first finds out what the machine can tell apart, and
    then what it can do at most; 0 leaves both to the commands `check` and `roofline`."""
    seed: int

    @property
    def steps(self) -> int:
        """Steps of each kind in one run."""
        return self.blocks * self.steps_per_block
