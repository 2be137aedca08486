"""Several runtimes as tables, a heat map and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from pandas.io.formats.style import Styler

from ...base import units
from ...page import hover
from ...page.style import NAME_LETTERS
from ...page.table import MISSING, Column, interval_texts, same_in_all, styled
from ...page.text import code, escape, shortened
from ...params.runtimes import REFERENCE_RUNTIME
from ..differences.numbers import CONVERSIONS
from ..frames import UNATTRIBUTED
from .numbers import LEAST_TOLD_SHARE, MOST_TOLD, Contribution, is_slower

_MS = 1e3
_RATIO, _TOP1, _AGREES, _SIZE, _TRUST = "ratio to reference", "top-1", "agreement", "memory", "books"
_MARK = "*"
LAYERS_CAPTION = hover.Caption(
    "layers-by-runtime",
    "Time of each layer in each runtime, in ms per step; all columns are brought to the conditions of the first by the "
    f"reference. {_MARK} marks a layer whose kernel is not what the runtime is for. An empty cell has no kernel of its "
    "own: another layer's computes it",
)
_RUNTIMES = {
    "variant": Column("network", wraps=False),
    "runtime": Column("runtime", wraps=False),
    "machine": Column("machine"),
    "ratio": Column("median", "{:.3f}".format, _RATIO),
    "ratio_interval": Column("95% interval", None, _RATIO, wraps=False),
    "top1": Column("accuracy", units.percent, _TOP1),
    "loss_points": Column("points lost", "{:+.2f}".format, _TOP1),
    "loss_interval": Column("95% interval", None, _TOP1, wraps=False),
    "argmax_share": Column("same class", lambda share: units.percent(share, 2), _AGREES),
    "max_abs": Column("largest difference", "{:.1g}".format, _AGREES),
    "network_bytes": Column("resident", units.num_bytes, _SIZE),
    "model_bytes": Column("on disk", units.num_bytes, _SIZE),
    "profiled_over_plain": Column("profiled / unprofiled", "{:.3f}".format, _TRUST),
    "unattributed_share": Column("unattributed", units.percent, _TRUST),
}


def matrix_table(table: pd.DataFrame) -> Styler:
    """The ratio to the reference of each network in each runtime, the fastest of each network in bold.

    Args:
        table: From `numbers.by_runtime`. Each kind of machine has rows of its own.
    """
    places = ["variant", "machine"]
    ratios = table.pivot(index=places, columns="runtime", values="ratio")
    ratios = ratios.loc[table.set_index(places).index.unique(), list(dict.fromkeys(table["runtime"]))]
    columns = {name: _RUNTIMES[name] for name in places}
    columns |= {runtime: Column(runtime, "{:.3f}".format, wraps=False) for runtime in ratios.columns}
    caption = "Latency of each network in each runtime, over that of the reference; the fastest is bold"
    hidden = same_in_all(table, "machine")
    shown = styled(ratios.reset_index(), columns, hidden=hidden, caption=caption, key="runtimes")
    return shown.highlight_min(axis=1, subset=list(ratios.columns), props="font-weight: bold")


def failures_text(overview: pd.DataFrame) -> str:
    """Which runs failed, and why; a list, empty where none did; ``overview`` from `variants.numbers.overview`."""
    failed = overview[overview["status"] != "ok"].to_dict("records")
    return "\n".join(
        f"- **Failed**: {code(row['variant'])} in `{row['runtime']}`: {escape(row['error'])}" for row in failed
    )


def runtimes_table(table: pd.DataFrame) -> Styler:
    """All that is known of each network in each runtime, from `numbers.by_runtime`."""
    shown = table.assign(
        ratio_interval=interval_texts(table, "ratio", "{:.3f}".format),
        loss_points=table["loss"] * 100,
        loss_interval=_points_texts(table),
    )
    return styled(shown, _RUNTIMES, hidden=same_in_all(table, "machine"))


def _points_texts(table: pd.DataFrame) -> list[str]:
    points = table.assign(**{name: table[name] * 100 for name in ("loss", "loss_low", "loss_high")})
    return interval_texts(points, "loss", "{:+.2f}".format)


def layers_figure(times: pd.DataFrame, fell_back: Mapping[str, set[str]], *, ax: Axes | None = None) -> Axes:
    """A heat map of layers by runtimes, coloured by time and with the time in each cell.

    Args:
        times: From `numbers.layer_times`.
        fell_back: By runtime, the layers whose kernel is not what the runtime is for.
        ax: Where to draw.
    """
    ax = ax or plt.gca()
    ms = times * _MS
    texts = ms.map(lambda value: "" if np.isnan(value) or value == 0 else f"{value:.2f}")
    for runtime, layers in fell_back.items():
        texts.loc[texts.index.isin(layers) & (texts[runtime] != ""), runtime] += _MARK
    top = float(np.nanmax(ms.to_numpy())) if ms.size else 1.0
    sns.heatmap(
        ms,
        annot=texts,
        fmt="",
        norm=PowerNorm(0.5, 0, top),
        cmap="Blues",
        linewidths=0.5,
        cbar_kws={"label": "ms per step"},
        annot_kws={"fontsize": "small"},
        ax=ax,
    )
    names = [str(name).replace("-", "-\n", 1) for name in ms.columns]  # a column has room for one word
    totals_ms = [f"{total:.1f} ms" for total in ms.sum()]
    ax.set_xticklabels([f"{name}\n{total}" for name, total in zip(names, totals_ms, strict=True)], rotation=0)
    ax.set_yticklabels([shortened(str(name), NAME_LETTERS) for name in ms.index], rotation=0)
    ax.set(xlabel="", ylabel="")
    return ax


def kernels_table(by_runtime: Mapping[str, pd.DataFrame]) -> Styler:
    """Which kernel ran for each layer in each runtime, from `numbers.kernels`."""
    columns = {}
    for runtime, table in by_runtime.items():
        why = table["fell_back"].map(lambda text: f" ({text})" if text else "")
        columns[runtime] = (table["kernel"] + why).set_axis(table["layer"])
    shown = pd.DataFrame(columns)
    order = dict.fromkeys(name for table in by_runtime.values() for name in table["layer"])
    shown = shown.reindex(list(order)).fillna(MISSING).rename_axis("layer").reset_index()
    return styled(shown, {"layer": Column("layer", wraps=False)} | {name: Column(name) for name in by_runtime})


def losers_text(table: pd.DataFrame, variant: str, found: Mapping[str, tuple[float, Sequence[Contribution]]]) -> str:
    """For each runtime in which a network takes longer than in the reference runtime, where; a list.

    Args:
        table: From `numbers.by_runtime`.
        variant: The network.
        found: From `numbers.why`.
    """
    own = table[table["variant"] == variant].set_index("runtime")
    slower = is_slower(table[table["variant"] == variant].reset_index(drop=True))
    losers = [runtime for runtime, loses in zip(own.index, slower, strict=True) if loses]
    stock = own["ratio"].get(REFERENCE_RUNTIME, np.nan)
    lines = [
        f"- `{runtime}` takes {units.ratio(own['ratio'][runtime] / stock)} times as long as `{REFERENCE_RUNTIME}`"
        f"{_where(*found[runtime]) if runtime in found else '. It does not tell where'}."
        for runtime in losers
    ]
    if not lines:
        return f"No runtime is slower than `{REFERENCE_RUNTIME}` with {code(variant)}, as far as can be told."
    return "\n".join([f"Where {code(variant)} loses time against `{REFERENCE_RUNTIME}`:", "", *lines])


def _where(change_s: float, told: Sequence[Contribution]) -> str:
    """``: +26.20ms. conv1 takes 3.10ms longer (...); conversions add 0.40ms; pool1 saves 1.00ms``."""
    longer = [found for found in told if found.change_s > 0][:MOST_TOLD]
    shorter = [found for found in reversed(told) if found.change_s < 0][:MOST_TOLD]
    texts = [_contribution(found) for found in [*longer, *shorter]]
    least = units.percent(LEAST_TOLD_SHARE, 0)
    return f", {units.signed_seconds(change_s)}: {'; '.join(texts) or f'no part changes by {least}'}"


def _contribution(found: Contribution) -> str:
    time = units.seconds(abs(found.change_s))
    if found.part == CONVERSIONS:
        return f"conversions {'add' if found.change_s > 0 else 'save'} {time}"
    if found.part == UNATTRIBUTED:
        return f"time outside kernels {'adds' if found.change_s > 0 else 'saves'} {time}"
    verb = f"takes {time} longer" if found.change_s > 0 else f"saves {time}"
    return f"{code(found.part)} {verb}{f' ({found.fell_back})' if found.fell_back else ''}"
