"""Bytes that a runtime does not tell stay missing, from its executions to the page and to scripts."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cnnprof_lib.analysis import frames
from cnnprof_lib.analysis.pool import pooled
from cnnprof_lib.analysis.profile.for_scripts import run_for_scripts
from cnnprof_lib.analysis.profile.numbers import by_op, totals_of_both
from cnnprof_lib.analysis.profile.shown import profile_figure
from cnnprof_lib.analysis.profile.shown_tables import ops_table
from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure.runtimes.executions import totals
from cnnprof_lib.records.run import RunRecord
from tests.builders import make_ops, make_record

MESSAGE = "requested_bytes: not told by runtime stock. Choose time_s or occurrences, or another runtime."


@pytest.fixture
def silent() -> RunRecord:
    told = make_record()
    ops = tuple(op.model_copy(update={"requested_bytes": None}) for op in told.ops)
    untold = dict.fromkeys(("requested_bytes", "persistent_bytes", "live_peak_bytes", "live_peak_layer"))
    return told.model_copy(update={"ops": ops, "memory": told.memory.model_copy(update=untold)})


@pytest.fixture
def executed(silent: RunRecord) -> pd.DataFrame:
    return make_ops(silent).assign(requested_bytes=math.nan, persistent_bytes=math.nan)


def test_totals_of_executions_have_none(executed: pd.DataFrame) -> None:
    assert {record.requested_bytes for record in totals(executed)} == {None}
    assert {record.requested_bytes for record in totals(executed.assign(requested_bytes=8.0))} > {8}


def test_no_table_has_a_zero_for_them(silent: RunRecord, executed: pd.DataFrame) -> None:
    table = by_op(silent)
    assert table[["requested_bytes", "bytes_share", "bytes_accumulated_share"]].isna().all(axis=None)
    assert frames.profile(silent, executed)["requested_bytes"].isna().all()
    assert "0B" not in ops_table(table).to_html()


def test_scripts_read_null(silent: RunRecord, executed: pd.DataFrame) -> None:
    shown = run_for_scripts(silent, executed)
    assert shown["ops"]
    assert {op["requested_bytes"] for op in shown["ops"]} == {None}
    assert shown["memory"]["requested_bytes"] is None


def test_processes_put_together_have_none(silent: RunRecord) -> None:
    other = silent.model_copy(update={"run_id": f"{silent.run_id}-2"})
    record = pooled([silent, other])
    assert record.pooled
    assert {op.requested_bytes for op in record.ops} == {None}


def test_figures_refuse_to_draw_them(silent: RunRecord, executed: pd.DataFrame) -> None:
    data = frames.profile(silent, executed).assign(runtime="stock")
    with pytest.raises(MeasureError) as error:
        profile_figure(data, "requested_bytes")
    assert str(error.value) == MESSAGE
    with pytest.raises(MeasureError) as error:
        totals_of_both(data, data, "requested_bytes", "op")
    assert str(error.value) == MESSAGE
