"""Searches: a space of networks, how they are tried and which of them are wanted, as ``params/searches/`` names them.

A space says what may be chosen for each part of a network, where a sweep changes keys of one that is there: the number
of blocks is a choice, too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..base.errors import VariantError
from ..base.spec import NonNegativeFloat, PositiveFloat, PositiveInt, Spec
from . import reading
from .settings import RuntimeName
from .sweep import MOST_RUNS
from .variant import InputSpec, VariantSpec

BlockKind = Literal["residual", "plain", "separable"]
"""Of a block: two 3x3 convolutions beside a shortcut (He et al., 2015); one 3x3 convolution; a depthwise 3x3 and a 1x1
convolution (MobileNet). Each convolution has a batch normalisation, and a ReLU before the next."""
Sizes = Annotated[tuple[PositiveInt, ...], Field(strict=False, min_length=1)]

_LETTERS: dict[BlockKind, str] = {"residual": "", "plain": "p", "separable": "s"}
_MOST_BLOCKS = 64
"""Of a stage. Own choice."""
_LONGEST_NAME = 60
"""Letters that a variant's file may have for a name."""


class Stem(Spec):
    """The first convolution."""

    filters: Sizes
    kernel: Sizes = (3,)
    stride: Sizes = (1,)

    def size(self) -> int:
        """How many there are at most."""
        return len(self.filters) * len(self.kernel) * len(self.stride)

    def choices(self) -> list[tuple[int, int, int]]:
        """Filters, kernel and stride of each."""
        return list(dict.fromkeys(itertools.product(self.filters, self.kernel, self.stride)))


class BlockChoice(NamedTuple):
    """What a stage may be."""

    blocks: int
    kind: BlockKind | None
    """None where there are no blocks."""
    filters: int
    stride: int
    """Of its first block."""


class Stage(Spec):
    """Blocks of one kind and width, one after the other; the first may have a stride."""

    blocks: Annotated[tuple[Annotated[int, Field(ge=0, le=_MOST_BLOCKS)], ...], Field(strict=False, min_length=1)]
    """How many; 0 leaves the stage out."""
    kind: Annotated[tuple[BlockKind, ...], Field(strict=False, min_length=1)] = ("residual",)
    filters: Sizes
    stride: Sizes = (1,)

    def size(self) -> int:
        """How many there are at most."""
        return sum(map(bool, self.blocks)) * len(self.kind) * len(self.filters) * len(self.stride) + (0 in self.blocks)

    def choices(self) -> list[BlockChoice]:
        """Each stage that this may be, a missing one once."""
        combined = itertools.product(self.blocks, self.kind, self.filters, self.stride)
        return list(dict.fromkeys(BlockChoice(*c) if c[0] else BlockChoice(0, None, 0, 1) for c in combined))


class SpaceSpec(Spec):
    """Networks of a stem, stages, a global average and a dense layer, by the choices that each part has."""

    input: InputSpec
    classes: PositiveInt
    l2: NonNegativeFloat = 0.0
    """Of all convolutions."""
    stem: Stem
    stages: Annotated[tuple[Stage, ...], Field(strict=False, min_length=1)]


class SearchSpec(Spec):
    """Which networks to try, and how: those of a space that are predicted fast enough, by short trainings first."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: Annotated[str, Field(min_length=1)]
    space: SpaceSpec
    runtime: RuntimeName
    batch_size: PositiveInt
    baseline: str
    """A file of ``params/``, whose predicted latency in the reference runtime all ratios are to."""
    target_ratio: PositiveFloat
    """Of the predicted latency to that of the baseline: no candidate is predicted slower."""
    least_ratio: NonNegativeFloat = 0.0
    """Nor is any predicted faster: it would lose accuracy for speed that nobody asked for."""
    candidates: PositiveInt
    """How many to try."""
    proxy: str
    """A file of ``params/recipes/``: the short training that they are tried by."""
    finalists: PositiveInt
    """How many to train in full."""
    recipe: str
    """A file of ``params/recipes/``: how."""
    compare: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Files of ``params/`` that a person picked, tried by the same proxy."""

    @model_validator(mode="after")
    def _check(self) -> SearchSpec:
        count = self.space.stem.size() * math.prod(stage.size() for stage in self.space.stages)
        rules = (
            (count > MOST_RUNS, "space", f"must hold at most {MOST_RUNS:,} networks", count),
            (
                self.least_ratio >= self.target_ratio,
                "least_ratio",
                "must be less than `target_ratio`",
                self.least_ratio,
            ),
            (self.finalists > self.candidates, "finalists", "must be at most `candidates`", self.finalists),
            (len(set(self.compare)) < len(self.compare), "compare", "must name each network once", list(self.compare)),
        )
        for broken, key, rule, value in rules:
            if broken:
                raise PydanticCustomError("rule", "{rule}", {"key": key, "rule": rule, "value": value})
        return self


class SpaceNetwork(NamedTuple):
    """One network of a space."""

    variant: VariantSpec
    choices: tuple[object, ...]
    """What was chosen for each part, in one order for all networks of the space."""


def search_file(name: str, params_dir: Path) -> Path:
    """The file of a search."""
    return params_dir / "searches" / f"{name}.yaml"


def load_search(name: str, params_dir: Path) -> SearchSpec:
    """Loads ``params_dir/searches/<name>.yaml``; raises `VariantError` as `reading.validate` does."""
    return reading.load_settings(SearchSpec, name, params_dir / "searches")


def networks_in(search: SearchSpec, params_dir: Path) -> list[SpaceNetwork]:
    """All networks of a search's space. A name says all that was chosen: ``residual-s16d2-32x1d2-p64x2``.

    That is a stem of 16 filters with stride 2, one residual block of 32 filters with stride 2, two plain ones of 64.

    Raises:
        VariantError: one of them cannot be made.
    """
    path, space = search_file(search.name, params_dir), search.space
    found: dict[str, SpaceNetwork] = {}
    stages_of = itertools.product(*(stage.choices() for stage in space.stages))
    for stem, stages in itertools.product(space.stem.choices(), stages_of):
        there = _joined(stages)
        name = f"{search.name}-{_stem_name(*stem)}{''.join(f'-{_stage_name(stage)}' for stage in there)}"
        if name in found:  # of two stages alike, whichever is there
            continue
        if len(name) > _LONGEST_NAME:
            raise VariantError(
                f"{path}: names of networks must have at most {_LONGEST_NAME} letters, for each may become a file. "
                f"Received: {name}. Give the search a shorter name, or fewer stages."
            )
        content = {
            "name": name,
            "title": _title(stem, there),
            "input": space.input.model_dump(),
            "classes": space.classes,
            "layers": _layers(space, stem, there),
        }
        choices = (*stem, *itertools.chain.from_iterable(stages))
        found[name] = SpaceNetwork(reading.validate(VariantSpec, content, path), choices)
    return list(found.values())


def _joined(stages: Sequence[BlockChoice]) -> list[BlockChoice]:
    """The stages that have blocks; one that only goes on with what the one before it does is part of that."""
    found: list[BlockChoice] = []
    for stage in stages:
        if found and stage.stride == 1 and stage[1:3] == found[-1][1:3]:
            found[-1] = found[-1]._replace(blocks=found[-1].blocks + stage.blocks)
        elif stage.blocks:
            found.append(stage)
    return found


def _stem_name(filters: int, kernel: int, stride: int) -> str:
    return f"s{filters}{f'k{kernel}' if kernel != 3 else ''}{f'd{stride}' if stride > 1 else ''}"


def _stage_name(stage: BlockChoice) -> str:
    letter = _LETTERS[stage.kind] if stage.kind else ""
    return f"{letter}{stage.filters}x{stage.blocks}{f'd{stage.stride}' if stage.stride > 1 else ''}"


def _title(stem: tuple[int, int, int], stages: Sequence[BlockChoice]) -> str:
    """``Stem of 16 filters, stride 2; 1 residual block of 32, stride 2; 2 plain blocks of 64``."""
    filters, kernel, stride = stem
    first = f"Stem of {filters} filters{f' {kernel}x{kernel}' if kernel != 3 else ''}{_stride_text(stride)}"
    rest = (
        f"{stage.blocks} {stage.kind} block{'' if stage.blocks == 1 else 's'} of {stage.filters}"
        f"{_stride_text(stage.stride)}"
        for stage in stages
    )
    return "; ".join((first, *rest))


def _stride_text(stride: int) -> str:
    return f", stride {stride}" if stride > 1 else ""


def _layers(space: SpaceSpec, stem: tuple[int, int, int], stages: Sequence[BlockChoice]) -> list[dict[str, Any]]:
    layers = _Layers(space.l2)
    filters, kernel, stride = stem
    before = layers.normed("conv", "conv_bn", "conv_relu", filters=filters, kernel=kernel, stride=stride)
    blocks = [(stage, place == 0) for stage in stages for place in range(stage.blocks)]
    for place, (stage, is_first) in enumerate(blocks, start=1):
        stride = stage.stride if is_first else 1
        before = layers.block(f"block{place}", stage, before, stride, widens=filters != stage.filters)
        filters = stage.filters
    layers.add("mean", "global_avg_pool")
    layers.add("logits", "dense", units=space.classes)
    return layers.all


class _Layers:
    """Collects layers, as they stand in a variant's file."""

    def __init__(self, l2: float) -> None:
        self.all: list[dict[str, Any]] = []
        self._l2 = l2

    def add(self, name: str, type_: str, **keys: Any) -> str:
        self.all.append({"name": name, "type": type_, **keys})
        return name

    def normed(self, name: str, norm: str, relu: str = "", type_: str = "conv", **keys: Any) -> str:
        """A convolution, its normalisation and, if named, its ReLU; returns the name of the last."""
        self.add(name, type_, use_bias=False, l2=self._l2, **keys)
        last = self.add(norm, "batch_norm")
        return self.add(relu, "relu") if relu else last

    def block(self, name: str, stage: BlockChoice, before: str, stride: int, *, widens: bool) -> str:
        """A block behind the layer ``before``; returns the name of its last layer."""
        filters = stage.filters
        if stage.kind == "plain":
            return self.normed(f"{name}_conv", f"{name}_bn", f"{name}_relu", filters=filters, kernel=3, stride=stride)
        if stage.kind == "separable":
            self.normed(f"{name}_depthwise", f"{name}_bn1", f"{name}_relu1", "depthwise_conv", kernel=3, stride=stride)
            return self.normed(f"{name}_pointwise", f"{name}_bn2", f"{name}_relu2", filters=filters, kernel=1)
        self.normed(f"{name}_conv1", f"{name}_bn1", f"{name}_relu1", filters=filters, kernel=3, stride=stride)
        main, side = self.normed(f"{name}_conv2", f"{name}_bn2", filters=filters, kernel=3), before
        if stride > 1 or widens:
            shortcut: dict[str, Any] = {"inputs": [before], "filters": filters, "kernel": 1, "stride": stride}
            side = self.normed(f"{name}_shortcut", f"{name}_shortcut_bn", **shortcut)
        self.add(f"{name}_add", "add", inputs=[side, main])
        return self.add(f"{name}_relu2", "relu")
