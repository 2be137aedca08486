"""Sentences on how far the profiles can be trusted, as Markdown, every number taken from a record or a frame."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..base import units
from ..params.settings import Runtime
from .check import INDISTINCT, Resolution
from .prose import code


def checked(resolutions: Mapping[Runtime, Resolution], runtimes: Sequence[Runtime]) -> str:
    """What the baseline timed against itself says of each runtime; a list."""
    lines = []
    for runtime in runtimes:
        if (found := resolutions.get(runtime)) is None:
            lines.append(
                f"- `{runtime}`: the baseline was not timed against itself on this machine, so no ratio is called "
                f"{INDISTINCT}. `cnnprof check --runtime {runtime}` does it, and `make render` then uses it."
            )
            continue
        lines.append(
            f"- `{runtime}`: the baseline was timed against itself {len(found.rounds)} times, each time in two new "
            f"sessions. 95% of the ratios lie within {found.smallest_ratio:.3f} and its inverse. A ratio nearer to 1 "
            f"is {INDISTINCT}. One layer's multiply-adds differ by up to {found.kernel_ratio:.3f}, its other "
            f"operations by up to {found.side_ratio:.3f}. The intervals over blocks are {found.width:.3f} wide "
            f"(median), and {found.excluding} of {len(found.rounds)} leave out 1. They know the noise between blocks "
            f"but not that of a new session. So they are widened by a ratio of {found.unseen_ratio:.3f}, with which "
            "95% of them hold 1."
        )
    return "\n".join(lines)


def ranks(changes: pd.DataFrame) -> str:
    """Whether profiling changes the order of the variants; ``changes`` from `books.rank_changes`."""
    if changes.empty:
        return "The variants come in the same order with and without profiling."
    pairs = [
        f"in `{row['runtime']}` {code(row['faster'])} is faster than {code(row['slower'])} without profiling, but "
        "slower under it"
        for row in changes.to_dict("records")
    ]
    return f"**Profiling changes the order of variants**: {'; '.join(pairs)}. The unprofiled order counts."


def overhead(table: pd.DataFrame) -> str:
    """Where a large factor of profiling comes from; ``table`` from `books.overhead`."""
    if table.empty:
        return ""
    factors, add_step_s = table["with_add_step_over_plain"], table["add_step_s"]
    most = table[factors == factors.max()].iloc[0]
    return (
        "A profiled step is traced inside the clock, and what the trace says is read after the clock has stopped. A "
        "loop that hands each step to `tf.compat.v1.profiler` as it goes pays for the reading too: `add_step` takes "
        f"{units.seconds(add_step_s.min())} to {units.seconds(add_step_s.max())}, by the number of nodes and not by "
        f"their work, so the shorter the step, the larger the factor: {factors.min():.1f} to {factors.max():.1f} here "
        "([Figure](#F_overhead)). "
        f"On {code(most['variant'])} ({most['runtime']}) tracing alone costs {most['profiled_over_plain']:.2f} times "
        f"the unprofiled step, both together {most['with_add_step_over_plain']:.1f} times."
    )


def memory(table: pd.DataFrame) -> str:
    """What lies between the three answers to how much memory; ``table`` from `books.memory`."""
    return "\n".join(_memory(row) for row in table[table["variant"] == "baseline"].to_dict("records"))


def _memory(row: Mapping[Hashable, Any]) -> str:
    size = {name: units.num_bytes(value) for name, value in row.items() if str(name).endswith("_bytes")}
    asked = row["step_bytes"]
    share = f", {units.percent(row['live_peak_bytes'] / asked, 0)} of it" if asked else ""
    return (
        f"- {code(row['variant'])}, `{row['runtime']}`: of {size['requested_bytes']} requested, "
        f"{size['persistent_bytes']} stay from step to step: the weights, {size['parameter_bytes']}, and the input "
        f"queue where there is one. The step's own outputs and temporaries add up to {size['step_bytes']}. At most "
        f"{size['live_peak_bytes']}{share} are alive at once, when {code(row['live_peak_layer'])} runs, for an output "
        f"is freed after its last reader and its memory asked for again. The process holds {size['rss_start_bytes']} "
        f"before there is a model (TensorFlow itself, and the images), {size['model_bytes']} more with the model and "
        f"its session, {size['stepping_bytes']} more at its peak while stepping."
    )
