"""Layers of a graph by the scopes of its nodes, where nothing else tells which layer made which."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_CALLS = ("StatefulPartitionedCall", "PartitionedCall")
_WITHIN_A_LAYER = frozenset({"batchnorm", "moments", "Tensordot", "convolution", "einsum", "normalize", "dropout"})
"""Scopes that TensorFlow's own functions make within a layer."""


def layers_by_scope(nodes: Iterable[str]) -> Callable[[str], tuple[str, str]]:
    """Tells the layer of a node by its scope: the scope without the calls of functions and what all have in common.

    Args:
        nodes: Names of all nodes that compute something.
    """
    scopes = [_scopes(name) for name in nodes if _scopes(name)]
    shared = 0
    while scopes and all(len(scope) > shared + 1 and scope[shared] == scopes[0][shared] for scope in scopes):
        shared += 1

    def layer_of(node: str) -> tuple[str, str]:
        scope, own = _scopes(node), node.rpartition("/")[2]
        kept = scope[shared:]
        inner = next((i for i, part in enumerate(kept) if part in _WITHIN_A_LAYER), len(kept))
        layer, rest = kept[:inner], [*kept[inner:], own]
        return ("/".join(layer), "/".join(rest)) if layer else ("", node)

    return layer_of


def _scopes(node: str) -> list[str]:
    return [part for part in node.split("/")[:-1] if not part.startswith(_CALLS)]
