"""How weights came about."""

from __future__ import annotations

from typing import Literal

from ..base import units
from ..base.spec import NonNegativeFloat, PositiveFloat, Spec
from ..params.settings import RecipeSpec
from ..params.variant import VariantSpec
from .conditions import MachineRecord
from .run import AccuracyRecord


class HistoryRow(Spec):
    """The state of a training at one step; loss and accuracy are means over the batches since the last row."""

    step: int
    loss: float
    accuracy: float
    learning_rate: float
    """Of the step after."""
    images_per_s: float
    step_s: float | None = None
    """Median time of a step since the last row, input included; unlike ``images_per_s`` it knows no pauses."""
    held_out_accuracy: float | None = None
    """Of the weights as they would have been kept at this step."""

    def describe(self) -> str:
        """Loss, accuracy and speed in a line."""
        accuracy = units.percent(self.accuracy, 1)
        if self.held_out_accuracy is not None:
            accuracy += f", held out {units.percent(self.held_out_accuracy, 1)}"
        return f"loss {self.loss:.3f}, accuracy {accuracy}, {self.images_per_s:,.0f} images/s"

    def describe_rest(self, recipe: RecipeSpec) -> str:
        """How far a training by ``recipe`` is, and how long it will still take."""
        left_s = (recipe.steps - self.step) * recipe.batch_size / self.images_per_s
        return f"step {self.step} of {recipe.steps}, {left_s / 60:.1f} min left"


class TrialRecord(Spec):
    """What came of a training that only compares networks: the test images were not read, its weights are not kept."""

    created: str
    machine: MachineRecord
    dataset: str
    dataset_sha256: str
    held_out: AccuracyRecord
    """Of the images held out."""
    seconds: NonNegativeFloat
    """Spent in training steps and input, as in `TrainingRecord`."""
    step_s: PositiveFloat
    """Median time of a step."""
    history: tuple[HistoryRow, ...]


class TrainingRecord(Spec):
    """How a set of weights came about; stored beside them.

    What has a default is missing in the oldest records.
    """

    schema_version: Literal[1] = 1
    variant: VariantSpec
    recipe: str
    """Its name."""
    settings: RecipeSpec | None = None
    """The recipe in full."""
    teacher_sha256: str | None = None
    """Of the weights of the teacher that the recipe names."""
    created: str | None = None
    """UTC, ISO 8601."""
    machine: MachineRecord | None = None
    steps: int
    batch_size: int
    seed: int
    held_out_seed: int | None = None
    """Of the choice of the images held out."""
    dataset: str
    dataset_sha256: str
    classes: tuple[str, ...] = ()
    """Of the data set, in the order of the network's outputs; empty in older records."""
    seconds: float
    """Time spent in training steps and input, summed over resumed parts; evaluation left out. A process that was
    stopped or had to share the processor has this booked too: `step_s` times the steps leaves it out."""
    step_s: float | None = None
    """Median time of a step, of the medians in the history."""
    held_out: AccuracyRecord | None
    """Of the images that everything was chosen by."""
    test: AccuracyRecord
    """Of the test images, which were read once, at the end."""
    weights_sha256: str
    history: tuple[HistoryRow, ...]

    @property
    def images_per_s(self) -> float | None:
        """Images trained on per second, by the median step."""
        return self.batch_size / self.step_s if self.step_s else None

    @property
    def machine_in_words(self) -> str:
        """What times of trainings must have in common to be compared, in words: processor, cores, kernels.

        Empty in older records. oneDNN tells processors apart that older records call by one name.
        """
        if self.machine is None:
            return ""
        cores = units.counted(self.machine.logical_cores, "core")
        return f"{self.machine.cpu}, {cores}{'' if self.machine.onednn else ', oneDNN off'}"

    @property
    def but_for_chance(self) -> str:
        """What it came out of, but for its seed; of older records only the number of steps is known."""
        if self.settings is None:
            return str(self.steps)
        return self.settings.model_dump_json(exclude={"seed", "checkpoint_every"})

    def repeats(self, other: TrainingRecord) -> bool:
        """Whether it trained the same network by the same recipe, with any seed; true of itself."""
        return (self.variant, self.recipe, self.but_for_chance) == (other.variant, other.recipe, other.but_for_chance)
