"""A second opinion on the ops' shares of time: TensorFlow's own tracer, read by XProf, on the same session.

Both sides time each kernel from start to end on the CPU, but by other code: our rows come from the executor's step
statistics (see `ops`), XProf's from the events that ``tf.profiler.experimental`` records around each kernel.
XProf is the optional package ``xprof``.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf

from ..base.errors import MeasureError
from ..base.files import try_writing
from ..base.stamps import utc_now
from ..params.reading import load_preset, load_variant
from ..params.settings import PresetSpec
from ..records.machine import ComparisonRecord, OpShares
from ..records.project import Project
from . import machine
from .models.load import load_network
from .prepare import AUTOMATIC, load_dataset, prepare_images
from .runtimes import executions, ops
from .runtimes.contract import find_runtime
from .runtimes.memory import require_memory
from .runtimes.session import TensorFlowSession, TracedStep

TOOL = "framework_op_stats"
IDLE = "IDLE"
"""XProf's row for the rest of the traced time; it is no op, and shares are of the ops' time alone."""

_INSTALL = 'pip install "cnnprof[xprof]"'
_OPTIONS = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0, device_tracer_level=0)

Convert = Callable[[list[str], str, dict[str, Any]], tuple[bytes | str | None, str]]
"""XProf's ``xspace_to_tool_data``: trace files, tool and parameters to the tool's table and its content type."""


def compare(
    variant_name: str, runtime_name: str, preset_name: str, project: Project, *, source: str = AUTOMATIC
) -> ComparisonRecord:
    """Traces one session both ways, in alternating blocks, compares the ops' shares of time and stores the outcome.

    The process must have been set up by `Runtime.set_up` before TensorFlow was loaded.

    Args:
        variant_name: A file of ``params/``.
        runtime_name: A runtime of TensorFlow's.
        preset_name: A file of ``params/presets/``: how many steps of what batch, on each side.
        project: Where parameters and weights are, and the outcome goes.
        source: Images, as for `prepare.load_dataset`.

    Raises:
        CnnprofError: XProf is not installed or answers strangely, or whatever else stops the steps.
    """
    convert = _xprof()
    try_writing(project.store.machine_dir)
    runtime = find_runtime(runtime_name)
    runtime.set_up()
    variant = load_variant(variant_name, project.params)
    preset = load_preset(preset_name, project.params)
    require_memory(variant.network, preset.batch_size)
    images = prepare_images(
        load_dataset(source, project.params, variant), variant.network.inputs, preset.batch_size, preset.seed
    )
    network = load_network(variant, project.store, batch_size=preset.batch_size, seed=preset.seed)
    session = runtime.open(network, images)
    try:
        if not isinstance(session, TensorFlowSession):
            raise MeasureError(f"xprof: traces TensorFlow. Received: runtime {runtime.name}. Name another --runtime.")
        traced, executed = _trace(session, preset, convert)
        rows = session.executions(traced)
    finally:
        session.close()
    ours, theirs = _our_seconds(rows), xprof_seconds(executed)
    shared, left_out = compare_seconds(ours, theirs)
    record = ComparisonRecord(
        created=utc_now(),
        variant=variant.name,
        runtime=runtime.name,
        machine=machine.describe(onednn=bool(rows["kernel"].str.startswith("_Mkl").any())),
        preset=preset.name,
        steps=preset.steps,
        ops=shared,
        left_out=left_out,
        left_out_share=sum(ours.get(op, 0.0) for op in left_out) / sum(ours.values()),
        own_difference_pp=own_difference_pp(rows[rows["op"].isin(theirs)], preset.steps_per_block),
    )
    project.store.write_comparison(record)
    return record


def _xprof() -> Convert:
    """XProf's converter.

    Raises:
        MeasureError: it is not installed.
    """
    try:
        module = importlib.import_module("xprof.convert.raw_to_tool_data")
    except ImportError as error:
        raise MeasureError(f"xprof: cannot be imported ({error}). Install it: {_INSTALL}") from None
    return module.xspace_to_tool_data


def _trace(session: TensorFlowSession, preset: PresetSpec, convert: Convert) -> tuple[list[TracedStep], pd.DataFrame]:
    """Our steps and XProf's rows; blocks alternate, so that a drift of the machine falls on both."""
    traced, tables = [], []
    for _ in range(preset.warmup_steps):
        _plain_step(session)
        session.prepare()
        session.traced_step()
    for _ in range(preset.blocks):
        _plain_step(session)
        for _ in range(preset.steps_per_block):
            session.prepare()
            traced.append(session.traced_step())
        _plain_step(session)
        with tempfile.TemporaryDirectory() as folder:
            with tf.profiler.experimental.Profile(folder, _OPTIONS):
                for _ in range(preset.steps_per_block):
                    _plain_step(session)
            traces = [str(path) for path in Path(folder).rglob("*.xplane.pb")]
            answer, _content_type = convert(traces, TOOL, {})
        tables.append(parse_op_stats(answer))
    return traced, pd.concat(tables)


def _plain_step(session: TensorFlowSession) -> None:
    session.prepare()
    session.step()


def parse_op_stats(answer: bytes | str | None) -> pd.DataFrame:
    """XProf's table of ops as rows, one per node.

    Args:
        answer: The JSON of ``framework_op_stats``: two tables in Google's DataTable form, with and without `IDLE`.

    Returns:
        Columns ``op`` (see `ops.op_of`), ``node``, ``occurrences`` and ``self_s`` (seconds), of the host only.

    Raises:
        MeasureError: the answer has another form.
    """
    try:
        table = json.loads(answer or b"")[0]
        names = [column["id"] for column in table["cols"]]
        cells = pd.DataFrame([[cell["v"] for cell in row["c"]] for row in table["rows"]], columns=names)
        on_host = cells[(cells["host_or_device"] == "Host") & (cells["type"] != IDLE)]
        return pd.DataFrame(
            {
                "op": on_host["type"].map(ops.op_of),
                "node": on_host["operation"],
                "occurrences": on_host["occurrences"].astype(float),
                "self_s": on_host["total_self_time"].astype(float) / 1e6,
            }
        ).reset_index(drop=True)
    except (ValueError, LookupError, TypeError) as error:
        raise MeasureError(
            f"xprof: {TOOL} is not the table expected. Received: {(answer or b'')[:40]!r} ({type(error).__name__}). "
            f"Install a version known to work: {_INSTALL}"
        ) from error


def xprof_seconds(executed: pd.DataFrame) -> dict[str, float]:
    """Seconds per step of each op.

    A node runs once a step, so its mean execution is its time per step. The sum would be wrong for the queue: it is
    also asked for between the steps, when it is filled.

    Args:
        executed: Rows of `parse_op_stats`, of one or more traces.
    """
    nodes = executed.groupby(["op", "node"])[["self_s", "occurrences"]].sum()
    per_op = (nodes["self_s"] / nodes["occurrences"]).groupby(level="op").sum()
    return {str(op): float(seconds) for op, seconds in per_op.items()}


def _our_seconds(rows: pd.DataFrame) -> dict[str, float]:
    """CPU seconds per step of each op, start to end as XProf counts, so moments when two kernels run count twice."""
    seconds: dict[str, float] = {}
    for total in executions.totals(rows):
        if total.cpu_s > 0:
            seconds[total.op] = seconds.get(total.op, 0.0) + total.cpu_s
    return seconds


def own_difference_pp(rows: pd.DataFrame, steps_per_block: int) -> float:
    """The largest difference in an op's share between our odd and our even blocks, in percentage points."""
    odd = rows["step"] // steps_per_block % 2 == 1
    shares, _left_out = compare_seconds(_our_seconds(rows[odd]), _our_seconds(rows[~odd]))
    return max(abs(op.difference_pp) for op in shares)


def compare_seconds(
    ours: Mapping[str, float], theirs: Mapping[str, float]
) -> tuple[tuple[OpShares, ...], tuple[str, ...]]:
    """Shares of the time of the ops that both know, and the ops that only one knows.

    Args:
        ours: Seconds per op.
        theirs: The same by XProf.

    Raises:
        MeasureError: they have no op in common.
    """
    shared = [op for op in sorted(ours, key=lambda op: -ours[op]) if op in theirs]
    if not shared:
        raise MeasureError(
            f"xprof: none of its ops is among those executed. Received: {', '.join(sorted(theirs)) or 'no op'}. "
            f"Install a version known to work: {_INSTALL}"
        )
    our_total, their_total = sum(ours[op] for op in shared), sum(theirs[op] for op in shared)
    shares = [OpShares(op=op, our_share=ours[op] / our_total, xprof_share=theirs[op] / their_total) for op in shared]
    return tuple(shares), tuple(sorted(set(ours) ^ set(theirs)))
