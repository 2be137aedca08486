"""What `cnnprof diff` prints for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..analysis.differences.matching import BOTH
from ..analysis.resolution import INDISTINCT
from ..base.units import counted, percent, signed_seconds

NOTABLE_DRIFT = 0.05
"""From this share on the drift between the two processes is called a reason to measure again."""


def diff_parts(shown: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Where the time went, from the object that ``diff --json`` prints."""
    before, after, difference = shown["before"], shown["after"], shown["difference_s"]
    if before["runtime"] == after["runtime"]:
        yield Text(f"{before['variant']} to {after['variant']}, runtime {shown['runtime']}", style="bold")
    else:
        yield Text(f"{before['variant']}, runtime {before['runtime']} to {after['runtime']}", style="bold")
    yield (
        f"{signed_seconds(difference['value'])} (95%: {_interval(difference, signed_seconds)}) "
        f"per step of {counted(shown['batch_size'], 'image')}"
    )
    if shown["distinguishable"] is False:
        yield Text(f"This is {INDISTINCT}: two copies of the baseline differ as much.", style="yellow")
    yield _steps_table(shown)
    yield Text("Dim rows: the interval holds 0 or is unknown, so no change can be told.")
    if abs(shown["drift"] - 1) >= NOTABLE_DRIFT:
        yield Text(
            f"Warning: the baseline took {shown['drift']:.3f} times as long in the process of {after['variant']} "
            f"({after['run_id']}) as in that of {before['variant']} ({before['run_id']}). Here the times of "
            f"{before['variant']} are multiplied by this. Measure both again on a quiet machine.",
            style="yellow",
        )


def _steps_table(shown: Mapping[str, Any]) -> Table:
    """The two latencies and a row per step between them, with the time of a step that has all changes so far."""
    table = Table("layer", "cause", box=None)
    for heading in ("change", "95% interval", "step"):
        table.add_column(heading, justify="right")
    named = "variant" if shown["before"]["runtime"] == shown["after"]["runtime"] else "runtime"
    table.add_row(*_latency(shown["before"], named))
    reached_s, layer = shown["before"]["latency_s"]["median"], ""
    for step in shown["steps"]:
        reached_s += step["change_s"]
        name = "" if step["layer"] == layer else step["layer"]
        if name and step["presence"] != BOTH:
            name += f" ({step['presence']})"
        layer = step["layer"]
        cause = "" if step["cause"] == layer else step["cause"]
        numbers = signed_seconds(step["change_s"]), _interval(step, signed_seconds), _seconds(reached_s)
        table.add_row(name, cause, *numbers, style=None if _is_told(*step["ci95"]) else "dim")
    table.add_row(*_latency(shown["after"], named))
    return table


def _latency(run: Mapping[str, Any], named: str) -> tuple[str, ...]:
    latency = run["latency_s"]
    return run[named], "", "", _interval(latency, _seconds), _seconds(latency["median"])


def _is_told(low: float | None, high: float | None) -> bool:
    """Whether a change is known to be one."""
    return low is not None and high is not None and (low > 0 or high < 0)


def _interval(value: Mapping[str, Any], form: Callable[[float], str]) -> str:
    low, high = value["ci95"]
    return "unknown" if low is None else f"{form(low)} to {form(high)}"


def _seconds(value_s: float) -> str:
    """A duration; less than nothing where the changes so far take away more than there was, which noise can do."""
    return signed_seconds(value_s).removeprefix("+")


def forgets_parts(shown: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Whom a network forgets, from the object that ``diff --forgets --json`` prints."""
    before, after = (f"{shown[side]['variant']} in {shown[side]['runtime']}" for side in ("before", "after"))
    yield Text(f"{before} to {after}: {counted(shown['images'], 'test image')}", style="bold")
    both_wrong = shown["differ"] - shown["only_before"] - shown["only_after"]
    yield (
        f"They disagree on {shown['differ']:,}: {shown['only_before']:,} only {before} gets right, "
        f"{shown['only_after']:,} only {after}, {both_wrong:,} neither."
    )
    if shown["seeds_differ"] is not None:
        name = shown["before"]["variant"]
        yield f"Two trainings of {name} that differ by the seed alone disagree on {shown['seeds_differ']:,.0f}."
    yield _classes_table(shown["classes"])
    yield f"The intervals hold for all {counted(len(shown['classes']), 'row')} at once, with 95%."


def _classes_table(classes: Sequence[Mapping[str, Any]]) -> Table:
    """A row per class."""
    table = Table("class", box=None)
    for heading in ("images", "top-1 before", "after", "points lost", "interval", "only before", "only after"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in classes:
        table.add_row(
            row["class"],
            f"{row['images']:,}",
            *(percent(row["top1"][side], 1) for side in ("before", "after")),
            _points(row["loss"]["value"]),
            _interval(row["loss"], _points),
            f"{row['only_before']:,}",
            f"{row['only_after']:,}",
            row["told"] or "",
            style="bold" if row["told"] else None,
        )
    return table


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
