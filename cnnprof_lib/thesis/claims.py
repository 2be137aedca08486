"""The thesis's claims as data: what it says in this project's words, its numbers, and the rule each is judged by."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Annotated

import yaml
from pydantic import Field, TypeAdapter

from ..base.spec import NonNegativeFloat, PositiveInt, Spec

_Text = Annotated[str, Field(min_length=1)]


class Number(Spec):
    """One published number."""

    value: NonNegativeFloat
    unit: str = ""
    plus_minus: NonNegativeFloat = 0.0
    """What a rounded number leaves open on either side, in the same unit; 0 where the rule does not ask."""

    @property
    def range(self) -> tuple[float, float]:
        """What the number may mean, its rounding considered."""
        return self.value - self.plus_minus, self.value + self.plus_minus

    def __str__(self) -> str:
        """The number with its unit: ``72.02%``, ``100,000 steps``."""
        number = f"{self.value:,.2f}".rstrip("0").rstrip(".")
        return f"{number}{self.unit}" if self.unit.startswith("%") else f"{number} {self.unit}".rstrip()


class Claim(Spec):
    """One claim of the thesis."""

    number: PositiveInt
    claim: _Text
    source: _Text
    """Page, table or section of the thesis."""
    published: Mapping[str, Number]
    """Its numbers by what they are of; empty where it gives none."""
    criteria: Mapping[str, Number] = Field(default_factory=dict)
    """Numbers that the rule needs and the thesis does not give."""
    rule: _Text
    """When this project's runs bear the claim out; a function under the decorator `rules.rule` computes it."""


@functools.cache
def load_claims() -> tuple[Claim, ...]:
    """The claims of claims.yaml, in the order of their numbers."""
    text = resources.files(__package__).joinpath("claims.yaml").read_text(encoding="utf-8")
    claims = TypeAdapter(tuple[Claim, ...]).validate_python(tuple(yaml.safe_load(text)))
    return tuple(sorted(claims, key=lambda claim: claim.number))


def published_numbers(claim: int) -> Mapping[str, Number]:
    """The published numbers of the claim with that number, by what they are of."""
    return next(found.published for found in load_claims() if found.number == claim)
