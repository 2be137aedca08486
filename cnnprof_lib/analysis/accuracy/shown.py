"""Which variant to take for a given loss of accuracy, and the efficient frontier, in figures and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...base import units
from ...page.style import interval_lengths, label_points, legend_below, log_ticks
from ...page.text import code
from ..colours import source_style
from ..estimates import Estimate, difference_of_proportions, is_below
from .numbers import dominated, in_one_scale, paired_loss

NO_CHOICE = (
    "It cannot be said: the outcomes of the test images under the profiled weights are missing, of the baseline or of "
    "all others."
)

CHOICE_DRAWN = "[Figure](#F_choice) shows what each variant loses, [Table](#T_overview) its latency and its accuracy."
_MS = 1e3
_DOMINATED = "is dominated by"


def choice_text(choices: pd.DataFrame, runtime: str) -> str:
    """The choices of one runtime in words, a sentence for all limits that lead to one; says so if there are none.

    Args:
        choices: From `numbers.cheapest`.
        runtime: The runtime of its latencies.
    """
    if choices.empty:
        return f"In {runtime} no variant can be chosen: the outcomes or the latency of the baseline are missing."
    alike: dict[tuple[str, ...], list[dict[Any, Any]]] = {}
    for row in choices.to_dict("records"):
        alike.setdefault((row["variant"], *row["undecided"]), []).append(row)
    sentences = [_sentence(rows[0], [row["limit_points"] for row in rows]) for rows in alike.values()]
    first, *others = sentences
    return " ".join([f"In {runtime}, f{first[1:]}", *others])


def _sentence(row: dict[Any, Any], limits_points: Sequence[float]) -> str:
    points = " or ".join(f"{limit:g}" for limit in limits_points)
    start = f"For a loss of at most {points} {units.plural(limits_points[-1], 'point')} "
    if row["is_baseline"]:
        text = "no faster variant is sure"
    else:
        text = (
            f"take {row['variant']}, with {row['ratio']:.3f} of the baseline's latency and "
            f"{100 * row['loss']:.1f} points lost (at most {100 * row['loss_high']:.1f} with 95%)"
        )
    if them := " or ".join(row["undecided"]):
        text += f"; with {units.counted(row['images'], 'image')} it cannot be told whether {them} stays within it"
    return f"{start}{text}."


def loss_figure(lost: pd.DataFrame, overview: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """What a faster network costs in accuracy: one point per variant and runtime, with 95% intervals on both axes.

    Args:
        lost: From `numbers.losses`.
        overview: From `variants.numbers.overview`; runs without a latency and variants without outcomes are left out.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    rows = overview.dropna(subset=["ratio"]).merge(lost, on="variant")
    ax.set(xlabel="latency / latency of the baseline in the same process", ylabel="top-1 accuracy lost [points]")
    ax.set_title("What does a faster network lose?")
    if rows.empty:
        ax.text(0.5, 0.5, "no variant has outcomes and a latency", transform=ax.transAxes, ha="center")
        ax.set(xticks=[], yticks=[])
        return ax
    for runtime in rows["runtime"].unique():
        of = rows[rows["runtime"] == runtime]
        ax.errorbar(
            of["ratio"],
            of["loss"] * 100,
            xerr=interval_lengths(of, "ratio"),
            yerr=interval_lengths(of, "loss", 100),
            linestyle="none",
            label=runtime,
            **source_style(runtime),
        )
    ax.axhline(0, color="#555555", linewidth=1, linestyle=":")
    ax.axvline(1, color="#555555", linewidth=1, linestyle=":")
    ax.set_xscale("log")
    ax.margins(x=0.2, y=0.1)
    log_ticks(ax.xaxis)
    label_points(ax, list(zip(rows["ratio"], rows["loss"] * 100, rows["variant"], strict=True)))
    legend_below(ax)
    return ax


def accuracy_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """What accuracy a millisecond buys: one point per run with 95% intervals, hollow where dominated.

    The steps are the efficient frontier of each runtime: the accuracy to be had in a given time. Bars are dotted where
    the accuracy was recorded with the weights, not measured. Latencies are `in_one_scale`.

    Args:
        data: From `variants.numbers.overview`; runs without latency or accuracy are left out.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    ax.set(xlabel="latency per step [ms]", ylabel="top-1 accuracy [%]", title="What does accuracy cost?")
    data = in_one_scale(data).dropna(subset=["latency_s", "top1"])
    if data.empty:
        ax.text(0.5, 0.5, "no run has an accuracy", transform=ax.transAxes, ha="center")
        ax.set(xticks=[], yticks=[])
        return ax
    data = data.assign(dominated=dominated(data))
    for place, (_, rows) in enumerate(data[~data["dominated"]].sort_values("latency_s").groupby("runtime")):
        steps, label = (rows["latency_s"] * _MS, rows["top1"] * 100), None if place else "efficient frontier"
        ax.step(*steps, where="post", color="#aaaaaa", linewidth=1, zorder=1, label=label)
    for (runtime, measured), rows in data.groupby(["runtime", "accuracy_measured"], sort=False):
        label = f"{runtime}, accuracy {'measured' if measured else 'recorded'}"
        for beaten, some in rows.groupby("dominated"):
            _accuracy_points(ax, some, label, filled=not beaten, bars="-" if measured else ":")
            label = ""
    if data["dominated"].any():
        ax.plot([], [], "o", color="#555555", markerfacecolor="white", label="dominated")
    ax.set_xscale("log")
    ax.margins(x=0.2, y=0.1)
    log_ticks(ax.xaxis)
    label_points(ax, list(zip(data["latency_s"] * _MS, data["top1"] * 100, data["variant"], strict=True)))
    legend_below(ax)
    return ax


def _accuracy_points(ax: Axes, rows: pd.DataFrame, label: str, *, filled: bool, bars: str) -> None:
    """Points of one runtime with their intervals; ``bars`` is the line style of these."""
    drawn = ax.errorbar(
        rows["latency_s"] * _MS,
        rows["top1"] * 100,
        xerr=interval_lengths(rows, "latency_s", _MS),
        yerr=interval_lengths(rows, "top1", 100),
        linestyle="none",
        markerfacecolor=None if filled else "white",
        label=label,
        **source_style(rows["runtime"].iloc[0]),
    )
    for lines in drawn[2]:
        lines.set_linestyle(bars)


def frontier_text(overview: pd.DataFrame, outcomes: pd.DataFrame) -> str:
    """Which variants are dominated and by which, as far as the intervals allow; a sentence per finding.

    A variant is faster where the intervals of the ratios to the baseline are apart, by more than the machine can tell
    apart, and more accurate where the interval of the difference leaves out 0.

    Args:
        overview: From `variants.numbers.overview`; runs without a latency or an accuracy are left out.
        outcomes: From `numbers.outcomes`. Variants that are in it are compared image by image, others by their
            accuracies alone.
    """
    known = in_one_scale(overview).dropna(subset=["latency_s", "top1"])
    found: dict[str, list[str]] = {}
    for runtime, rows in known.groupby("runtime", sort=False):
        if len(rows) > 1:
            found.setdefault(_standing(rows, outcomes), []).append(f"`{runtime}`")
    sentences = [f"In {' and '.join(runtimes)}, {text}." for text, runtimes in found.items()]
    return " ".join([*sentences, "[Figure](#F_accuracy) shows the frontier."] if sentences else [])


def _standing(rows: pd.DataFrame, outcomes: pd.DataFrame) -> str:
    """What holds of all variants of one runtime."""
    by_name = rows.set_index("variant")
    found = [text for name in rows["variant"] if (text := _judged(name, by_name, outcomes))]
    if not found:
        return "no variant is dominated: each that is faster than another is less accurate"
    return "; ".join(found if any(_DOMINATED in text for text in found) else ["no variant is surely dominated", *found])


def _judged(name: str, rows: pd.DataFrame, outcomes: pd.DataFrame) -> str:
    """What the fastest rival that may dominate a variant has over it; empty where the variant is on the frontier."""
    rivals = {
        rival: (_is_faster(rival, name, rows), _is_more_accurate(rival, name, rows, outcomes))
        for rival in rows.sort_values("latency_s").index
        if rival != name
    }
    told = {found: rival for rival, found in reversed(rivals.items())}
    if rival := told.get((True, True)):
        return f"{code(name)} {_DOMINATED} {code(rival)}, which is faster and more accurate"
    if rival := told.get((True, None)):
        return f"{code(rival)} is faster than {code(name)}, and their accuracies cannot be told apart"
    if rival := told.get((None, True)):
        return f"{code(rival)} is more accurate than {code(name)}, and their latencies cannot be told apart"
    if (rival := told.get((None, None))) and dominated(rows.loc[[rival, name]]).iloc[1]:
        return f"{code(name)} lies behind {code(rival)}, from which it cannot be told apart"
    return ""


def _is_faster(rival: str, name: str, rows: pd.DataFrame) -> bool | None:
    """None where it cannot be told."""
    ratios = [Estimate(*rows.loc[who, ["ratio", "ratio_low", "ratio_high"]].astype(float)) for who in (rival, name)]
    between, smallest = ratios[1].value / ratios[0].value, rows["smallest_ratio"].max()
    if 1 / smallest <= between <= smallest or any(np.isnan(ratio.low) for ratio in ratios):
        return None
    return is_below(*ratios)


def _is_more_accurate(rival: str, name: str, rows: pd.DataFrame, outcomes: pd.DataFrame) -> bool | None:
    """None where it cannot be told."""
    if {rival, name} <= set(outcomes.columns):
        loss = paired_loss(outcomes[rival].to_numpy(dtype=bool), outcomes[name].to_numpy(dtype=bool))
    else:
        top1 = [Estimate(*rows.loc[who, ["top1", "top1_low", "top1_high"]].astype(float)) for who in (rival, name)]
        loss = difference_of_proportions(*top1)
    if loss.low <= 0 <= loss.high:
        return None
    return loss.low > 0
