"""Which variant to take for a given loss of accuracy, and the efficient frontier, as table, figures and sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import interval_lengths, label_points, legend_below, log_ticks
from ...page.table import Column, interval_texts, styled
from ...page.text import code, escape
from ..colours import source_style
from .frontier import BEHIND, DOMINATED, LESS_ACCURATE, ON_FRONTIER, PLACE, SLOWER

NO_CHOICE = (
    "This cannot be said here. What the profiled weights make of each test image is not known, for the baseline or for "
    "all other variants."
)

CHOICE_DRAWN = "[Figure](#F_choice) shows what each variant loses, [Table](#T_overview) its latency and accuracy."
LOSS_CAPTION = hover.Caption(
    "choice",
    "Accuracy that each variant loses against the baseline on the same test images, by the share of the baseline's "
    "latency that is left. Lines are 95% intervals",
)
ACCURACY_CAPTION = hover.Caption(
    "accuracy",
    "Left: accuracy against latency with 95% intervals. The steps are the efficient frontier of each runtime; a hollow "
    "point is dominated. Each latency is that of the baseline times the ratio on the right, so that variants compare "
    "although each was timed in its own processes. Right: the share of the baseline's latency that is left",
)
_MS = 1e3
_STANDINGS = {
    DOMINATED: "{variant} is dominated by {rival}, which is faster and more accurate",
    SLOWER: "{rival} is faster than {variant}, and their accuracies cannot be told apart",
    LESS_ACCURATE: "{rival} is more accurate than {variant}, and their latencies cannot be told apart",
    BEHIND: "{variant} lies behind {rival}, but the two cannot be told apart",
}
_LATENCY, _LOSS = "latency left", "points lost"
_CHOICES = {
    "runtime": Column("runtime"),
    "limit_points": Column("loss you accept [points]", "{:g}".format),
    "variant": Column("take", wraps=False),
    "ratio": Column("median", "{:.3f}".format, _LATENCY),
    "ratio_interval": Column("95% interval", None, _LATENCY, wraps=False),
    "loss_points": Column("measured", "{:.1f}".format, _LOSS),
    "loss_high_points": Column("at most (95%)", "{:.1f}".format, _LOSS),
    "undecided": Column("faster, but the images do not decide"),
}


def choice_table(choices: pd.DataFrame) -> Styler:
    """Which variant to take for the loss of accuracy that one accepts, from `numbers.choices`."""
    shown = choices.assign(
        ratio_interval=interval_texts(choices, "ratio", "{:.3f}".format),
        loss_points=choices["loss"] * 100,
        loss_high_points=choices["loss_high"] * 100,
        undecided=choices["undecided"].map(", ".join),
    )
    hidden = [] if shown["undecided"].any() else ["undecided"]
    caption = (
        "The fastest variant for the loss of accuracy that you accept, against the baseline on the same "
        f"{units.counted(choices['images'].max(), 'test image')}"
    )
    return styled(shown, _CHOICES, hidden=hidden, caption=caption, key="choice")


def choice_text(choices: pd.DataFrame, runtimes: Iterable[str]) -> str:
    """Where the choices are shown, and in which of the runtimes there is none; ``choices`` from `numbers.choices`."""
    without = [runtime for runtime in runtimes if runtime not in set(choices["runtime"])]
    missing = [
        f"In {runtime} no variant can be chosen: the outcomes or the latency of the baseline are missing."
        for runtime in without
    ]
    return " ".join([*missing, CHOICE_DRAWN])


def loss_figure(lost: pd.DataFrame, overview: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """What a faster network costs in accuracy: one point per variant and runtime, with 95% intervals on both axes.

    Args:
        lost: From `numbers.losses`.
        overview: From `variants.numbers.overview`; runs without a latency and variants without outcomes are left out.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    rows = overview.dropna(subset=["ratio"]).merge(lost.drop(columns="images"), on=["runtime", "variant"])
    ax.set(xlabel="latency / latency of the baseline in the same process", ylabel="top-1 accuracy lost [points]")
    ax.set_title("What does a faster network lose?")
    for runtime in rows["runtime"].unique():
        _points(ax, rows[rows["runtime"] == runtime], ("ratio", 1), ("loss", 100), label=runtime)
    if not rows.empty:
        ax.axhline(0, color="#555555", linewidth=1, linestyle=":")
        ax.axvline(1, color="#555555", linewidth=1, linestyle=":")
    return _named(ax, rows, ("ratio", 1), ("loss", 100), missing="no variant has both a latency and outcomes")


def accuracy_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """What accuracy a millisecond buys: one point per run with 95% intervals, hollow where dominated.

    The steps are the efficient frontier of each runtime on each machine: the accuracy to be had in a given time. Bars
    are dotted where the accuracy was recorded with the weights, not measured.

    Args:
        data: From `frontier.frontier`.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    ax.set(xlabel="latency per step [ms]", ylabel="top-1 accuracy [%]", title="What does accuracy cost?")
    for place, (_, rows) in enumerate(data[~data["dominated"]].sort_values("latency_s").groupby(PLACE)):
        steps, label = (rows["latency_s"] * _MS, rows["top1"] * 100), None if place else "efficient frontier"
        ax.step(*steps, where="post", color="#aaaaaa", linewidth=1, zorder=1, label=label)
    for (runtime, measured), rows in data.groupby(["runtime", "accuracy_measured"], sort=False):
        label = f"{runtime}, accuracy {'measured' if measured else 'recorded'}"
        for beaten, some in rows.groupby("dominated"):
            look = {"markerfacecolor": "white"} if beaten else {}
            drawn = _points(ax, some, ("latency_s", _MS), ("top1", 100), label=label, **look)
            for lines in drawn[2]:
                lines.set_linestyle("-" if measured else ":")
            label = ""
    if data["dominated"].any():
        ax.plot([], [], "o", color="#555555", markerfacecolor="white", label="dominated")
    return _named(ax, data, ("latency_s", _MS), ("top1", 100), missing="no run has an accuracy")


def _points(ax: Axes, rows: pd.DataFrame, x: tuple[str, float], y: tuple[str, float], **look: Any) -> ErrorbarContainer:
    """Points of one runtime with their intervals; ``x`` and ``y`` are columns, and what they are multiplied by."""
    ends: dict[str, Any] = {"xerr": interval_lengths(rows, *x), "yerr": interval_lengths(rows, *y)}
    style = source_style(rows["runtime"].iloc[0])
    return ax.errorbar(rows[x[0]] * x[1], rows[y[0]] * y[1], **ends, linestyle="none", **style, **look)


def _named(ax: Axes, rows: pd.DataFrame, x: tuple[str, float], y: tuple[str, float], *, missing: str) -> Axes:
    """Lays out points on a log scale and names them; says what is missing where there are none."""
    if rows.empty:
        ax.text(0.5, 0.5, missing, transform=ax.transAxes, ha="center")
        ax.set(xticks=[], yticks=[])
        return ax
    ax.set_xscale("log")
    ax.margins(x=0.2, y=0.1)
    log_ticks(ax.xaxis)
    label_points(ax, list(zip(rows[x[0]] * x[1], rows[y[0]] * y[1], rows["variant"], strict=True)))
    legend_below(ax)
    return ax


def frontier_text(standings: pd.DataFrame) -> str:
    """Which variants are dominated and by which, a sentence per finding; ``standings`` from `frontier.standings`."""
    found: dict[str, list[str]] = {}
    several = standings["machine"].nunique() > 1
    for _, rows in standings.groupby(PLACE, sort=False):
        runtime, machine = rows[PLACE].iloc[0]
        where = f"`{runtime}` on {escape(machine)}" if several else f"`{runtime}`"
        found.setdefault(_standings(rows), []).append(where)
    sentences = [f"In {' and '.join(runtimes)}, {text}." for text, runtimes in found.items()]
    return " ".join([*sentences, "[Figure](#F_accuracy) shows the frontier."] if sentences else [])


def _standings(rows: pd.DataFrame) -> str:
    """What holds of all variants of one runtime."""
    behind = rows[rows["standing"] != ON_FRONTIER]
    if behind.empty:
        return "no variant is dominated: each faster variant is less accurate"
    texts = [
        _STANDINGS[row["standing"]].format(variant=code(row["variant"]), rival=code(row["rival"]))
        for row in behind.to_dict("records")
    ]
    return "; ".join(texts if DOMINATED in set(behind["standing"]) else ["no variant is surely dominated", *texts])
