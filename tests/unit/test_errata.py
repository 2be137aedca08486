"""Which op the printed rows of the thesis are of, proved from shapes, and what is said of it.

A row can only be of an op that its bytes fit, and each op has one row in a table, which rules out more. Two kinds of
table are told apart. In some, bytes are those requested. In the others they are those of the blocks that TensorFlow's
best-fit allocator gave: each tensor is rounded up to a multiple of 256 bytes, and a free block is split only if it has
at least twice that, so a tensor may take up to, but not, the double. Averages over steps with blocks of several sizes
are no multiples of 256.
Source: tensorflow/core/common_runtime/bfc_allocator.h (``kMinAllocationBits``), bfc_allocator.cc (``FindChunkPtr``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from cnnprof_lib.measure.prepare import queue_capacity
from cnnprof_lib.params.costs import FLOAT32_BYTES
from cnnprof_lib.params.layers import Conv, Dense, Layer
from cnnprof_lib.params.network import NetworkLayer
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.thesis import PUBLISHED, STRIDES, published_table, shown
from cnnprof_lib.thesis.errata import AMBIGUOUS, AS_PRINTED, REASSIGNED, errata
from tests.builders import PARAMS, make_record

VARIANTS = {name: load_variant(name, PARAMS) for name in PUBLISHED}
BATCH_SIZE = 128
"""Images per step in all printed tables."""
QUEUE_EXAMPLES = 4384
"""Examples in the input queue: 0.4 x 10,000 + 3 x 128, as ``cifar10_input.py`` of the TensorFlow tutorial has them."""
FIGURE_OF_TABLE = {"4.8": "fig4.16"}
"""Tables whose run is also shown as the profiler printed it, names and values in place."""
OP_OF_LAYER = {"conv": "Conv2D", "lrn": "LRN", "max_pool": "MaxPool", "dense": "MatMul"}
IN_PLACE = ["BiasAdd", "Relu", "Add", "Identity", "Reshape"]
"""Ops that write over their input or pass it on, and request nothing."""
LABEL_BYTES = 4
ALLOCATOR_UNIT = 256
HALF_DIGIT_OF_SHARE = 0.5e-4


def row_of(variant: str, printed_op: str) -> pd.Series:
    rows = errata([variant])
    return rows[rows["printed_op"] == printed_op].iloc[0]


# The proof


def op_tensors(variant: VariantSpec) -> dict[str, list[int]]:
    """Bytes of every tensor that each op of the thesis's graph requests in a step of its batch, from shapes alone.

    A convolution, pooling, normalisation or product of matrices requests its output. The queue holds `QUEUE_EXAMPLES`
    images and labels, each a tensor, and the dequeue asks for a batch of them. InTopKV2 answers with one byte per
    image. The constants are the arguments of two reshapes (of 2 and 1 numbers), of the dequeue and of InTopKV2.
    """
    image = math.prod(variant.input.shape) * FLOAT32_BYTES
    tensors: dict[str, list[int]] = {op: [] for op in (*OP_OF_LAYER.values(), *IN_PLACE)}
    weights: list[int] = []
    for layer, cost in zip(variant.layers, variant.network.layers, strict=True):
        if op := OP_OF_LAYER.get(cost.type):
            tensors[op].append(BATCH_SIZE * math.prod(cost.output_shape) * FLOAT32_BYTES)
        weights += weight_bytes(layer, cost)
    return tensors | {
        "VariableV2": weights,
        "FIFOQueueV2": [image, LABEL_BYTES] * QUEUE_EXAMPLES,
        "QueueDequeueManyV2": [BATCH_SIZE * image, BATCH_SIZE * LABEL_BYTES],
        "InTopKV2": [BATCH_SIZE],
        "Const": [8, 4, 4, 4],
    }


def weight_bytes(layer: Layer, cost: NetworkLayer) -> list[int]:
    """Sizes of a layer's weights and of its bias."""
    biases = cost.output_shape[-1] if isinstance(layer, Conv | Dense) and layer.use_bias else 0
    return [count * FLOAT32_BYTES for count in (cost.parameters - biases, biases) if count]


def half_digit(printed_bytes: float) -> float:
    """Half of the last digit that the profiler prints: two decimals of KB or MB, whole bytes below."""
    return next((0.005 * unit for unit in (1e9, 1e6, 1e3) if printed_bytes >= unit), 0.0)


def fitting_in(printed: pd.DataFrame, tensors: Mapping[str, Iterable[int]]) -> Callable[[float], list[str]]:
    """What tells the ops that bytes fit, in the kind of table that ``printed`` is."""
    if not shows_allocator_blocks(printed, tensors):
        exact = {op: sum(sizes) for op, sizes in tensors.items()}
        return lambda bytes_: [op for op, asked in exact.items() if fits_exactly(bytes_, asked)]
    blocks = {op: sum(map(block_bytes, sizes)) for op, sizes in tensors.items()}
    return lambda bytes_: [op for op, rounded in blocks.items() if fits_blocks(bytes_, rounded)]


def fits_exactly(printed_bytes: float, asked: int) -> bool:
    return abs(asked - printed_bytes) <= half_digit(printed_bytes)


def block_bytes(size: int) -> int:
    return math.ceil(size / ALLOCATOR_UNIT) * ALLOCATOR_UNIT


def fits_blocks(printed_bytes: float, rounded: int) -> bool:
    half = half_digit(printed_bytes)
    return rounded - half <= printed_bytes < 2 * rounded + half or rounded == printed_bytes == 0


def shows_allocator_blocks(printed: pd.DataFrame, tensors: Mapping[str, Iterable[int]]) -> bool:
    """Whether a table has bytes that are those of no op and can only be those of the allocator's blocks."""
    asked = [sum(sizes) for sizes in tensors.values()]
    return not all(any(fits_exactly(b, total) for total in asked) for b in printed["requested_bytes"])


def matched(variant: VariantSpec) -> tuple[list[list[str]], list[list[str]]]:
    """Of each printed row the ops that its bytes fit, and those among them that the other rows leave."""
    printed, tensors = published_table(PUBLISHED[variant.name].table), op_tensors(variant)
    fitting = list(map(fitting_in(printed, tensors), printed["requested_bytes"]))
    return fitting, left_by_the_others(fitting, list(tensors))


def left_by_the_others(fitting: list[list[str]], ops: list[str]) -> list[list[str]]:
    """Of each row's ops those with which as many rows as possible can be given an op of their own."""
    edges = np.array([[op in row for op in ops] for row in fitting])
    most = most_matched(edges)

    def possible(row: int, op: int) -> bool:
        rest = edges.copy()
        rest[row, :] = rest[:, op] = False
        return 1 + most_matched(rest) == most

    return [[op for j, op in enumerate(ops) if edges[i, j] and possible(i, j)] for i in range(len(fitting))]


def most_matched(edges: NDArray[np.bool_]) -> int:
    """How many rows can be given a column each."""
    return int((maximum_bipartite_matching(csr_array(edges), perm_type="column") >= 0).sum())


def missing_bytes(variant: str) -> tuple[float, float]:
    """Bytes that the shares of a variant's table count and its rows do not show, and how far rounding may move them.

    The rows' bytes over their shares give the sum that the profiler divided by.
    """
    printed = published_table(PUBLISHED[variant].table)
    shown, share = float(printed["requested_bytes"].sum()), float(printed["bytes_share"].sum())
    rounding = HALF_DIGIT_OF_SHARE * int((printed["requested_bytes"] > 0).sum()) * shown / share
    return shown / share - shown, rounding


def ops_of_missing_bytes(variant: VariantSpec) -> list[str]:
    """The ops without a row that may have the bytes that only the shares count; none where rounding explains these."""
    missing, rounding = missing_bytes(variant.name)
    if abs(missing) <= rounding:
        return []
    tensors = op_tensors(variant)
    fitting = fitting_in(published_table(PUBLISHED[variant.name].table), tensors)
    fits = {op for end in (missing - rounding, missing + rounding) for op in fitting(end)}
    taken = {op for candidates in matched(variant)[1] for op in candidates}
    return [op for op in tensors if op in fits - taken]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_column_of_candidates_is_what_bytes_prove(name: str) -> None:
    assert list(errata([name])["candidates"]) == matched(VARIANTS[name])[1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_bytes_that_no_row_shows_are_those_that_the_shares_count(name: str) -> None:
    ops = ops_of_missing_bytes(VARIANTS[name])
    if PUBLISHED[name].unshown is None:
        assert ops == []
        return
    missing, rounding, op = PUBLISHED[name].unshown
    assert (missing, rounding) == pytest.approx(missing_bytes(name), abs=5)
    assert [op] == ops


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_column_of_the_figure_names_the_row_of_the_same_time_and_bytes(name: str) -> None:
    rows = errata([name])
    if PUBLISHED[name].table not in FIGURE_OF_TABLE:
        assert set(rows["figure_op"]) == {""}
        return
    figure = published_table(FIGURE_OF_TABLE[PUBLISHED[name].table])[["op", "time_s", "requested_bytes"]]
    joined = rows.drop(columns="op").merge(figure, on=["time_s", "requested_bytes"], how="left")
    assert list(joined["figure_op"]) == list(joined["op"])


# Bytes from shapes


@pytest.mark.parametrize(
    ("variant", "conv2d", "lrn", "max_pool"),
    [
        ("baseline", 23_592_960, 9_437_184, 5_898_240),
        ("stride2", 5_013_504, 1_474_560, 1_310_720),
        ("stride3", 2_228_224, 655_360, 557_056),
        ("stride5", 851_968, 327_680, 327_680),
        ("filters32", 11_796_480, 4_718_592, 2_949_120),
        ("pool-large", 22_839_296, 7_929_856, 5_144_576),
    ],
)
def test_bytes_follow_from_shapes(variant: str, conv2d: int, lrn: int, max_pool: int) -> None:
    sizes = {op: sum(tensors) for op, tensors in op_tensors(VARIANTS[variant]).items()}
    assert (sizes["Conv2D"], sizes["LRN"], sizes["MaxPool"]) == (conv2d, lrn, max_pool)
    assert sizes["MatMul"] == 300_032
    assert sizes["VariableV2"] == 4 * VARIANTS[variant].network.parameters
    assert sizes["QueueDequeueManyV2"] == 885_248
    assert [sizes[op] for op in ("InTopKV2", "Const", *IN_PLACE)] == [128, 20, 0, 0, 0, 0, 0]


def test_the_queue_is_as_long_as_the_one_that_is_measured() -> None:
    assert queue_capacity([(BATCH_SIZE, 24, 24, 3)]) == QUEUE_EXAMPLES
    assert sum(op_tensors(VARIANTS["baseline"])["FIFOQueueV2"]) == 30_319_744


# Rows


def test_which_tables_show_the_allocator_s_blocks() -> None:
    shown = {
        printed.table: shows_allocator_blocks(published_table(printed.table), op_tensors(VARIANTS[name]))
        for name, printed in PUBLISHED.items()
    }
    assert [table for table, blocks in shown.items() if blocks] == ["4.3", "4.5", "4.6"]


@pytest.mark.parametrize(
    ("variant", "printed_op", "op"),
    [
        ("stride2", "BiasAdd", "MaxPool"),
        ("stride2", "Relu", "MatMul"),
        ("stride2", "InTopKV2", "VariableV2"),
        ("stride2", "VariableV2", "FIFOQueueV2"),
        ("stride3", "Identity", "InTopKV2"),
        ("stride5", "LRN", "QueueDequeueManyV2"),
        ("stride5", "VariableV2", "Const"),
    ],
)
def test_rows_that_are_of_another_op(variant: str, printed_op: str, op: str) -> None:
    row = row_of(variant, printed_op)
    assert (row["op"], row["candidates"], row["status"]) == (op, [op], REASSIGNED)


def test_rows_that_are_as_printed() -> None:
    rows = errata(PUBLISHED)
    certain = rows[rows["status"] == AS_PRINTED]
    assert list(certain.loc[certain["printed_op"] == "Conv2D", "table"]) == ["4.3", "4.4", "4.5", "4.6", "4.7", "4.8"]
    assert list(certain.loc[certain["printed_op"] == "LRN", "table"]) == ["4.3", "4.4", "4.7", "4.8"]


def test_rows_that_stay_ambiguous() -> None:
    for printed_op in ("BiasAdd", "MaxPool", "Relu"):
        row = row_of("stride5", printed_op)
        assert (row["candidates"], row["status"]) == (["LRN", "MaxPool", "MatMul"], AMBIGUOUS)
        assert row["op"] == "LRN, MaxPool or MatMul"
    assert row_of("stride3", "LRN")["candidates"] == ["LRN", "MaxPool"]
    assert row_of("stride2", "MatMul")["candidates"] == IN_PLACE


def test_other_rows_rule_candidates_out() -> None:
    (_, fitting, *_), (_, candidates, *_) = matched(VARIANTS["stride5"])
    assert row_of("stride5", "LRN").name == 1
    assert fitting == ["Conv2D", "VariableV2", "QueueDequeueManyV2"]
    assert candidates == row_of("stride5", "LRN")["candidates"] == ["QueueDequeueManyV2"]


def test_every_row_has_an_op_that_it_fits_and_would_have_none_in_another_network() -> None:
    other = load_variant("smoke", PARAMS).model_copy(update={"name": "stride2"})
    assert (errata(["stride2"])["printed_op"][0], matched(other)[1][0]) == ("Conv2D", [])
    assert errata(PUBLISHED)["candidates"].map(len).min() == 1
    assert set(errata(PUBLISHED)["op"]) & {"", "–"} == set()


def test_a_variant_without_a_published_table_has_no_errata() -> None:
    assert errata(["smoke"]).empty


def test_every_printed_row_is_judged_once() -> None:
    rows = errata(reversed(PUBLISHED))
    assert list(rows["table"].unique()) == ["4.3", "4.4", "4.5", "4.6", "4.7", "4.8"]
    assert len(rows) == sum(len(published_table(printed.table)) for printed in PUBLISHED.values())
    assert set(rows["status"]) == {AS_PRINTED, REASSIGNED, AMBIGUOUS}


# Witnesses and what follows


def test_the_figure_bears_out_every_row_of_its_table() -> None:
    rows = errata(["pool-large"])
    assert all(name in ops for name, ops in zip(rows["figure_op"], rows["candidates"], strict=True))
    moved = rows[rows["status"] == REASSIGNED]
    assert list(moved["printed_op"]) == ["InTopKV2", "VariableV2", "Const"]
    assert list(moved["op"]) == list(moved["figure_op"]) == ["VariableV2", "Const", "FIFOQueueV2"]


def test_the_figure_names_the_ambiguous_rows_of_its_table() -> None:
    assert list(errata(["pool-large"])["op"]) == [
        "Conv2D", "LRN", "BiasAdd", "MaxPool", "Relu", "MatMul", "QueueDequeueManyV2", "Add", "VariableV2", "Const",
        "FIFOQueueV2", "Identity", "Reshape",
    ]  # fmt: skip


def test_a_corrected_table_keeps_its_values_and_says_what_is_open() -> None:
    table = errata(["stride5"])
    assert list(table["op"][:3]) == ["Conv2D", "QueueDequeueManyV2", "LRN, MaxPool or MatMul"]
    pd.testing.assert_series_equal(table["time_s"], published_table("4.6")["time_s"])


def test_bytes_that_only_the_shares_count() -> None:
    missing, rounding = missing_bytes("baseline")
    assert (round(missing, -3), round(rounding, -3)) == (974_000, 36_000)
    assert ops_of_missing_bytes(VARIANTS["baseline"]) == ["QueueDequeueManyV2"]
    for name in set(PUBLISHED) - {"baseline"}:
        missing, rounding = missing_bytes(name)
        assert math.fabs(missing) <= rounding
        assert ops_of_missing_bytes(VARIANTS[name]) == []


# For the report


@pytest.mark.parametrize(
    ("variant", "sentence"),
    [
        ("baseline", "Table 4.3: the row named LRN (9.44MB, 10.33%) is LRN's."),
        (
            "stride3",
            "Table 4.5: the row named LRN (698.83KB, 11.52%) belongs to LRN or MaxPool. "
            "LRN has 5.38% or 11.52% of the time.",
        ),
        (
            "stride5",
            "Table 4.6: the row named LRN (885.28KB, 12.02%) belongs to QueueDequeueManyV2. "
            "LRN has 5.60%, 11.31% or 11.52% of the time.",
        ),
    ],
)
def test_what_a_table_says_of_lrn(variant: str, sentence: str) -> None:
    assert shown.reread(errata([variant]), "LRN") == sentence


def test_what_becomes_of_lrn_against_stride() -> None:
    assert shown.against_stride([errata([name]) for name in STRIDES.values()], "LRN") == (
        "LRN's share of the time is printed as 10.33%, 11.37%, 11.52%, 12.02%. By bytes: baseline 10.33%; "
        "stride2 11.37%; stride3 5.38% or 11.52%; stride5 5.60%, 11.31% or 11.52%. As printed, it grows with every "
        "stride; read by bytes, it cannot do so."
    )


def test_counts_and_witnesses_in_words() -> None:
    assert shown.misnamed(errata(PUBLISHED)) == (
        "Of 79 printed rows, 36 cannot belong to the op they are named after; "
        "19 of these can belong to only one other op."
    )
    assert shown.figure_agrees(errata(["pool-large"])) == (
        "Figure 4.16 shows the same run as Table 4.8, with the names in place. It agrees with 13 of 13 rows as read "
        "here, and with 3 of the 3 reassigned rows."
    )
    assert shown.unshown_bytes("baseline") == (
        "The shares in Table 4.3 count 973.59KB (± 36.40KB) more than its rows show. QueueDequeueManyV2 may have as "
        "much, and no row shows its bytes."
    )
    assert shown.unshown_bytes("stride2") == ""


def test_errata_as_a_table() -> None:
    html = shown.styled_errata(errata(["stride5"])).to_html()
    assert "LRN, MaxPool or MatMul" in html
    assert "885.28KB" in html
    ((_, corrected),) = shown.published_beside(make_record("stride5"))
    assert "LRN, MaxPool or MatMul" in corrected.to_html()
