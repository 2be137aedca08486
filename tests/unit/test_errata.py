"""Which op the printed rows of the thesis are of: bytes from shapes, the rows they identify, what is left open."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cnnprof_lib.measure.prepare import queue_capacity
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.thesis import BATCH_SIZE, PUBLISHED, QUEUE_EXAMPLES, errata_table, published_table
from cnnprof_lib.thesis.errata import (
    AMBIGUOUS,
    AS_PRINTED,
    REASSIGNED,
    UNEXPLAINED,
    corrected_table,
    errata,
    missing_bytes,
    op_tensors,
    shows_allocator_blocks,
    witness,
)
from tests.builders import PARAMS

VARIANTS = {name: load_variant(name, PARAMS) for name in PUBLISHED}
STRIDES = [VARIANTS[name] for name in ("baseline", "stride2", "stride3", "stride5")]
IN_PLACE = ["BiasAdd", "Relu", "Add", "Identity", "Reshape"]


def row_of(variant: str, printed_op: str) -> pd.Series:
    rows = errata([VARIANTS[variant]])
    return rows[rows["printed_op"] == printed_op].iloc[0]


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
    assert sizes["VariableV2"] == 4 * VARIANTS[variant].parameters
    assert sizes["QueueDequeueManyV2"] == 885_248
    assert [sizes[op] for op in ("InTopKV2", "Const", *IN_PLACE)] == [128, 20, 0, 0, 0, 0, 0]


def test_the_queue_is_as_long_as_the_one_that_is_measured() -> None:
    assert queue_capacity((BATCH_SIZE, 24, 24, 3)) == QUEUE_EXAMPLES
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
    assert (row["op"], row["status"]) == (op, REASSIGNED)


def test_rows_that_are_as_printed() -> None:
    rows = errata(VARIANTS.values())
    certain = rows[rows["status"] == AS_PRINTED]
    assert list(certain.loc[certain["printed_op"] == "Conv2D", "table"]) == ["4.3", "4.4", "4.5", "4.6", "4.7", "4.8"]
    assert list(certain.loc[certain["printed_op"] == "LRN", "table"]) == ["4.3", "4.4", "4.7", "4.8"]


def test_rows_that_stay_ambiguous() -> None:
    for printed_op in ("BiasAdd", "MaxPool", "Relu"):
        row = row_of("stride5", printed_op)
        assert (row["candidates"], row["op"], row["status"]) == (["LRN", "MaxPool", "MatMul"], None, AMBIGUOUS)
    assert row_of("stride3", "LRN")["candidates"] == ["LRN", "MaxPool"]
    assert row_of("stride2", "MatMul")["candidates"] == IN_PLACE


def test_other_rows_rule_candidates_out() -> None:
    row = row_of("stride5", "LRN")
    assert row["fitting"] == ["Conv2D", "VariableV2", "QueueDequeueManyV2"]
    assert row["candidates"] == ["QueueDequeueManyV2"]


def test_a_row_that_no_op_fits_is_unexplained() -> None:
    other = load_variant("smoke", PARAMS).model_copy(update={"name": "stride2"})
    row = errata([other]).iloc[0]
    assert (row["printed_op"], row["candidates"], row["status"]) == ("Conv2D", [], UNEXPLAINED)
    assert corrected_table(other)["op"][0] == "–"


def test_a_variant_without_a_published_table_has_no_errata() -> None:
    assert errata([load_variant("smoke", PARAMS)]).empty


def test_every_printed_row_is_judged_once() -> None:
    rows = errata(reversed(VARIANTS.values()))
    assert list(rows["table"].unique()) == ["4.3", "4.4", "4.5", "4.6", "4.7", "4.8"]
    assert len(rows) == sum(len(published_table(printed.table)) for printed in PUBLISHED.values())
    assert set(rows["status"]) == {AS_PRINTED, REASSIGNED, AMBIGUOUS}


# Witnesses and what follows


def test_the_figure_bears_out_every_row_of_its_table() -> None:
    rows = witness(VARIANTS["pool-large"])
    assert rows["agrees"].all()
    moved = rows[rows["status"] == REASSIGNED]
    assert list(moved["printed_op"]) == ["InTopKV2", "VariableV2", "Const"]
    assert list(moved["op"]) == list(moved["figure_op"]) == ["VariableV2", "Const", "FIFOQueueV2"]


def test_the_figure_names_the_ambiguous_rows_of_its_table() -> None:
    assert list(corrected_table(VARIANTS["pool-large"])["op"]) == [
        "Conv2D", "LRN", "BiasAdd", "MaxPool", "Relu", "MatMul", "QueueDequeueManyV2", "Add", "VariableV2", "Const",
        "FIFOQueueV2", "Identity", "Reshape",
    ]  # fmt: skip


def test_a_corrected_table_keeps_its_values_and_says_what_is_open() -> None:
    table = corrected_table(VARIANTS["stride5"])
    assert list(table["op"][:3]) == ["Conv2D", "QueueDequeueManyV2", "LRN, MaxPool or MatMul"]
    pd.testing.assert_series_equal(table["time_s"], published_table("4.6")["time_s"])


def test_bytes_that_only_the_shares_count() -> None:
    missing, rounding, ops = missing_bytes(VARIANTS["baseline"])
    assert (round(missing, -3), round(rounding, -3), ops) == (974_000, 36_000, ["QueueDequeueManyV2"])
    for name in set(PUBLISHED) - {"baseline"}:
        missing, rounding, ops = missing_bytes(VARIANTS[name])
        assert math.fabs(missing) <= rounding
        assert ops == []


# For the report


@pytest.mark.parametrize(
    ("variant", "sentence"),
    [
        (VARIANTS["baseline"], "Table 4.3: the row named LRN (9.44MB, 10.33%) is LRN's."),
        (
            VARIANTS["stride3"],
            "Table 4.5: the row named LRN (698.83KB, 11.52%) is of LRN or MaxPool. "
            "LRN has 5.38% or 11.52% of the time.",
        ),
        (
            VARIANTS["stride5"],
            "Table 4.6: the row named LRN (885.28KB, 12.02%) is of QueueDequeueManyV2. "
            "LRN has 5.60%, 11.31% or 11.52% of the time.",
        ),
    ],
)
def test_what_a_table_says_of_lrn(variant: VariantSpec, sentence: str) -> None:
    assert errata_table.reread(variant, "LRN") == sentence


def test_what_becomes_of_lrn_against_stride() -> None:
    assert errata_table.against_stride(STRIDES, "LRN") == (
        "LRN's share of the time is printed as 10.33%, 11.37%, 11.52%, 12.02%. By bytes: baseline 10.33%; "
        "stride2 11.37%; stride3 5.38% or 11.52%; stride5 5.60%, 11.31% or 11.52%. As printed it grows at every step; "
        "read by bytes it cannot."
    )


def test_counts_and_witnesses_in_words() -> None:
    assert errata_table.misnamed(VARIANTS.values()) == (
        "Of 79 printed rows, 36 cannot be of the op they are named after; 19 of these can be of one other op only."
    )
    assert errata_table.figure_agrees(VARIANTS["pool-large"]) == (
        "Figure 4.16 shows the run of Table 4.8 with its names in place: it agrees with 13 of 13 rows as read here and "
        "with 3 of the 3 reassigned."
    )
    assert errata_table.unshown_bytes(VARIANTS["baseline"]) == (
        "The shares in Table 4.3 count 973.59KB (± 36.40KB) more than its rows show, as much as QueueDequeueManyV2 may "
        "have, of which no row has the bytes."
    )
    assert errata_table.unshown_bytes(VARIANTS["stride2"]) == ""


def test_errata_as_a_table() -> None:
    html = errata_table.styled_errata(errata([VARIANTS["stride5"]])).to_html()
    assert "LRN, MaxPool or MatMul" in html
    assert "885.28KB" in html
    corrected = errata_table.styled_corrected(corrected_table(VARIANTS["stride5"])).to_html()
    assert "LRN, MaxPool or MatMul" in corrected
