"""Which op each printed row of the thesis's tables is of, proved from shapes.

In every table the op names keep one order while the values are sorted by time, so a name does not tell its row. The
bytes do: what an op requests follows from the network's shapes, and a row can only be of an op that its bytes fit. Each
op has one row in a table, which rules out more. Where several ops remain, the row stays ambiguous.

Two kinds of table are told apart. In some, bytes are those requested. In the others they are those of the blocks that
TensorFlow's best-fit allocator gave: each tensor is rounded up to a multiple of 256 bytes, and a free block is split
only if it has at least twice that, so a tensor may take up to, but not, the double. Averages over steps with blocks of
several sizes are no multiples of 256.
Source: tensorflow/core/common_runtime/bfc_allocator.h (``kMinAllocationBits``), bfc_allocator.cc (``FindChunkPtr``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from ..params.costs import FLOAT32_BYTES
from ..params.layers import Conv, Dense, Layer
from ..params.variant import LayerCost, VariantSpec
from . import BATCH_SIZE, FIGURE_OF_TABLE, OP_ABBREVIATIONS, PUBLISHED, QUEUE_EXAMPLES, published_table

AS_PRINTED = "as printed"
REASSIGNED = "reassigned"
AMBIGUOUS = "ambiguous"
UNEXPLAINED = "unexplained"

_OP_OF_LAYER = {"conv": "Conv2D", "lrn": "LRN", "max_pool": "MaxPool", "dense": "MatMul"}
_IN_PLACE = ("BiasAdd", "Relu", "Add", "Identity", "Reshape")
"""Ops that write over their input or pass it on, and request nothing."""
_LABEL_BYTES = 4
_HALF_DIGIT_OF_SHARE = 0.5e-4
_ALLOCATOR_UNIT = 256
_COLUMNS = (
    "table", "printed_op", "time_s", "own_share", "requested_bytes", "fitting", "candidates", "op", "status",
)  # fmt: skip


def op_tensors(variant: VariantSpec) -> dict[str, list[int]]:
    """Bytes of every tensor that each op of the thesis's graph requests in a step of its batch, from shapes alone.

    A convolution, pooling, normalisation or product of matrices requests its output. The queue holds `QUEUE_EXAMPLES`
    images and labels, each a tensor, and the dequeue asks for a batch of them. InTopKV2 answers with one byte per
    image. The constants are the arguments of two reshapes (of 2 and 1 numbers), of the dequeue and of InTopKV2.
    """
    image = math.prod(variant.input.shape) * FLOAT32_BYTES
    tensors: dict[str, list[int]] = {op: [] for op in (*_OP_OF_LAYER.values(), *_IN_PLACE)}
    weights: list[int] = []
    for layer, cost in zip(variant.layers, variant.costs(), strict=True):
        if op := _OP_OF_LAYER.get(cost.type):
            tensors[op].append(BATCH_SIZE * math.prod(cost.output_shape) * FLOAT32_BYTES)
        weights += _weight_bytes(layer, cost)
    return tensors | {
        "VariableV2": weights,
        "FIFOQueueV2": [image, _LABEL_BYTES] * QUEUE_EXAMPLES,
        "QueueDequeueManyV2": [BATCH_SIZE * image, BATCH_SIZE * _LABEL_BYTES],
        "InTopKV2": [BATCH_SIZE],
        "Const": [8, 4, 4, 4],
    }


def _weight_bytes(layer: Layer, cost: LayerCost) -> list[int]:
    """Sizes of a layer's weights and of its bias."""
    biases = cost.output_shape[-1] if isinstance(layer, Conv | Dense) and layer.use_bias else 0
    return [count * FLOAT32_BYTES for count in (cost.parameters - biases, biases) if count]


def _half_digit(printed_bytes: float) -> float:
    """Half of the last digit that the profiler prints: two decimals of KB or MB, whole bytes below."""
    return next((0.005 * unit for unit in (1e9, 1e6, 1e3) if printed_bytes >= unit), 0.0)


def _fitting(printed: pd.DataFrame, tensors: Mapping[str, Iterable[int]]) -> Callable[[float], list[str]]:
    """What tells the ops that bytes fit, in the kind of table that ``printed`` is."""
    if not shows_allocator_blocks(printed, tensors):
        exact = {op: sum(sizes) for op, sizes in tensors.items()}
        return lambda bytes_: [op for op, asked in exact.items() if _fits_exactly(bytes_, asked)]
    blocks = {op: sum(map(_block_bytes, sizes)) for op, sizes in tensors.items()}
    return lambda bytes_: [op for op, rounded in blocks.items() if _fits_blocks(bytes_, rounded)]


def _fits_exactly(printed_bytes: float, asked: int) -> bool:
    return abs(asked - printed_bytes) <= _half_digit(printed_bytes)


def _block_bytes(size: int) -> int:
    return math.ceil(size / _ALLOCATOR_UNIT) * _ALLOCATOR_UNIT


def _fits_blocks(printed_bytes: float, rounded: int) -> bool:
    half = _half_digit(printed_bytes)
    return rounded - half <= printed_bytes < 2 * rounded + half or rounded == printed_bytes == 0


def shows_allocator_blocks(printed: pd.DataFrame, tensors: Mapping[str, Iterable[int]]) -> bool:
    """Whether a table has bytes that are those of no op and can only be those of the allocator's blocks."""
    asked = [sum(sizes) for sizes in tensors.values()]
    return not all(any(_fits_exactly(b, total) for total in asked) for b in printed["requested_bytes"])


def errata(variants: Iterable[VariantSpec]) -> pd.DataFrame:
    """Says of every printed row which op it is of.

    Args:
        variants: Those with a published table are looked up in it; the others are left out.

    Returns:
        One row per printed row, by table: ``table``, ``printed_op``, ``time_s``, ``own_share``, ``requested_bytes`` as
        printed; ``fitting``, the ops that the bytes fit; ``candidates``, those among them that the other rows leave;
        ``op``, the one candidate, else None; ``status`` (`AS_PRINTED`, `REASSIGNED`, `AMBIGUOUS`, `UNEXPLAINED`).
    """
    tables = [_errata_of(variant) for variant in variants if variant.name in PUBLISHED]
    if not tables:
        return pd.DataFrame(columns=list(_COLUMNS))
    return pd.concat(tables).sort_values("table", kind="stable", ignore_index=True)


def _errata_of(variant: VariantSpec) -> pd.DataFrame:
    table, tensors = PUBLISHED[variant.name].table, op_tensors(variant)
    printed = published_table(table)
    names = printed["op"].replace(OP_ABBREVIATIONS)
    fitting = list(map(_fitting(printed, tensors), printed["requested_bytes"]))
    candidates = _left_by_the_others(fitting, list(tensors))
    columns = {
        "fitting": fitting,
        "candidates": candidates,
        "op": [ops[0] if len(ops) == 1 else None for ops in candidates],
        "status": [_status(name, ops) for name, ops in zip(names, candidates, strict=True)],
    }
    found = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    return pd.concat([printed.assign(table=table, printed_op=names).drop(columns="op"), found], axis=1)[list(_COLUMNS)]


def _left_by_the_others(fitting: list[list[str]], ops: list[str]) -> list[list[str]]:
    """Of each row's ops those with which as many rows as possible can be given an op of their own."""
    edges = np.array([[op in row for op in ops] for row in fitting])
    most = _matched(edges)

    def possible(row: int, op: int) -> bool:
        rest = edges.copy()
        rest[row, :] = rest[:, op] = False
        return 1 + _matched(rest) == most

    return [[op for j, op in enumerate(ops) if edges[i, j] and possible(i, j)] for i in range(len(fitting))]


def _matched(edges: NDArray[np.bool_]) -> int:
    """How many rows can be given a column each."""
    return int((maximum_bipartite_matching(csr_array(edges), perm_type="column") >= 0).sum())


def _status(printed_op: str, candidates: list[str]) -> str:
    if not candidates:
        return UNEXPLAINED
    if len(candidates) > 1:
        return AMBIGUOUS
    return AS_PRINTED if candidates == [printed_op] else REASSIGNED


def witness(variant: VariantSpec) -> pd.DataFrame:
    """A table against the figure of the same run, whose names stand beside their values.

    Args:
        variant: Its table must be in `thesis.FIGURE_OF_TABLE`.

    Returns:
        The rows of `errata`, with ``figure_op``, the name of the figure's row of the same time and bytes (missing
        where it has none), and ``agrees``: whether that is among the candidates.
    """
    rows = _errata_of(variant)
    figure = published_table(FIGURE_OF_TABLE[PUBLISHED[variant.name].table])
    figure = figure.rename(columns={"op": "figure_op"})[["figure_op", "time_s", "requested_bytes"]]
    joined = rows.merge(figure, on=["time_s", "requested_bytes"], how="left")
    return joined.assign(
        agrees=[name in ops for name, ops in zip(joined["figure_op"], joined["candidates"], strict=True)]
    )


def corrected_table(variant: VariantSpec) -> pd.DataFrame:
    """The published table of a variant with the ops that its rows are of.

    Returns:
        ``op``, several joined by "or" where the row is ambiguous and no figure shows it, a dash where it is
        unexplained; ``printed_op``, ``time_s``, ``own_share``, ``requested_bytes``, in the printed order.
    """
    if PUBLISHED[variant.name].table in FIGURE_OF_TABLE:
        rows = witness(variant)
        named = rows["figure_op"].where(rows["agrees"])
    else:
        rows = _errata_of(variant)
        named = pd.Series(None, index=rows.index, dtype=object)
    ops = rows["op"].fillna(named).fillna(rows["candidates"].map(either))
    return rows.assign(op=ops)[["op", "printed_op", "time_s", "own_share", "requested_bytes"]]


def either(words: Sequence[str]) -> str:
    """``A``, ``A or B``, ``A, B or C``; a dash for none."""
    *most, last = words or ["–"]
    return f"{', '.join(most)} or {last}" if most else last


def missing_bytes(variant: VariantSpec) -> tuple[float, float, list[str]]:
    """Bytes that the shares of a variant's table count and its rows do not show.

    The rows' bytes over their shares give the sum that the profiler divided by.

    Returns:
        The bytes, by how much the rounding of the shares may move them, and the ops without a row that may have them;
        no ops where rounding explains the bytes.
    """
    rows, tensors = _errata_of(variant), op_tensors(variant)
    printed = published_table(PUBLISHED[variant.name].table)
    shown, share = float(printed["requested_bytes"].sum()), float(printed["bytes_share"].sum())
    missing = shown / share - shown
    rounding = _HALF_DIGIT_OF_SHARE * int((printed["requested_bytes"] > 0).sum()) * shown / share
    if abs(missing) <= rounding:
        return missing, rounding, []
    fitting = _fitting(printed, tensors)
    fits = {op for end in (missing - rounding, missing + rounding) for op in fitting(end)}
    taken = {op for candidates in rows["candidates"] for op in candidates}
    ops = [op for op in tensors if op in fits - taken]
    return missing, rounding, ops
