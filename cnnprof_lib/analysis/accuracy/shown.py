"""The answer: which network to take, in which runtime, for a given loss of accuracy; as table, figure and sentence."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import interval_lengths, label_points, legend_below, log_ticks
from ...page.table import Column, interval_texts, same_in_all, styled
from ...page.text import code, interval_text
from ...params.runtimes import REFERENCE_RUNTIME
from ..colours import THESIS, source_style
from .frontier import ANSWER_POINTS, PLACE, ChoiceRow

NO_FRONTIER = (
    "This cannot be said here. It takes runs with an accuracy that were timed beside the baseline in "
    f"`{REFERENCE_RUNTIME}`: `cnnprof run` makes them."
)
NO_CHOICE = (
    "What each network loses cannot be said here. It takes the answers to each test image, of the baseline in "
    f"`{REFERENCE_RUNTIME}` and of others: `cnnprof run --data PATH` keeps them."
)
ACCURACY_CAPTION = hover.Caption(
    "accuracy",
    "Accuracy against latency of all networks in all runtimes, with 95% intervals. Latency is over that of the "
    f"baseline in {REFERENCE_RUNTIME}, timed beside each run. The line is the efficient frontier: what lies off it is "
    "slower or less accurate than something on it. A network is named once, at its fastest runtime",
)
_MS = 1e3
_LATENCY, _LOST = f"latency / baseline in {REFERENCE_RUNTIME}", "points lost"
_CHOICES = {
    "limit_points": Column("loss you accept [points]", "{:g}".format),
    "variant": Column("network", wraps=False),
    "runtime": Column("runtime", wraps=False),
    "machine": Column("machine"),
    "ratio": Column("median", "{:.3f}".format, _LATENCY),
    "ratio_interval": Column("95% interval", None, _LATENCY, wraps=False),
    "times": Column("times faster", "{:.1f}".format, _LATENCY),
    "loss_points": Column("measured", "{:z.1f}".format, _LOST),
    "loss_interval": Column("95% interval", None, _LOST, wraps=False),
    "undecided": Column("fastest that the images do not decide"),
}


def choice_table(choices: pd.DataFrame) -> Styler:
    """Which network to take in which runtime for the loss of accuracy that one accepts, from `frontier.choices`."""
    points = choices.assign(**{name: choices[name] * 100 for name in ("loss", "loss_low", "loss_high")})
    shown = choices.assign(
        ratio_interval=interval_texts(choices, "ratio", "{:.3f}".format),
        times=1 / choices["ratio"],
        loss_points=points["loss"],
        loss_interval=interval_texts(points, "loss", "{:z.1f}".format),
    )
    hidden = [*same_in_all(choices, "machine"), *([] if shown["undecided"].any() else ["undecided"])]
    caption = (
        "The fastest network and runtime for the loss of accuracy that you accept, against the baseline in "
        f"{REFERENCE_RUNTIME} on the same {units.counted(choices['images'].max(), 'test image')}. The whole interval "
        "of the loss is within what you accept"
    )
    return styled(shown, _CHOICES, hidden=hidden, caption=caption, key="choice")


def answer_text(chosen: ChoiceRow, baseline: str) -> str:
    """The choice at `ANSWER_POINTS` in a sentence."""
    points = f"{ANSWER_POINTS:g} {units.plural(ANSWER_POINTS, 'point')}"
    base = f"{code(baseline)} in `{REFERENCE_RUNTIME}`"
    if (chosen.variant, chosen.runtime) == (baseline, REFERENCE_RUNTIME):
        return f"Nothing that is faster than {base} is known to lose at most {points} of accuracy."
    ratio = interval_text(chosen.ratio_low, chosen.ratio_high, units.ratio)
    gains = chosen.loss_high < 0
    ends = (-chosen.loss_high, -chosen.loss_low) if gains else (chosen.loss_low, chosen.loss_high)
    interval = interval_text(*ends, lambda share: f"{100 * share:z.1f}")
    change = f"{'gains' if gains else 'loses'} {100 * (-chosen.loss if gains else chosen.loss):z.1f} points of accuracy"
    return (
        f"**{code(chosen.variant)} in `{chosen.runtime}` is {1 / chosen.ratio:.1f} times as fast as {base}**: it takes "
        f"{units.ratio(chosen.ratio)} of the latency ({ratio}) and {change} ({interval}). "
        f"Nothing faster is known to lose at most {points}."
    )


def answer_figure(rows: pd.DataFrame, published: pd.DataFrame | None = None, *, ax: Axes | None = None) -> Axes:
    """What a faster network in a faster runtime keeps of the accuracy: a point for each, and the efficient frontier.

    Args:
        rows: From `frontier.frontier`.
        published: Rows of `frontier.PublishedRow`, drawn hollow; without a ratio as a level.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    ax.set(xscale="log", ylabel="top-1 accuracy [%]", title="What accuracy does a faster network keep?")
    ax.set_xlabel(f"latency / latency of the baseline in {REFERENCE_RUNTIME}")
    log_ticks(ax.xaxis)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"1/{1 / value:g}" if value < 1 else f"{value:g}"))
    for base in rows[rows["is_base"]].to_dict("records"):
        ax.axhline(100 * base["top1"], color="#555555", linewidth=1, linestyle=":")
        ax.axvline(base["ratio"], color="#555555", linewidth=1, linestyle=":")
    best = rows[~rows["dominated"]].sort_values("ratio")
    ax.step(best["ratio"], best["top1"] * 100, where="post", color="#555555", zorder=1, label="efficient frontier")
    for runtime, some in rows.groupby("runtime", sort=False):
        _answers(ax, str(runtime), some)
    names = [] if published is None else _published(ax, published)
    ax.margins(x=0.1, y=0.08)
    fastest = rows.loc[rows.groupby("variant", sort=False)["ratio"].idxmin()]
    names += list(zip(fastest["ratio"], fastest["top1"] * 100, fastest["variant"], strict=True))
    label_points(ax, names, others=list(zip(rows["ratio"], rows["top1"] * 100, strict=True)), rim=True)
    legend_below(ax)
    return ax


def _answers(ax: Axes, runtime: str, some: pd.DataFrame) -> None:
    """The points of one runtime, those on the frontier large and the others pale; each tells its numbers."""
    style = source_style(runtime)
    ax.plot([], [], linestyle="none", label=runtime, **style)
    ends: dict[str, Any] = {"xerr": interval_lengths(some, "ratio"), "yerr": interval_lengths(some, "top1", 100)}
    ax.errorbar(some["ratio"], some["top1"] * 100, **ends, fmt="none", ecolor=style["color"], elinewidth=0.8, alpha=0.4)
    for row in some.to_dict("records"):
        look: dict[str, Any] = {"alpha": 0.45, "markersize": 5} if row["dominated"] else {"markersize": 8}
        (point,) = ax.plot([row["ratio"]], [row["top1"] * 100], linestyle="none", **style, **look)
        hover.tell(
            point, f"{row['variant']} in {runtime}: ratio {row['ratio']:.3f}, top-1 {units.percent(row['top1'])}"
        )


def _published(ax: Axes, published: pd.DataFrame) -> list[tuple[float, float, str]]:
    """Draws what others printed; returns the points that want a name."""
    style = source_style(THESIS)
    levels = published[published["ratio"].isna()]
    for row in levels.to_dict("records"):
        ax.axhline(100 * row["top1"], linewidth=1, linestyle="-.", color=style["color"])
        ax.annotate(
            f"{row['name']}: {units.percent(row['top1'], 0)}",
            (0.005, 100 * row["top1"]),
            (0, 3),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            fontsize="small",
            color="#555555",
        )
    points = published.dropna(subset=["ratio"]).sort_values("ratio")
    for source, some in points.groupby("source"):
        look: dict[str, Any] = {
            "linestyle": "--",
            "linewidth": 1,
            "markerfacecolor": "white",
            "label": str(source),
            **style,
        }
        ax.plot(some["ratio"], some["top1"] * 100, **look)
    return [(row["ratio"], 100 * row["top1"], f"{row['name']}, printed") for row in points.to_dict("records")]


def accuracy_figure(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """What accuracy a millisecond buys: one point per run with 95% intervals, hollow where dominated.

    The steps are the efficient frontier of each runtime on each machine: the accuracy to be had in a given time. Bars
    are dotted where the accuracy was recorded with the weights, not measured.

    Args:
        data: From `sweeps.numbers.frontier_of`.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    ax.set(xlabel="latency per step [ms]", ylabel="top-1 accuracy [%]", title="What does accuracy cost?", xscale="log")
    for place, (_, rows) in enumerate(data[~data["dominated"]].sort_values("latency_s").groupby(PLACE)):
        steps, label = (rows["latency_s"] * _MS, rows["top1"] * 100), None if place else "efficient frontier"
        ax.step(*steps, where="post", color="#aaaaaa", linewidth=1, zorder=1, label=label)
    for (runtime, measured), rows in data.groupby(["runtime", "accuracy_measured"], sort=False):
        label = f"{runtime}, accuracy {'measured' if measured else 'recorded'}"
        for beaten, some in rows.groupby("dominated"):
            look: dict[str, Any] = {"markerfacecolor": "white"} if beaten else {}
            ends: dict[str, Any] = {
                "xerr": interval_lengths(some, "latency_s", _MS),
                "yerr": interval_lengths(some, "top1", 100),
            }
            style = source_style(str(runtime))
            latency_ms, top1 = some["latency_s"] * _MS, some["top1"] * 100
            drawn = ax.errorbar(latency_ms, top1, **ends, linestyle="none", label=label, **style, **look)
            for lines in drawn[2]:
                lines.set_linestyle("-" if measured else ":")
            label = ""
    if data["dominated"].any():
        ax.plot([], [], "o", color="#555555", markerfacecolor="white", label="dominated")
    ax.margins(x=0.2, y=0.1)
    log_ticks(ax.xaxis)
    label_points(ax, list(zip(data["latency_s"] * _MS, data["top1"] * 100, data["variant"], strict=True)))
    legend_below(ax)
    return ax
