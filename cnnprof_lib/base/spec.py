"""The base class of all that is read or stored, and the numbers that it is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .errors import one_line

LARGEST = 2**31 - 1
"""What TensorFlow's 32-bit attributes and sizes hold."""
PositiveInt = Annotated[int, Field(gt=0, le=LARGEST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=LARGEST)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Spec(BaseModel):
    """Base of everything read or stored: immutable, no unknown keys, no silent conversion of types.

    Its texts are ones that can be shown, whatever a file holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator("*", check_fields=False)
    @classmethod
    def _clean(cls, value: Any) -> Any:
        if isinstance(value, str):
            return one_line(value)
        if isinstance(value, tuple) and value and isinstance(value[0], str):
            return tuple(map(one_line, value))
        if isinstance(value, dict):
            return {key: cls._clean(inner) for key, inner in value.items()}
        return value
