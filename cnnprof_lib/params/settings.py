"""How to train (recipes) and how to measure (presets), as read from ``params/``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ..base import units
from ..base.spec import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Spec
from .model import Preprocessing, network_name
from .runtimes import runtime_names

Purpose = Literal["study", "scaling", "sweep"]
GENERATED = "generated"
"""The source of images that are made up."""
NO_BASELINE = ""
"""In place of a baseline's name: nothing is compared."""
DEFAULT_RECIPE = "fast"
"""What trains a variant unless another file of ``params/recipes/`` is named."""

ITSELF = "itself"
"""The name of a teacher that is the network as it was before it was changed."""
CHECK_ROUNDS = 19
"""Fewest rounds of a check: that a new ratio stays within the largest of 19 others has the odds 19 to 20, 95%."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What NumPy's and Keras' generators take."""


class Sgd(Spec):
    """Gradient descent, plain unless a momentum is given."""

    type: Literal["sgd"]
    momentum: Fraction = 0.0
    nesterov: bool = False


class AdamW(Spec):
    """Adam with decoupled weight decay, `keras.optimizers.AdamW`."""

    type: Literal["adamw"]
    weight_decay: NonNegativeFloat
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999


class Muon(Spec):
    """Momentum made orthogonal, `keras.optimizers.Muon`, on all kernels but the last layer's; Adam on the rest.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, with the step size of Liu
    et al., "Muon is scalable for LLM training", arXiv 2502.16982, which suits both kinds of weights.
    """

    type: Literal["muon"]
    momentum: Fraction = 0.95
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled: each step first takes ``rate * weight_decay`` of a weight away."""
    decayed: Literal["all", "l2"] = "all"
    """``l2``: only the weights to which the variant gives an L2, in place of that L2, whose part of a gradient means
    nothing once the step is made orthogonal: Loshchilov and Hutter, arXiv 1711.05101, say the same of Adam."""


class Constant(Spec):
    """One learning rate throughout."""

    type: Literal["constant"]
    rate: PositiveFloat


class OneCycle(Spec):
    """Up in a straight line to ``peak_rate``, then down to zero along a half cosine."""

    type: Literal["one_cycle"]
    peak_rate: PositiveFloat
    warmup_share: Fraction
    """Share of the steps in which the rate rises."""


class Staircase(Spec):
    """``rate``, multiplied by ``factor`` after every ``every`` steps."""

    type: Literal["staircase"]
    rate: PositiveFloat
    factor: Annotated[float, Field(gt=0, le=1)]
    every: PositiveInt


class Augmentation(Spec):
    """What a training image goes through: a random crop to the network's input size, and these."""

    shift: NonNegativeInt | None = None
    """How many pixels the crop may lie off the centre, up, down and to the sides; null for as far as it can go."""
    pad: NonNegativeInt = 0
    """How many pixels the crop may reach beyond the image, which is mirrored there."""
    flip: bool = False
    brightness: NonNegativeFloat = 0.0
    """Largest brightness change, in steps of the 0 to 255 scale."""
    contrast: Annotated[tuple[NonNegativeFloat, NonNegativeFloat], Field(strict=False)] | None = None
    """Range of the contrast factor."""
    standardize: Literal["after_colour", "before_colour"] = "after_colour"
    """Whose mean and deviation become 0 and 1: the image's with its colours changed, as in the TensorFlow tutorial,
    which undoes any change of brightness, or those it had before, so that the network sees the change."""


class Teacher(Spec):
    """A trained network whose answers are learnt beside the labels: distillation.

    The loss is ``(1 - weight) * L + weight * temperature**2 * D``: L of the labels, D the Kullback-Leibler divergence
    of the network's probabilities from the teacher's, both of logits divided by the temperature.
    Sources: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv 1503.02531; that both see
    the same crop, Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", arXiv 2106.05237.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """A file of ``params/`` that has reference weights; `ITSELF` where a changed network is trained on."""
    temperature: PositiveFloat
    weight: Annotated[float, Field(gt=0, le=1)]
    epochs: PositiveInt
    """After so many the same batches return, so that the teacher is asked once for each, and its answers are kept."""


class RecipeSpec(Spec):
    """A training recipe. L2 is not part of it: it belongs to the layers of a variant."""

    name: str
    optimizer: Annotated[Sgd | AdamW | Muon, Field(discriminator="type")]
    schedule: Annotated[Constant | OneCycle | Staircase, Field(discriminator="type")]
    steps: PositiveInt
    batch_size: PositiveInt
    augmentation: Augmentation
    label_smoothing: Fraction = 0.0
    """Share of the right class's probability that is shared out evenly among all classes."""
    teacher: Teacher | None = None
    averaging: Fraction = 0.0
    """Decay of a moving average of the weights, which is then what is evaluated and kept; 0 for none.
    After n steps the decay is min(averaging, (1 + n) / (10 + n)), see `tf.train.ExponentialMovingAverage`."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Of the training steps; weights are kept and evaluated in float32."""
    held_out: NonNegativeInt
    """Training images kept aside to choose by; never trained on."""
    checkpoint_every: PositiveInt
    """Steps between checkpoints, and between rows of the history."""
    seed: Seed
    """Of the initial weights, the order of the images and their augmentation."""

    @property
    def l2_is_decay(self) -> bool:
        """Whether the layers' L2 is left out of the loss, for the optimiser's own decay to take its place."""
        return isinstance(self.optimizer, Muon) and self.optimizer.decayed == "l2"

    @property
    def key(self) -> str:
        """Names the folder of a training by this recipe: ``thesis-seed1``."""
        return f"{self.name}-seed{self.seed}"


def _known(name: str) -> str:
    """Refuses what is no runtime's name."""
    if name not in (names := runtime_names()):
        rule = {"key": "runtimes", "rule": f"must be of {', '.join(names)}", "value": name}
        raise PydanticCustomError("rule", "{rule}", rule)
    return name


RuntimeName = Annotated[str, AfterValidator(_known)]


class RunRequest(Spec):
    """One run to make: what `cnnprof run` hands to the notebook, and the notebook to `measure.run`."""

    variant: str
    """A file of ``params/``, or a model: its file, its folder, or the dotted name of a function that builds it."""
    runtime: str
    """One of `runtimes.runtime_names`."""
    preset: str
    """A file of ``params/presets/``: how many steps of what batch."""
    baseline: str | None = None
    """A variant or model, which this one is compared with in the same process; None for the preset's, `NO_BASELINE`
    for none."""
    source: str = ""
    """A folder or archive of images; ``generated`` makes them up; empty takes CNNPROF_DATA or the cache."""
    input_shape: Annotated[tuple[PositiveInt, ...], Field(strict=False)] | None = None
    """Of one image, for a model that leaves sizes open; this and the next three hold for models alone."""
    signature: str | None = None
    """Of a SavedModel that has several."""
    trusted: bool = False
    """Whether code that a model's file brings along may be run."""
    preprocessing: Preprocessing | None = None
    """Of images that are named; None for none."""
    train: Literal["never", "if missing", "always"] = "never"
    """Whether to train reference weights first."""
    recipe: str = DEFAULT_RECIPE
    """A file of ``params/recipes/``: how, if so."""
    run_id: str
    series: str
    """Shared by the runs of one command, which the report pools."""
    batch_size: PositiveInt | None = None
    """Images per step, in place of the preset's."""
    threads: PositiveInt | None = None
    """Threads that the runtime may use; None leaves it the choice."""

    @property
    def name(self) -> str:
        """What the network is called."""
        return network_name(self.variant)

    @property
    def purpose(self) -> Purpose:
        """``study`` for a run under the preset's own conditions, ``scaling`` for one under others."""
        return "study" if self.batch_size is None and self.threads is None else "scaling"

    def describe(self) -> str:
        """What is run and under which conditions of its own: ``stride2 stock, batch of 64, 2 threads``."""
        batch = f", batch of {self.batch_size}" if self.batch_size else ""
        threads = f", {units.counted(self.threads, 'thread')}" if self.threads else ""
        return f"{self.name} {self.runtime}{batch}{threads}"


class PresetSpec(Spec):
    """How much to measure, and of what."""

    name: str
    variants: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    runtimes: Annotated[tuple[RuntimeName, ...], Field(min_length=1, strict=False)]
    other_runtimes: Annotated[tuple[RuntimeName, ...], Field(strict=False)] = ()
    """More of them, which compare by the reference. One that is not installed is passed over."""
    baseline: str | None = None
    """What the variants are compared with: a file of ``params/``. Without one ratios are missing."""
    batch_size: PositiveInt
    warmup_steps: PositiveInt
    blocks: Annotated[int, Field(ge=2)]
    """Blocks of each kind (profiled, unprofiled, baseline); they alternate in random order."""
    other_blocks: Annotated[int, Field(ge=2)] | None = None
    """The same in ``other_runtimes``; null for as many."""
    steps_per_block: PositiveInt
    processes: PositiveInt = 1
    """Processes per variant and runtime; the variants' order is shuffled between rounds of processes."""
    check_rounds: NonNegativeInt = 0
    """Rounds of the baseline against itself, `CHECK_ROUNDS` at least, with which a report first finds out what the
    machine can tell apart, and then what it can do at most; 0 leaves both to the commands `check` and `roofline`."""
    seed: Seed

    @model_validator(mode="after")
    def _check_rounds_suffice(self) -> PresetSpec:
        if 0 < self.check_rounds < CHECK_ROUNDS:
            rule = {"key": "check_rounds", "rule": f"must be 0 or at least {CHECK_ROUNDS}", "value": self.check_rounds}
            raise PydanticCustomError("rule", "{rule}", rule)
        return self

    def in_runtime(self, name: str) -> PresetSpec:
        """The preset as it is in one runtime."""
        is_other = name in self.other_runtimes and self.other_blocks is not None
        return self.model_copy(update={"blocks": self.other_blocks}) if is_other else self

    @property
    def steps(self) -> int:
        """Steps of each kind in one run."""
        return self.blocks * self.steps_per_block
