"""The efficient frontier: the variants that no other one beats in latency and accuracy together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .choice import BASELINE, paired_loss
from .estimates import Estimate, difference_of_proportions, is_below
from .prose import code

_DOMINATED = "is dominated by"


def in_one_scale(overview: pd.DataFrame) -> pd.DataFrame:
    """Latencies that can be set against each other, though each run was timed in a process of its own.

    One process may be slower than another for no reason of the network's. So each latency becomes that of the baseline
    in the same runtime, times the ratio to the baseline that the run measured within its own processes.

    Args:
        overview: From `summary.overview`.

    Returns:
        A copy with other ``latency_s``, ``latency_s_low`` and ``latency_s_high``; as they were where the runtime has no
        run of the baseline.
    """
    baselines = overview[overview["variant"] == BASELINE].groupby("runtime")["latency_s"].first()
    scale_s = overview["runtime"].map(baselines)
    ends = {
        end: (scale_s * overview[f"ratio{end}"]).fillna(overview[f"latency_s{end}"]) for end in ("", "_low", "_high")
    }
    return overview.assign(**{f"latency_s{end}": seconds for end, seconds in ends.items()})


def dominated(data: pd.DataFrame) -> pd.Series[bool]:
    """Which rows another one of the same runtime beats, by the values alone, whatever their intervals.

    Args:
        data: Rows of `in_one_scale` with a latency and an accuracy.

    Returns:
        True where another row is no slower and no less accurate, and one of the two better; on the index of ``data``.
    """
    beaten = []
    for row in data.itertuples():
        rivals = data[data["runtime"] == row.runtime]
        no_worse = (rivals["latency_s"] <= row.latency_s) & (rivals["top1"] >= row.top1)
        better = (rivals["latency_s"] < row.latency_s) | (rivals["top1"] > row.top1)
        beaten.append(bool((no_worse & better).any()))
    return pd.Series(beaten, index=data.index, dtype=bool)


def frontier(overview: pd.DataFrame, outcomes: pd.DataFrame) -> str:
    """Which variants are dominated and by which, as far as the intervals allow; a sentence per finding.

    A variant is faster where the intervals of the ratios to the baseline are apart, by more than the machine can tell
    apart, and more accurate where the interval of the difference leaves out 0.

    Args:
        overview: From `summary.overview`; runs without a latency or an accuracy are left out.
        outcomes: From `choice.outcomes`. Variants that are in it are compared image by image, others by their
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
