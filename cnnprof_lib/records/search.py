"""What a search predicted, tried and chose."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ..base.spec import PositiveFloat, Spec
from ..params.search import SearchSpec
from ..params.settings import RecipeSpec
from ..params.variant import VariantSpec
from .training import TrialRecord

_Networks = Annotated[int, Field(ge=0)]


class ForecastRecord(Spec):
    """The latency that was predicted of a network: seconds per step of one batch, with a 95% interval."""

    latency_s: PositiveFloat
    low_s: PositiveFloat
    high_s: PositiveFloat
    ratio: PositiveFloat
    """To the predicted latency of the search's baseline in the reference runtime."""
    ratio_low: PositiveFloat
    ratio_high: PositiveFloat
    outside: tuple[str, ...]
    """Layers unlike any that were calibrated. The interval does not hold for them."""


class CandidateRecord(Spec):
    """A network that a search tries, and what came of it."""

    schema_version: Literal[1] = 1
    variant: VariantSpec
    """Its layers, from which its multiply-adds and parameters follow."""
    picked: bool
    """Whether a person named it, rather than the search."""
    predicted: ForecastRecord
    recipe: RecipeSpec
    """The proxy that it is tried by."""
    teacher_sha256: str | None = None
    """Of the weights of the teacher that the proxy names."""
    trial: TrialRecord | None = None
    """None until it was tried."""

    @property
    def key(self) -> str:
        """Names its file: the network's name and a hash of the layers and of all that they learn by."""
        network = self.variant.model_dump_json(include={"input", "classes", "layers"}, exclude_defaults=True)
        made_of = "\n".join((network, self.recipe.model_dump_json(exclude_defaults=True), self.teacher_sha256 or ""))
        return f"{self.variant.name}-{hashlib.sha256(made_of.encode()).hexdigest()[:8]}"


class SearchRecord(Spec):
    """A search as it was started last."""

    schema_version: Literal[1] = 1
    created: str
    spec: SearchSpec
    recipe: RecipeSpec
    """What the finalists are trained by."""
    networks: _Networks
    """In the space."""
    within: _Networks
    """Predicted within the ratios that the search asks for."""
    maybe_slower: _Networks
    """Of those within, with an interval that goes beyond the target."""
    maybe_within: _Networks
    """Predicted slower than the target, with an interval that it lies in."""
    calibrations: Mapping[str, str]
    """When each runtime was calibrated that predictions were made for, UTC, ISO 8601."""
    candidates: tuple[str, ...]
    """Keys of their records, the networks that a person picked included."""
    finalists: tuple[str, ...] = ()
    """Keys of those chosen to be trained in full; empty until all were tried."""
