"""How far the profiles can be trusted, as tables, a figure and sentences; every number from a record or a frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import factor_rows, label_right, legend_below, row_heights
from ...page.table import Column, interval_texts, same_in_all, styled
from ...page.text import code, escape, listed
from ..colours import source_style
from ..resolution import INDISTINCT
from .numbers import CheckedRow

OVERHEAD_CAPTION = hover.Caption(
    "overhead",
    "How many times as long as an unprofiled step a profiled one takes: traced alone, and with TensorFlow's profiler "
    "reading the trace in the loop",
)
_RUN = {"variant": Column("variant", wraps=False), "runtime": Column("runtime")}
_OVERHEAD_GROUP, _MEMORY_GROUP = "profiled / unprofiled", "memory of a step"

_BOOKS = {
    **_RUN,
    "machine": Column("machine"),
    "profiled_over_plain": Column("median", "{:.3f}".format, _OVERHEAD_GROUP),
    "profiled_over_plain_interval": Column("95% interval", None, _OVERHEAD_GROUP, wraps=False),
    "unattributed_share": Column("unattributed", units.percent, "profiled step"),
    "aa_interval": Column("A/A interval", None, "ratio to itself", wraps=False),
    "xprof_pp": Column("largest difference from XProf [pp]", "{:.2f}".format, "shares of ops"),
    "requested_bytes": Column("requested", units.num_bytes, _MEMORY_GROUP),
    "live_peak_bytes": Column("live peak", units.num_bytes, _MEMORY_GROUP),
    "live_peak_share": Column("peak / step's own part", "{:.1%}".format, _MEMORY_GROUP),
}
_OVERHEAD = {
    **_RUN,
    "plain_s": Column("unprofiled", units.seconds, "step"),
    "traced_s": Column("unprofiled × ratio", units.seconds, "step"),
    "added_s": Column("tracing adds", units.seconds, "step"),
    "profiled_over_plain": Column("ratio", "{:.3f}".format, "step"),
    "add_step_s": Column("add_step takes", units.seconds, "with TensorFlow's profiler in the loop"),
    "with_add_step_over_plain": Column("ratio", "{:.1f}".format, "with TensorFlow's profiler in the loop"),
}
_UNATTRIBUTED = {
    **_RUN,
    "profiled_mean_s": Column("mean profiled step", units.seconds),
    "unattributed_s": Column("unattributed", units.seconds),
    "before_s": Column("before the first kernel", units.seconds),
    "between_s": Column("between kernels", units.seconds),
    "after_s": Column("after the last kernel", units.seconds),
}


def books_table(table: pd.DataFrame) -> Styler:
    """How far each run can be trusted, from `numbers.books`."""
    shown = table.assign(
        profiled_over_plain_interval=interval_texts(table, "profiled_over_plain", "{:.3f}".format),
        aa_interval=interval_texts(table, "aa", "{:.3f}".format),
    )
    hidden = [*same_in_all(table, "machine"), *(["xprof_pp"] if table["xprof_pp"].isna().all() else [])]
    return styled(shown, _BOOKS, hidden=hidden, caption="How far each run can be trusted", key="books")


def overhead_table(table: pd.DataFrame) -> Styler:
    """What profiling costs, from `numbers.overhead`."""
    return styled(table, _OVERHEAD, caption="Overhead of profiling")


def unattributed_table(table: pd.DataFrame) -> Styler:
    """Where in a step no kernel ran, from `numbers.unattributed`."""
    return styled(table, _UNATTRIBUTED, caption="Time outside kernels in a profiled step")


def overhead_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How much longer a profiled step takes: traced alone, and hollow with the profiler's ``add_step`` in the loop.

    Args:
        data: From `numbers.overhead`.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    variants, runtimes = list(data["variant"].unique()), list(data["runtime"].unique())
    for place, runtime in enumerate(runtimes):
        rows = data[data["runtime"] == runtime]
        y = row_heights(rows["variant"], variants, place, len(runtimes), room=0.3)
        both = rows["with_add_step_over_plain"]
        look = {"linestyle": "none", **source_style(runtime)}
        ax.plot(rows["profiled_over_plain"], y, label=f"{runtime}, traced", **look)
        ax.plot(both, y, label=f"{runtime}, with add_step in the loop", markerfacecolor="white", **look)
        for factor, height in zip(both, y, strict=True):
            label_right(ax, f"{factor:.1f}", (factor, height))
    factor_rows(ax, variants)
    ax.set(xlabel="step / unprofiled step", title="What does profiling cost?")
    legend_below(ax)
    return ax


def checked_text(rows: Sequence[CheckedRow]) -> str:
    """What the baseline timed against itself says of each runtime, on each machine; a list; from `numbers.checked`."""
    lines = []
    several = len({row.machine for row in rows}) > 1
    for runtime, machine, found in rows:
        where = f"`{runtime}` on {escape(machine)}" if several else f"`{runtime}`"
        if found is None:
            lines.append(
                f"- {where}: the baseline was not timed against itself on this machine. So no ratio is marked "
                f"*{INDISTINCT}*. `cnnprof check --runtime {runtime}` times it; `make render` then uses the result."
            )
            continue
        rounds = len(found.rounds)
        times = units.counted(rounds, "time")
        layers = ""
        if not math.isnan(found.kernel_ratio):
            layers = (
                f"In one layer, the multiply-adds differ by a ratio of up to {found.kernel_ratio:.3f}, the other "
                f"operations of up to {found.side_ratio:.3f}. "
            )
        lines.append(
            f"- {where}: the baseline was timed against itself {times}, each time in two new "
            f"sessions. 95% of the ratios lie between 1/{found.smallest_ratio:.3f} and {found.smallest_ratio:.3f}. A "
            f"ratio closer to 1 is {INDISTINCT}. {layers}The 95% intervals over "
            f"blocks are {found.width:.3f} wide (median); the true ratio, 1, lies outside {found.excluding} of "
            f"{rounds}. These intervals know the noise between blocks, but not the noise between sessions. So they are "
            f"widened by a ratio of {found.unseen_ratio:.3f}; then 95% of them hold 1."
        )
    return "\n".join(lines)


def ranks_text(changes: pd.DataFrame) -> str:
    """Whether profiling changes the order of the variants; ``changes`` from `numbers.rank_changes`."""
    if changes.empty:
        return "The variants come in the same order with and without profiling."
    pairs = [
        f"in `{row['runtime']}` {code(row['faster'])} is faster than {code(row['slower'])} without profiling, but "
        "slower with it"
        for row in changes.to_dict("records")
    ]
    return f"**Profiling changes the order of variants**: {'; '.join(pairs)}. The unprofiled order counts."


def overhead_text(table: pd.DataFrame) -> str:
    """Where a large factor of profiling comes from; ``table`` from `numbers.overhead`."""
    if table.empty:
        return ""
    factors, add_step_s = table["with_add_step_over_plain"], table["add_step_s"]
    most = table[factors == factors.max()].iloc[0]
    return (
        "A profiled step is traced while the clock runs. The trace is read after the clock has stopped. A loop that "
        "hands each step to `tf.compat.v1.profiler` pays for the reading, too: `add_step` takes "
        f"{units.seconds(add_step_s.min())} to {units.seconds(add_step_s.max())}. This depends on the number of nodes, "
        f"not on their work. So a shorter step has a larger factor: {factors.min():.1f} to {factors.max():.1f} here "
        f"([Figure](#F_overhead)). On {code(most['variant'])} ({most['runtime']}) a traced step takes "
        f"{most['profiled_over_plain']:.2f} times as long as an unprofiled one, with `add_step` "
        f"{most['with_add_step_over_plain']:.1f} times."
    )


def all_cautions_text(overview: pd.DataFrame) -> str:
    """The cautions of all runs, each once with the runs it concerns; ``overview`` from `variants.numbers.overview`."""
    runs = overview[overview["status"] == "ok"]
    several = runs["machine"].nunique() > 1
    found: dict[str, list[str]] = {}
    for row in runs.to_dict("records"):
        for line in row["cautions"]:
            where = f"{row['runtime']}, {escape(row['machine'])}" if several else row["runtime"]
            found.setdefault(line, []).append(f"{code(row['variant'])} ({where})")
    return "\n".join(
        f"- **Warning**, {'all runs' if len(names) == len(runs) else listed(names)}: {escape(line)}."
        for line, names in found.items()
    )
