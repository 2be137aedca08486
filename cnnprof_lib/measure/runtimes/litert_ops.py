"""Which operator each thing that LiteRT timed belongs to, and for which layer it works.

XNNPACK takes whole parts of a flatbuffer and times operators of its own, which it calls by their kind alone. They come
in the order of the flatbuffer, with some that XNNPACK adds between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

from ..models.executed import trace_layers
from ..models.graph import FrozenGraph
from .contract import Profile
from .litert_api import BUILTIN, Event
from .litert_flatbuffer import CONVERTING, Operator

_XNNPACK = {
    "Average Pooling": ("AVERAGE_POOL_2D", "MEAN"),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Clamp": ("RELU", "RELU6", "RELU_N1_TO_1"),
    "Constant Pad": ("PAD", "PADV2"),
    "Convert": CONVERTING,
    "Convolution": ("CONV_2D", "DEPTHWISE_CONV_2D"),
    "Copy": ("CONCATENATION", "RESHAPE"),
    "Deconvolution": ("TRANSPOSE_CONV",),
    "Divide": ("DIV",),
    "Dynamic Fully Connected": ("FULLY_CONNECTED",),
    "Fully Connected": ("FULLY_CONNECTED", "CONV_2D"),
    "Invalid Unary Op": ("ADD", "SUB", "MUL", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "GELU", "EXP", "SQRT", "RSQRT"),
    "Max Pooling": ("MAX_POOL_2D",),
    "Multiply": ("MUL",),
    "Negate": ("NEG",),
    "Reciprocal Square Root": ("RSQRT",),
    "Sigmoid": ("LOGISTIC",),
    "Slice": ("SLICE", "STRIDED_SLICE", "SPLIT"),
    "Square Root": ("SQRT",),
    "Static Reshape": ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    "Subtract": ("SUB",),
    "Sum": ("SUM", "MEAN"),
}
"""The operators that XNNPACK runs by its own of a name, where that is not the same in another spelling.

A table that it looks int8 values up in, for several operators at once, it calls an invalid one."""
_MACS = ("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
"""Operators that XNNPACK never computes within another."""
_AFTER = ("Clamp", "Copy", "Slice")
"""What XNNPACK adds after an operator; anything else that it adds comes before one."""
_MOVES = ("Convert", "Static Reshape", "Transpose")
"""What XNNPACK adds at will, which is therefore no sign that it has come to an operator of that kind."""


class Work(NamedTuple):
    """What an event is the time of.

    Attributes:
        operator: The operator it belongs to; None where that is not known.
        is_own: Whether it computes the operator, or something before or after it.
    """

    operator: Operator | None
    is_own: bool


def assign(events: Sequence[Event], operators: Sequence[Operator]) -> list[Work]:
    """Finds what each event is the time of.

    A kernel of LiteRT's own names its operator by number. XNNPACK's operators are matched in order with those that are
    not LiteRT's own; an operator that is passed over is computed within the next. What XNNPACK adds belongs to the
    operator that it is for.

    Args:
        events: Of one step, `BUILTIN` and `DELEGATED` alone.
        operators: The flatbuffer's.
    """
    built_in = {event.number for event in events if event.kind == BUILTIN}
    waiting = [operator for number, operator in enumerate(operators) if number not in built_in]
    found: list[Work] = []
    early: list[int] = []
    last: Operator | None = None
    for event in events:
        if event.kind == BUILTIN:
            found.append(Work(operators[event.number], is_own=True))
            continue
        name = short_name(event.tag)
        within_reach = next((i for i, operator in enumerate(waiting) if operator.kind in _MACS), len(waiting)) + 1
        reached = enumerate(waiting[:within_reach])
        position = next((i for i, operator in reached if _runs(name, operator.kind)), None)
        if position is not None and (position == 0 or name not in _MOVES):
            last = waiting[position]
            del waiting[: position + 1]
            for number in early:
                found[number] = Work(last, is_own=False)
            early = []
            found.append(Work(last, is_own=True))
        elif name in _MOVES:
            early.append(len(found))
            found.append(Work(None, is_own=False))
        else:
            found.append(Work(last if name in _AFTER else None, is_own=False))
    return found


def short_name(tag: str) -> str:
    """``Convolution`` for ``Convolution (NHWC, F32) IGEMM``."""
    return tag.partition(" (")[0]


def _runs(name: str, kind: str) -> bool:
    """Whether XNNPACK runs operators of a kind by its own of a name."""
    return kind in _XNNPACK.get(name, ()) or name.upper().replace(" ", "") == kind.replace("_", "")


def activations_apart(
    events: Sequence[Event], work: Sequence[Work], nodes: Mapping[str, Any]
) -> tuple[list[Work], dict[str, tuple[Operator, ...]]]:
    """Makes two of an operator that ends with an activation and whose activation XNNPACK computes by itself.

    Args:
        events: As handed to `assign`.
        work: What it found.
        nodes: The frozen graph's, by name.

    Returns:
        What each event is the time of, and the two operators by the node of the one.
    """
    halves: dict[str, tuple[Operator, ...]] = {}
    for event, (operator, is_own) in zip(events, work, strict=True):
        node = nodes.get(operator.node) if operator else None
        if operator and node and node.op.startswith("Relu") and not is_own and short_name(event.tag) == "Clamp":
            inner = replace(operator, node=node.input[0].partition(":")[0])
            halves[operator.node] = inner, replace(operator, kind=node.op.upper(), reads=(inner.node,))

    def half(event: Event, found: Work) -> Work:
        inner, outer = halves.get(found.operator.node if found.operator else "", (found.operator, found.operator))
        is_outer = short_name(event.tag) == "Clamp" and inner is not outer
        return Work(outer, is_own=True) if is_outer else Work(inner, found.is_own)

    return [half(event, found) for event, found in zip(events, work, strict=True)], halves


def _graph(
    operators: Sequence[Operator],
    work: Sequence[Work],
    halves: Mapping[str, tuple[Operator, ...]],
    frozen: FrozenGraph,
) -> list[Any]:
    """What is executed as nodes; the operators without a time of their own are left out, and read through."""
    timed = {found.operator.node for found in work if found.operator and found.is_own}
    through: dict[str, tuple[str, ...]] = {}
    graph = [SimpleNamespace(name=feed.node, op="Placeholder", input=(), attr={}) for feed in frozen.feeds]
    for operator in (half for whole in operators for half in halves.get(whole.node, (whole,))):
        reads = tuple(dict.fromkeys(node for read in operator.reads for node in through.get(read, (read,))))
        if operator.node in timed:
            graph.append(SimpleNamespace(name=operator.node, op=operator.op, input=reads, attr={}))
        else:
            through[operator.node] = reads
    return graph


class Ran(NamedTuple):
    """What stands of an event in a table of executions, beside its time."""

    node: str
    op: str
    kernel: str
    layer: str


@dataclass(frozen=True)
class Executed:
    """What LiteRT executes in a step: a row per event, and what else is to be told of it."""

    rows: tuple[Ran, ...]
    profile: Profile


def executed(events: Sequence[Event], operators: Sequence[Operator], frozen: FrozenGraph, precision: str) -> Executed:
    """Finds out what each event of a step is, and for which layer.

    Args:
        events: Of one step, `BUILTIN` and `DELEGATED` alone.
        operators: The flatbuffer's.
        frozen: The network.
        precision: What the flatbuffer is for: floats are islands in an ``int8`` one.
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    work, halves = activations_apart(events, assign(events, operators), nodes)
    graph = trace_layers(nodes.values(), _graph(operators, work, halves, frozen), frozen.owners)
    rows, fell_back = [], {}
    unowned, conversions = set(), set()
    for event, (operator, is_own) in zip(events, work, strict=True):
        name, is_builtin = short_name(event.tag), event.kind == BUILTIN
        kernel = f"{event.tag} {operator.dtype}" if operator and is_builtin else f"XNNPACK {event.tag}"
        if operator is None:
            unowned.add(event.tag)
            rows.append(Ran(event.tag, name.replace(" ", ""), kernel, ""))
            continue
        node = operator.node if is_own else f"{operator.node}:{name}"
        layer = graph.layer_of(operator.node) or next(filter(None, map(graph.layer_of, operator.reads)), "")
        op = operator.op if is_own else {"Static Reshape": "Reshape"}.get(name, name.replace(" ", ""))
        rows.append(Ran(node, op, kernel, layer))
        is_conversion = operator.kind in CONVERTING if is_own else name in _MOVES
        if is_conversion:
            conversions.add(node)
        islands = ["floats"] if precision == "int8" and operator.dtype == "FLOAT32" and not is_conversion else []
        if reasons := ["a kernel of LiteRT's own"] * is_builtin + islands:
            fell_back[node] = ", ".join(reasons)
    profile = Profile(
        fused_into=graph.fused_into,
        unowned=frozenset(unowned),
        conversions=frozenset(conversions),
        fell_back=fell_back,
    )
    return Executed(tuple(rows), profile)
