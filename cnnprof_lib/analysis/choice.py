"""Which variant to take for a given loss of accuracy, from the outcomes of the same test images under each.

Variants are scored on the same images, so that only images on which they disagree tell them apart. That makes the
interval of a loss narrower than two accuracies by themselves allow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import stats

from ..base import units
from ..base.errors import StoreError
from ..records.run import RunRecord
from ..records.store import Store
from .estimates import CONFIDENCE, Estimate
from .style import SOURCE_STYLES, label_points, legend_below, log_ticks

BASELINE = "baseline"
LIMITS_POINTS = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Losses of accuracy that a reader may be willing to bear, in percentage points."""

_LOSS_COLUMNS = (
    "variant", "images", "top1", "only_baseline", "only_variant", "loss", "loss_low", "loss_high", "p_value",
)  # fmt: skip
_CHOICE_COLUMNS = (
    "limit_points", "variant", "ratio", "ratio_low", "ratio_high", "loss", "loss_high", "undecided", "images",
)  # fmt: skip


def outcomes(store: Store, runs: Sequence[RunRecord]) -> pd.DataFrame:
    """What the profiled weights made of every test image: a row per image, a column per variant, true where right.

    Variants whose outcomes are not those of the weights that were profiled, or of other images than the first's, are
    left out. Empty where there are none.
    """
    scored = {}
    for name, run in {run.variant.name: run for run in runs}.items():
        try:
            training = store.read_training(name)
            if training is not None and training.weights_sha256 == run.weights.sha256:
                scored[name] = store.read_outcomes(name)
        except StoreError:  # damaged, or of weights trained before outcomes were kept
            continue
    return right_on_the_same_images(scored)


def right_on_the_same_images(scored: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per image and a column per name, true where right.

    Args:
        scored: Outcomes by name, as from `Store.read_outcomes`; those of other images than the first's are left out.
    """
    if not scored:
        return pd.DataFrame()
    first, *_ = scored.values()
    alike = {name: outcomes for name, outcomes in scored.items() if outcomes["label"].equals(first["label"])}
    return pd.DataFrame({name: outcomes["predicted"] == outcomes["label"] for name, outcomes in alike.items()})


def losses(outcomes: pd.DataFrame) -> pd.DataFrame:
    """How much accuracy each variant loses against the baseline, image by image.

    Args:
        outcomes: A row per test image and a column per variant: whether it was classified correctly (bool).

    Returns:
        One row per variant but the baseline: ``variant``, ``images``, ``top1``; ``only_baseline`` and
        ``only_variant``, the images that only one of the two got right; ``loss`` (a share, negative for a gain) with
        its 95% interval ``loss_low`` and ``loss_high``; ``p_value`` of McNemar's exact test that the two are equally
        accurate. Each variant is judged for itself; nothing is corrected for their number. Empty without a baseline.
    """
    if BASELINE not in outcomes:
        return pd.DataFrame(columns=list(_LOSS_COLUMNS))
    base = outcomes[BASELINE].to_numpy(dtype=bool)
    rows = []
    for name in outcomes.columns.drop(BASELINE):
        variant = outcomes[name].to_numpy(dtype=bool)
        only_base, only_variant = _discordant(base, variant)
        loss = paired_loss(base, variant)
        p_value = mcnemar_exact(only_base, only_variant)
        rows.append((name, len(base), float(variant.mean()), only_base, only_variant, *loss, p_value))
    return pd.DataFrame(rows, columns=list(_LOSS_COLUMNS))


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test: a binomial test of the images that only one of two got right.

    Source: Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data", BMC Medical Research
    Methodology 13:91, 2013.
    """
    discordant = only_first + only_second
    return float(stats.binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


def paired_loss(base: NDArray[np.bool_], variant: NDArray[np.bool_]) -> Estimate:
    """How much smaller a share of the same images ``variant`` gets right, with the adjusted Wald interval.

    Source: Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data", Journal of Educational and Behavioral Statistics 37(4), 2012.
    """
    pairs, (only_base, only_variant) = len(base), _discordant(base, variant)
    first, second = ((count + 1) / (pairs + 2) for count in (only_base, only_variant))
    middle = first - second
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((first + second - middle**2) / (pairs + 2))
    return Estimate((only_base - only_variant) / pairs, middle - float(half), middle + float(half))


def _discordant(base: NDArray[np.bool_], variant: NDArray[np.bool_]) -> tuple[int, int]:
    """How many images only the one gets right, and how many only the other."""
    return int((base & ~variant).sum()), int((variant & ~base).sum())


def cheapest(
    lost: pd.DataFrame, overview: pd.DataFrame, limits_points: Sequence[float] = LIMITS_POINTS
) -> pd.DataFrame:
    """The fastest variant that stays within each limit, with 95%: its loss interval ends below it.

    Args:
        lost: From `losses`.
        overview: Rows of `summary.overview` of one runtime; variants without a latency are left out.
        limits_points: Losses to bear, in percentage points.

    Returns:
        One row per limit: ``limit_points``, ``variant`` (the baseline where no faster one qualifies), its ``ratio`` to
        the baseline's latency with ``ratio_low`` and ``ratio_high``, its ``loss`` and ``loss_high``; ``undecided``,
        the names of faster variants whose interval has the limit inside; ``images``. Empty without losses or latencies.
    """
    timed = overview.dropna(subset=["ratio"])[["variant", "ratio", "ratio_low", "ratio_high"]]
    base = timed[timed["variant"] == BASELINE].assign(loss=0.0, loss_low=0.0, loss_high=0.0)
    both = pd.concat([base, timed.merge(lost[["variant", "loss", "loss_low", "loss_high"]], on="variant")])
    if lost.empty or base.empty:
        return pd.DataFrame(columns=list(_CHOICE_COLUMNS))
    rows = [_within(both, limit) | {"images": int(lost["images"].iloc[0])} for limit in limits_points]
    return pd.DataFrame(rows, columns=list(_CHOICE_COLUMNS))


def _within(both: pd.DataFrame, limit_points: float) -> dict[str, Any]:
    limit = limit_points / 100
    sure = both[both["loss_high"] <= limit]
    chosen = sure.loc[sure["ratio"] == sure["ratio"].min()].iloc[0]
    faster = both[both["ratio"] < chosen["ratio"]]
    undecided = faster[(faster["loss_low"] <= limit) & (limit < faster["loss_high"])]
    return {"limit_points": limit_points, **chosen, "undecided": list(undecided["variant"])}


def answer(choices: pd.DataFrame, runtime: str) -> str:
    """The choices of one runtime in words, a sentence for all limits that lead to one; says so if there are none.

    Args:
        choices: From `cheapest`.
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
    if row["variant"] == BASELINE:
        text = "no faster variant is sure"
    else:
        text = (
            f"take {row['variant']}, with {row['ratio']:.3f} of the baseline's latency and "
            f"{100 * row['loss']:.1f} points lost (at most {100 * row['loss_high']:.1f} with 95%)"
        )
    if them := " or ".join(row["undecided"]):
        text += f"; with {units.counted(row['images'], 'image')} it cannot be told whether {them} stays within it"
    return f"{start}{text}."


def loss_against_ratio(lost: pd.DataFrame, overview: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """What a faster network costs in accuracy: one point per variant and runtime, with 95% intervals on both axes.

    Args:
        lost: From `losses`.
        overview: From `summary.overview`; runs without a latency and variants without outcomes are left out.
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
        ends = [np.stack([of[c] - of[f"{c}_low"], of[f"{c}_high"] - of[c]]) for c in ("ratio", "loss")]
        ax.errorbar(
            of["ratio"],
            of["loss"] * 100,
            xerr=ends[0],
            yerr=ends[1] * 100,
            linestyle="none",
            label=runtime,
            **SOURCE_STYLES[runtime],
        )
    ax.axhline(0, color="#555555", linewidth=1, linestyle=":")
    ax.axvline(1, color="#555555", linewidth=1, linestyle=":")
    ax.set_xscale("log")
    ax.margins(x=0.2, y=0.1)
    log_ticks(ax.xaxis)
    label_points(ax, list(zip(rows["ratio"], rows["loss"] * 100, rows["variant"], strict=True)))
    legend_below(ax)
    return ax
