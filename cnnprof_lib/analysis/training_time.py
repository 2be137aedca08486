"""How long a step of training takes, variant by variant, beside what the thesis printed of whole trainings.

Trainings by different recipes differ in their steps and in what a step does, so that only one recipe's times of a step
are compared with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from .. import units
from ..thesis.claims import load_claims
from ..training_records import TrainingRecord
from .claim_rules import STRIDES
from .compare import THESIS
from .prose import escape
from .style import SOURCE_STYLES, label_right, log_ticks

BASELINE = "baseline"
CAPTION = (
    "Time of a training step: the median of the stretches in a training's history and their middle half; hollow where "
    "stretches hold pauses; of the thesis, the time it gives for a whole training over its steps"
)
_COLUMNS = ("variant", "source", "step_s", "step_s_low", "step_s_high", "pauses")
_CLAIM = 8
_SECONDS = {"h": 3600.0, "min": 60.0}
_MS = 1e3
_MARKERS = "os^vP"


def step_times(records: Sequence[TrainingRecord]) -> pd.DataFrame:
    """Seconds per step of each training, then those of the thesis: its whole training over its steps.

    Returns:
        The baseline's, then by falling MACs: ``variant``, ``source`` (the recipe, or `THESIS`), ``step_s``;
        ``step_s_low`` and ``step_s_high``: of a training the quartiles of the stretches in its history, of which
        ``step_s`` is the median, of the thesis what its rounded number leaves open. ``pauses`` where the record is an
        older one, whose stretches are means that hold pauses. The thesis's rows are there for variants that have a
        training.
    """
    records = sorted(records, key=lambda record: (record.variant.name != BASELINE, -record.variant.macs_per_image))
    rows = [_measured(record) for record in records]
    claim = next(claim for claim in load_claims() if claim.number == _CLAIM)
    steps = claim.published["training"].value
    for stride, name in STRIDES.items():
        number = claim.published.get(f"stride {stride}")
        if number and any(record.variant.name == name for record in records):
            times = [value * _SECONDS[number.unit] / steps for value in (number.value, *number.range)]
            rows.append((name, THESIS, *times, False))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _measured(record: TrainingRecord) -> tuple[object, ...]:
    stretches = [row.step_s or record.batch_size / row.images_per_s for row in record.history]
    low, middle, high = np.quantile(stretches or [record.seconds / record.steps], (0.25, 0.5, 0.75))
    step_s = middle if record.step_s is None else record.step_s
    return record.variant.name, f"recipe {record.recipe}", step_s, low, high, record.step_s is None


def training_time(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Time of a training step: a row per variant, a colour per recipe, hollow where pauses are in it.

    Args:
        data: From `step_times`.
        ax: Where to draw; 0.6 inches of height for each variant keep its texts apart.
    """
    ax = ax or plt.gca()
    variants, sources = list(data["variant"].unique()), sorted(data["source"].unique(), key=lambda s: (s == THESIS, s))
    for place, source in enumerate(sources):
        look = SOURCE_STYLES[THESIS] if source == THESIS else _look(place)
        for pauses in (False, True):
            rows = data[(data["source"] == source) & (data["pauses"] == pauses)]
            if rows.empty:
                continue
            y = [variants.index(name) + 0.8 * ((place + 0.5) / len(sources) - 0.5) for name in rows["variant"]]
            middle, low, high = (rows[name].to_numpy() * _MS for name in ("step_s", "step_s_low", "step_s_high"))
            errors = np.maximum([middle - low, high - middle], 0)
            name = f"{source} (published)" if source == THESIS else source
            label = f"{name}, with pauses" if pauses else name
            fill = "white" if pauses else None
            ax.errorbar(middle, y, xerr=errors, linestyle="none", label=label, markerfacecolor=fill, **look)
            for value, end, height in zip(middle, np.maximum(middle, high), y, strict=True):
                label_right(ax, units.seconds(value / _MS), (end, height))
    ax.set_xscale("log")
    ax.margins(x=0.15)
    log_ticks(ax.xaxis)
    ax.set_yticks(range(len(variants)), variants)
    ax.set_ylim(len(variants) - 0.5, -0.5)
    ax.set(xlabel="time per training step of a batch [ms]", title="How long does a step of training take?")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def _look(place: int) -> dict[str, Any]:
    return {"color": sns.color_palette("colorblind")[place], "marker": _MARKERS[place % len(_MARKERS)]}


def factors(data: pd.DataFrame) -> str:
    """How much faster the fastest variant of each source trains than the baseline, as a list; empty without both."""
    lines = []
    for source in data["source"].unique():
        rows = data[(data["source"] == source) & ~data["pauses"]]
        base, others = rows[rows["variant"] == BASELINE], rows[rows["variant"] != BASELINE]
        if base.empty or others.empty:
            continue
        fastest = others.loc[others["step_s"].idxmin()]
        factor = base["step_s"].min() / fastest["step_s"]
        lines.append(f"- {escape(source)}: a step of `{fastest['variant']}` takes 1/{factor:.1f} of the baseline's.")
    return "\n".join(lines)
