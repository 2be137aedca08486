"""Which layer of one network is which of another: those of one name, then those of one type at the same place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from ..frames import layer_order

ARROW = " -> "
"""Between the two names of one layer."""
BOTH, GONE, NEW = "both", "gone", "new"
"""Of which network a layer is: of both, of the first only, of the second only."""


class Pair(NamedTuple):
    """A layer of the first network and what it is in the second, None where there is none; never both."""

    before: str | None
    after: str | None

    @property
    def label(self) -> str:
        """The layer's name, or both: ``conv1 -> stem``."""
        names = [name for name in dict.fromkeys(self) if name is not None]
        return ARROW.join(names)

    @property
    def presence(self) -> str:
        """One of `BOTH`, `GONE` and `NEW`."""
        return NEW if self.before is None else GONE if self.after is None else BOTH


def matched_layers(before: Mapping[str, str], after: Mapping[str, str]) -> list[Pair]:
    """Pairs the layers of two networks, and leaves those that only one has by themselves.

    Layers of one name are a pair, whatever their types; where the networks share none, those that a folder of theirs
    tells apart. Of the others, those that follow the same pair are compared in their order, and those of one type
    become pairs: in ``conv1, relu1`` and ``stem, norm, act``, the two convolutions
    and the two activations.

    Args:
        before: Names of the first network's layers, in its order, each with its type; empty where it is not known.
        after: The same of the second.

    Returns:
        Every layer once: those of the first in its order, and each that only the second has behind its predecessor.
    """
    old_names = {name: name for name in after if name in before} or _by_last_word(before, after)
    behind = _behind(before, set(old_names.values())), _behind(after, set(old_names), old_names)
    for anchor, old in behind[0].items():
        old_names |= _by_type(before, old, after, behind[1].get(anchor, []))
    of_after = {old_names.get(name, name): name for name in after}
    pairs = [Pair(name if name in before else None, of_after.get(name)) for name in layer_order(before, of_after)]
    return [pair for pair in pairs if pair != (None, None)]  # `layer_order` ends in what is no layer


def _by_last_word(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Names of ``after`` with those of ``before``, if only folders differ: ``mobilenetv2/conv1`` and ``conv1``."""
    last = [{name.rpartition("/")[2]: name for name in names} for names in (before, after)]
    unique = len(last[0]) == len(before) and len(last[1]) == len(after)
    return {last[1][word]: last[0][word] for word in last[1] if word in last[0]} if unique else {}


def _behind(names: Mapping[str, str], known: set[str], called: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Runs of names that are not known, by the known one that each follows, as it is ``called``; "" where none is."""
    anchor, runs = "", dict[str, list[str]]()
    for name in names:
        if name in known:
            anchor = (called or {}).get(name, name)
        else:
            runs.setdefault(anchor, []).append(name)
    return runs


def _by_type(
    before: Mapping[str, str], old: Sequence[str], after: Mapping[str, str], new: Sequence[str]
) -> dict[str, str]:
    """Names of ``new``, each with that of ``old``, where layers of the same types come in the same order."""
    old, new = ([name for name in run if of[name]] for of, run in ((before, old), (after, new)))
    types = [before[name] for name in old], [after[name] for name in new]
    found = SequenceMatcher(None, *types, autojunk=False).get_matching_blocks()
    return {new[block.b + i]: old[block.a + i] for block in found for i in range(block.size)}
