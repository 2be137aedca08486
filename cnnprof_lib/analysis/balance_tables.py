"""Tables on the profiles themselves: their cost, unattributed time and memory."""

from __future__ import annotations

import pandas as pd
from pandas.io.formats.style import Styler

from ..base import units
from ..page.table import Column, interval_texts, styled


def _percent1(share: float) -> str:
    return units.percent(share, 1)


_RUN = {"variant": Column("variant", wraps=False), "runtime": Column("runtime")}
_OVERHEAD_GROUP, _MEMORY_GROUP = "profiled / unprofiled", "memory of a step"
_BOOKS = {
    **_RUN,
    "profiled_over_plain": Column("median", "{:.3f}".format, _OVERHEAD_GROUP),
    "profiled_over_plain_interval": Column("95% interval", None, _OVERHEAD_GROUP, wraps=False),
    "unattributed_share": Column("unattributed", units.percent, "profiled step"),
    "aa_interval": Column("A/A interval", None, "ratio to itself", wraps=False),
    "xprof_pp": Column("largest difference from XProf [pp]", "{:.2f}".format, "shares of ops"),
    "requested_bytes": Column("requested", units.num_bytes, _MEMORY_GROUP),
    "live_peak_bytes": Column("live peak", units.num_bytes, _MEMORY_GROUP),
    "live_peak_share": Column("peak / asked for in the step", _percent1, _MEMORY_GROUP),
}
_OVERHEAD = {
    **_RUN,
    "plain_s": Column("unprofiled", units.seconds, "step"),
    "traced_s": Column("profiled", units.seconds, "step"),
    "added_s": Column("tracing adds", units.seconds, "step"),
    "profiled_over_plain": Column("ratio", "{:.3f}".format, "step"),
    "add_step_s": Column("add_step takes", units.seconds, "with TensorFlow's profiler in the loop"),
    "with_add_step_over_plain": Column("ratio", "{:.1f}".format, "with TensorFlow's profiler in the loop"),
}
_UNATTRIBUTED = {
    **_RUN,
    "profiled_s": Column("profiled step", units.seconds),
    "unattributed_s": Column("unattributed", units.seconds),
    "before_s": Column("before the first kernel", units.seconds),
    "between_s": Column("between kernels", units.seconds),
    "after_s": Column("after the last kernel", units.seconds),
}
_STEP_GROUP, _PROCESS_GROUP = "asked for in a step", "resident in the process"
_MEMORY = {
    **_RUN,
    "requested_bytes": Column("requested", units.num_bytes, _STEP_GROUP),
    "persistent_bytes": Column("of it persistent", units.num_bytes, _STEP_GROUP),
    "step_bytes": Column("of it the step's own", units.num_bytes, _STEP_GROUP),
    "live_peak_bytes": Column("bytes", units.num_bytes, "live peak"),
    "live_peak_layer": Column("at", None, "live peak"),
    "rss_start_bytes": Column("before the model", units.num_bytes, _PROCESS_GROUP),
    "model_bytes": Column("model adds", units.num_bytes, _PROCESS_GROUP),
    "stepping_bytes": Column("steps add", units.num_bytes, _PROCESS_GROUP),
    "rss_bytes": Column("peak", units.num_bytes, _PROCESS_GROUP),
}


def books(table: pd.DataFrame) -> Styler:
    """How far each run can be trusted, from `books.books`."""
    shown = table.assign(
        profiled_over_plain_interval=interval_texts(table, "profiled_over_plain", "{:.3f}".format),
        aa_interval=interval_texts(table, "aa", "{:.3f}".format),
    )
    hidden = [name for name in ("xprof_pp",) if table[name].isna().all()]
    return styled(shown, _BOOKS, hidden=hidden, caption="How far each run can be trusted", key="books")


def overhead(table: pd.DataFrame) -> Styler:
    """What profiling costs, from `books.overhead`."""
    return styled(table, _OVERHEAD, caption="What profiling costs")


def unattributed(table: pd.DataFrame) -> Styler:
    """Where in a step no kernel ran, from `books.unattributed`."""
    return styled(table, _UNATTRIBUTED, caption="When in a step no kernel ran")


def memory(table: pd.DataFrame) -> Styler:
    """Three answers to how much memory, side by side, from `books.memory`."""
    return styled(table, _MEMORY, caption="Memory: requested in a step, live at its peak, resident")
