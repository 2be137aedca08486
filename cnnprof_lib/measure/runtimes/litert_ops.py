"""The operators of a flatbuffer of LiteRT's, and which of them each thing that LiteRT timed belongs to.

An operator is called after the nodes of the graph that it computes: ``conv1/Relu;conv1/BiasAdd;conv1/convolution``.
XNNPACK takes whole parts of a flatbuffer and times operators of its own, which it calls by their kind alone. They come
in the order of the flatbuffer, with some that XNNPACK adds between them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

from ..models.executed import trace_layers
from ..models.graph import FrozenGraph
from .contract import Profile
from .litert_api import BUILTIN, Event

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_OPS = {
    **{"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2dNative", "FULLY_CONNECTED": "MatMul"},
    **{"MAX_POOL_2D": "MaxPool", "AVERAGE_POOL_2D": "AvgPool", "LOCAL_RESPONSE_NORMALIZATION": "LRN", "ADD": "AddV2"},
    **{"CONCATENATION": "ConcatV2"},
}
"""TensorFlow's name of an operator where it is not the same in another spelling."""
_XNNPACK = {
    "Average Pooling": ("AVERAGE_POOL_2D", "MEAN"),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Clamp": ("RELU", "RELU6", "RELU_N1_TO_1"),
    "Constant Pad": ("PAD", "PADV2"),
    "Convert": CONVERSIONS,
    "Convolution": ("CONV_2D", "DEPTHWISE_CONV_2D"),
    "Copy": ("CONCATENATION", "RESHAPE"),
    "Deconvolution": ("TRANSPOSE_CONV",),
    "Divide": ("DIV",),
    "Dynamic Fully Connected": ("FULLY_CONNECTED",),
    "Fully Connected": ("FULLY_CONNECTED",),
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
"""The operators that XNNPACK runs by its own of a name, where that is not the same in another spelling."""
_AFTER = ("Clamp", "Copy", "Slice")
"""What XNNPACK adds after an operator; anything else that it adds comes before one."""
MOVES = ("Convert", "Copy", "Static Reshape", "Transpose")
"""What XNNPACK adds at will, which is therefore no sign that it has come to an operator of that kind."""


@dataclass(frozen=True)
class Operator:
    """An operator of a flatbuffer.

    Attributes:
        kind: As LiteRT calls it, ``CONV_2D``.
        node: The last node of the frozen graph that it computes, or a name of its own.
        reads: The nodes of operators and feeds whose values it reads.
        dtype: Of its output, ``INT8``.
    """

    kind: str
    node: str
    reads: tuple[str, ...]
    dtype: str

    @property
    def op(self) -> str:
        """Its name in TensorFlow."""
        return _OPS.get(self.kind, "".join(part.capitalize() for part in self.kind.split("_")))


@dataclass(frozen=True)
class Tensor:
    """An input or the output of a flatbuffer; ``dtype`` as NumPy calls it."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Contents:
    """What stands in a flatbuffer."""

    inputs: tuple[Tensor, ...]
    output: Tensor
    operators: tuple[Operator, ...]


def read_flatbuffer(flatbuffer: bytes, frozen: FrozenGraph) -> Contents:
    """Reads a flatbuffer that was made of a frozen graph."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(flatbuffer, 0)
    graph = model.Subgraphs(0)
    kinds, types = (_names(getattr(schema, name)) for name in ("BuiltinOperator", "TensorType"))
    nodes = {node.name: number for number, node in enumerate(frozen.graph_def.node)}  # each after what it reads
    feeds = dict(zip(graph.InputsAsNumpy().tolist(), (feed.node for feed in frozen.feeds), strict=True))
    makers: dict[int, str] = dict(feeds)
    operators = []
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        outputs = operator.OutputsAsNumpy().tolist()
        reads = tuple(dict.fromkeys(makers[t] for t in operator.InputsAsNumpy().tolist() if t in makers))
        names = graph.Tensors(outputs[0]).Name().decode()
        taken = set(makers.values())
        node = _last_node(names, nodes) if kind not in CONVERSIONS else ""
        if not node or node in taken:
            node = f"{kind.lower()}({reads[0] if reads else names})"
        operators.append(Operator(kind, node, reads, types[graph.Tensors(outputs[0]).Type()]))
        makers |= dict.fromkeys(outputs, node)

    def tensor(number: int) -> Tensor:
        found = graph.Tensors(number)
        shape = tuple(found.ShapeAsNumpy().tolist()) if found.ShapeLength() else ()
        return Tensor(found.Name().decode(), shape, types[found.Type()].lower())

    return Contents(tuple(map(tensor, feeds)), tensor(int(graph.Outputs(0))), tuple(operators))


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _last_node(names: str, nodes: dict[str, int]) -> str:
    """The node that comes last in the graph, of names joined by semicolons; empty where none is a node.

    The converter makes a name unique by a number after it.
    """
    found = [name if name in nodes else re.sub(r"\d+$", "", name) for name in names.split(";")]
    return max((name for name in found if name in nodes), key=nodes.__getitem__, default="")


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
        position = next((i for i, operator in enumerate(waiting) if _runs(name, operator.kind)), None)
        if position is not None and (position == 0 or name not in MOVES):
            last = waiting[position]
            del waiting[: position + 1]
            for number in early:
                found[number] = Work(last, is_own=False)
            early = []
            found.append(Work(last, is_own=True))
        elif name in MOVES and not (name == "Copy" and last and last.kind == "CONCATENATION"):
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
        if operator and node and not is_own and short_name(event.tag) == "Clamp":
            inner = replace(operator, node=node.input[0].partition(":")[0])
            halves[operator.node] = inner, replace(operator, kind=node.op.upper(), reads=(inner.node,))

    def half(event: Event, found: Work) -> Work:
        inner, outer = halves.get(found.operator.node if found.operator else "", (found.operator, found.operator))
        is_outer = short_name(event.tag) == "Clamp" and inner is not outer
        return Work(outer, is_own=True) if is_outer else Work(inner, found.is_own)

    return [half(event, found) for event, found in zip(events, work, strict=True)], halves


class Row(NamedTuple):
    """What stands of an event in a table of executions, beside its time."""

    node: str
    op: str
    kernel: str
    layer: str


@dataclass(frozen=True)
class Executed:
    """What LiteRT executes in a step: a row per event, and what else is to be told of it."""

    rows: tuple[Row, ...]
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
    ran = [half for operator in operators for half in halves.get(operator.node, (operator,))]
    feeds = [SimpleNamespace(name=feed.node, op="Placeholder", input=(), attr={}) for feed in frozen.feeds]
    graph = trace_layers(
        nodes.values(),
        [*feeds, *(SimpleNamespace(name=o.node, op=o.op, input=o.reads, attr={}) for o in ran)],
        frozen.owners,
    )
    rows, fell_back = [], {}
    unowned, conversions = set(), set()
    for event, (operator, is_own) in zip(events, work, strict=True):
        name, is_builtin = short_name(event.tag), event.kind == BUILTIN
        kernel = f"{event.tag} {operator.dtype}" if operator and is_builtin else f"XNNPACK {event.tag}"
        if operator is None:
            unowned.add(event.tag)
            rows.append(Row(event.tag, name.replace(" ", ""), kernel, ""))
            continue
        node = operator.node if is_own else f"{operator.node}:{name}"
        layer = graph.layer_of(operator.node) or next(filter(None, map(graph.layer_of, operator.reads)), "")
        op = operator.op if is_own else {"Static Reshape": "Reshape"}.get(name, name.replace(" ", ""))
        rows.append(Row(node, op, kernel, layer))
        is_conversion = operator.kind in CONVERSIONS if is_own else name in MOVES
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
