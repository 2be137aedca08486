"""What `cnnprof diff` prints for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..analysis.differences.matching import BOTH
from ..analysis.resolution import INDISTINCT
from ..base.units import counted, signed_seconds

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
