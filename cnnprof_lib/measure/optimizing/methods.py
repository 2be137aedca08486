"""The methods that make a trained network cheaper, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from ...params.network import Network
from ...records.optimized import MethodName
from .norms import folded_norms, lrn_to_batch_norm, without_lrn
from .prune import prune
from .split import low_rank, separable
from .subject import Subject

_MOST_NAMED = 6


@dataclass(frozen=True)
class Method:
    """One way to make a network cheaper.

    Attributes:
        apply: Makes another model; None where there is nothing to change.
        is_exact: Whether that computes the same, so that nothing is to be trained on.
        comes_again: Whether it can be applied again to what it made, to come further down.
    """

    apply: Callable[[Subject], keras.Model | None]
    is_exact: bool = False
    comes_again: bool = False


METHODS: dict[MethodName, Method] = {
    "fold": Method(folded_norms, is_exact=True),
    "no-lrn": Method(without_lrn),
    "lrn-to-bn": Method(lrn_to_batch_norm),
    "prune": Method(prune, comes_again=True),
    "low-rank": Method(low_rank),
    "separable": Method(separable),
}
"""By their names on the command line."""


def changes(before: Network, after: Network) -> str:
    """What a method changed, in words."""
    old, new = ({layer.name: layer for layer in network.layers} for network in (before, after))
    texts = [
        *(f"without {name}" for name in old if name not in new),
        *(f"{name} added" for name in new if name not in old),
    ]
    for name, one in old.items():
        other = new.get(name, one)
        if one.type != other.type:
            texts.append(f"{name} {one.type} to {other.type}")
        elif one.macs and one.output_shape != other.output_shape:
            texts.append(f"{name} {one.output_shape[-1]} to {other.output_shape[-1]}")
    more = f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
    return ", ".join(texts[:_MOST_NAMED]) + more
