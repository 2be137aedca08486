"""Layers of a graph by the scopes of its nodes, where nothing else tells which layer made which."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_NUMBERED = re.compile(r"_\d+$")
_CALLS = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")
_PASSAGES = "Func/"
"""Scope of the nodes that lead into functions and out of them."""
_WITHIN_A_LAYER = frozenset({"batchnorm", "moments", "Tensordot", "convolution", "einsum", "normalize", "dropout"})
"""Scopes that TensorFlow's own functions make within a layer."""
_NO_WORK = ("Const", "Identity", "NoOp", "Placeholder")


def layers_by_scope(ops: Mapping[str, str]) -> Callable[[str], tuple[str, str]]:
    """Tells the layer of a node by its scope: the scope without the calls of functions and what all have in common.

    A scope that is called like a node is that node's own.

    Args:
        ops: The op of each node, by node name.
    """
    nodes = {tuple(_parts(name)) for name in ops}

    def scope_of(node: str) -> tuple[list[str], list[str]]:
        *scope, own = _parts(node)
        for length in range(1, len(scope) + 1):
            if tuple(scope[:length]) in nodes or scope[length - 1] in _WITHIN_A_LAYER:
                return scope[: length - 1], [*scope[length - 1 :], own]
        return scope, [own]

    working = [name for name, op in ops.items() if op not in _NO_WORK and not name.startswith(_PASSAGES)]
    scopes = [scope for name in working if (scope := scope_of(name)[0])]
    shared = 0
    while scopes and all(len(scope) > shared + 1 and scope[shared] == scopes[0][shared] for scope in scopes):
        shared += 1
    # Keras numbers all scopes of a graph in which their names are taken: of `conv_1` and `pool_1` both.
    found = [_NUMBERED.search(scope[-1]) for scope in scopes]
    ends = {match[0] if match else "" for match in found}
    numbered = ends.pop() if len(ends) == 1 else ""

    layers = set(map(tuple, scopes))

    def layer_of(node: str) -> tuple[str, str]:
        scope, own = scope_of(node)
        while scope and tuple(scope) not in layers:  # nothing works there: it is a part of the layer around it
            own = [scope[-1], *own]
            scope = scope[:-1]
        if node.startswith(_PASSAGES) or not scope[shared:]:
            return "", node
        return "/".join(part.removesuffix(numbered) for part in scope[shared:]), "/".join(own)

    return layer_of


def _parts(node: str) -> list[str]:
    return [part for part in node.split("/") if not _CALLS.fullmatch(part)]
