"""Under what a run took place: the machine and what else it did, the images, the weights."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Literal

from pydantic import Field

from ..base import units
from ..base.spec import NonNegativeFloat, PositiveFloat, Spec

BUSY_PERCENT = 15.0
"""Of the processors, used by others: more is a busy machine. Own choice: an idle desktop stays well below, one busy
core of four does not."""

Share = Annotated[float, Field(ge=0, le=1)]
Bytes = Annotated[int, Field(ge=0)]
Blocks = tuple[tuple[PositiveFloat, ...], ...]


class MachineRecord(Spec):
    """Where a run took place; two runs are compared only where these agree."""

    cpu: str
    """Name and, on Linux, best instruction set: ``AMD EPYC (AVX-512)``."""
    logical_cores: int
    """That the process could use."""
    memory_bytes: Bytes
    system: str
    python: str
    tensorflow: str
    keras: str
    onednn: bool
    """Whether TensorFlow's oneDNN kernels were in use."""
    gpus: tuple[str, ...]
    host: str = ""
    """Name in the network; empty in older records. Hosts of one kind are compared, but shown apart."""

    @property
    def multiplies_padding(self) -> bool:
        """Whether convolutions computed products with padding: Eigen's kernels do, oneDNN's skip them."""
        return not self.onednn

    @property
    def conditions(self) -> dict[str, str]:
        """What two machines must share for their times to be compared, by name."""
        return {
            "CPU": self.cpu,
            "logical cores": str(self.logical_cores),
            "GPUs": ", ".join(self.gpus) or "none",
            "TensorFlow": self.tensorflow,
            "Keras": self.keras,
        }

    @property
    def key(self) -> str:
        """A name for files, the same for all machines of the same `conditions`."""
        readable = re.sub(r"[^a-z0-9]+", "-", self.cpu.lower())[:40].strip("-")
        return f"{readable}-{hashlib.sha256(repr(self.conditions).encode()).hexdigest()[:8]}"

    @property
    def kind(self) -> str:
        """What hosts of one kind share, as text: processor, cores that a process could use, accelerators."""
        return ", ".join([self.cpu, units.counted(self.logical_cores, "core"), *self.gpus])


class ImagesRecord(Spec):
    """The images that went through the network while it was timed."""

    name: str
    sha256: str | None
    generated: bool
    """True for made-up images, which serve timing only."""
    classes: tuple[str, ...] = ()
    """What the labels number, in order; empty for made-up images."""


class WeightsRecord(Spec):
    """The weights that were profiled."""

    origin: Literal["reference", "file", "initial", "memory"]
    sha256: str
    recipe: str | None
    dataset: str | None


class CalibrationRecord(Spec):
    """What number formats were chosen by."""

    images: Annotated[int, Field(gt=0)]
    which: str
    """Of the training images, never of the test images."""
    tool: str
    """And its version."""


Counts = tuple[tuple[Annotated[int, Field(ge=0)], ...], ...]


class LoadRecord(Spec):
    """What else the machine did while the steps were timed."""

    others_percent: NonNegativeFloat
    """Time of all processors that went to other processes or other virtual machines."""
    cpu_mhz: tuple[PositiveFloat, ...]
    """Clock frequency after each round of blocks; empty where the system does not tell it."""
    plain_faults: Counts
    """Page faults without input or output in each unprofiled step, by block: 4 KiB, as a rule, that the allocator had
    given back and the system hands out anew, zeroed. Empty where the system does not count them."""
    profiled_faults: Counts = ()
    baseline_faults: Counts = ()
