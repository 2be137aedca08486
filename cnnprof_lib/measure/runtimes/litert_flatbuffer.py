"""What stands in a flatbuffer of LiteRT's that was made of a frozen graph.

An operator is called after the nodes of the graph that it computes: ``conv1/Relu;conv1/BiasAdd;conv1/convolution``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..models.graph import FrozenGraph

CONVERTING = ("QUANTIZE", "DEQUANTIZE")
_OPS = {
    **{"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2dNative", "FULLY_CONNECTED": "MatMul"},
    **{"MAX_POOL_2D": "MaxPool", "AVERAGE_POOL_2D": "AvgPool", "LOCAL_RESPONSE_NORMALIZATION": "LRN", "ADD": "AddV2"},
    **{"CONCATENATION": "ConcatV2"},
}
"""TensorFlow's name of an operator where it is not the same in another spelling."""


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
class Port:
    """An input or the output of a flatbuffer; ``dtype`` as NumPy calls it."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Contents:
    """What stands in a flatbuffer."""

    inputs: tuple[Port, ...]
    output: Port
    operators: tuple[Operator, ...]


def read_flatbuffer(flatbuffer: bytes, frozen: FrozenGraph) -> Contents:
    """Reads a flatbuffer that was made of a frozen graph."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(flatbuffer, 0)
    graph = model.Subgraphs(0)
    kinds, types = (_names(getattr(schema, name)) for name in ("BuiltinOperator", "TensorType"))
    nodes = {node.name: number for number, node in enumerate(frozen.graph_def.node)}  # each after what it reads
    feeds = dict(zip(graph.InputsAsNumpy().tolist(), (feed.node for feed in frozen.feeds), strict=True))
    returned = frozen.outputs[0].partition(":")[0]
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
        node = _last_node(names, nodes) if kind not in CONVERTING else ""
        node = frozen.logits_name if node == returned else node
        if not node or node in taken:
            node = f"{kind.lower()}({reads[0] if reads else names})"
        operators.append(Operator(kind, node, reads, types[graph.Tensors(outputs[0]).Type()]))
        makers |= dict.fromkeys(outputs, node)

    def tensor(number: int) -> Port:
        found = graph.Tensors(number)
        shape = tuple(found.ShapeAsNumpy().tolist()) if found.ShapeLength() else ()
        return Port(found.Name().decode(), shape, types[found.Type()].lower())

    return Contents(tuple(map(tensor, feeds)), tensor(int(graph.Outputs(0))), tuple(operators))


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _last_node(names: str, nodes: dict[str, int]) -> str:
    """The node that comes last in the graph, of names joined by semicolons; empty where none is a node.

    The converter makes a name unique by a number after it.
    """
    found = [name if name in nodes else re.sub(r"\d+$", "", name) for name in names.split(";")]
    return max((name for name in found if name in nodes), key=nodes.__getitem__, default="")
