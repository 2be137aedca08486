"""Sentences of the report as Markdown, every number taken from a record or a frame, every foreign text escaped."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from ..base import units
from ..records.run import FailureRecord, RunRecord
from . import frames, summary, tables
from .conditions import differences
from .frames import UNATTRIBUTED, Record
from .warnings import warnings as warnings_of

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


def escape(text: str) -> str:
    """Text as it is: neither HTML nor Markdown in it takes effect."""
    return html.escape(_MARKDOWN.sub(r"\\\1", " ".join(text.split())))


def code(text: str) -> str:
    """A name in code type, in which Markdown has no effect but a backtick's."""
    return f"`{text.replace('`', '')}`"


NO_CHOICE = (
    "It cannot be said: the outcomes of the test images under the profiled weights are missing, of the baseline or of "
    "all others."
)
CHOICE_DRAWN = "[Figure](#F_choice) shows what each variant loses, [Table](#T_overview) its latency and its accuracy."


def introduction(records: Sequence[Record]) -> str:
    """What was measured, in one paragraph."""
    if not records:
        return "All stored runs are of other batch sizes or numbers of threads: [Table](#T_scaling) shows them."
    runs = frames.completed(records)
    names = list(dict.fromkeys(frames.variant_name(record) for record in records))
    runtimes = list(dict.fromkeys(record.runtime for record in records))
    batches = sorted({run.batch_size for run in runs})
    lines = [
        f"Profiled here: {units.counted(len(names), 'variant')} of a small convolutional network, "
        f"in {units.counted(len(runtimes), 'runtime')} ({_listed(runtimes)})."
    ]
    if batches:
        images = f"{_listed(map(str, batches))} {units.plural(batches[-1], 'image')}"
        lines.append(
            f"A step classifies one batch of {images}; times and bytes are per step. "
            "[Table](#T_overview) compares all variants."
        )
    return " ".join(lines)


def data(records: Sequence[Record]) -> str:
    """Which images and which accuracy the figures rest on, and what the runs do not share."""
    runs = frames.completed(records)
    lines = []
    if generated := [run for run in runs if run.images.generated]:
        lines.append(
            f"{_runs_of(generated, runs)} timed on generated images, which take as long as real ones but "
            "say nothing of accuracy."
        )
    if recorded := [run for run in runs if run.accuracy and not run.accuracy.measured]:
        lines.append(
            f"{_runs_of(recorded, runs)} given the accuracy {tables.RECORDED}: it is the one stored with the weights."
        )
    for measured in dict.fromkeys(
        (run.accuracy.dataset, run.accuracy.images) for run in runs if run.accuracy and run.accuracy.measured
    ):
        lines.append(
            f"Accuracy was measured on the {units.counted(measured[1], 'test image')} of {escape(measured[0])}."
        )
    if unlike := differences(records):
        lines.append(
            "**These runs were not made alike, so compare across them with care**: " + escape("; ".join(unlike)) + "."
        )
    return "\n\n".join(lines)


def findings(overview: pd.DataFrame, unreadable: Iterable[str] = ()) -> str:
    """The fastest variant of each runtime against the baseline, and what it costs; a list.

    Args:
        overview: From `summary.overview`.
        unreadable: Why some of what is stored is not among it, from `Store.unreadable`.
    """
    lines = []
    for runtime in overview["runtime"].unique():
        rows = overview[(overview["runtime"] == runtime) & (overview["status"] == "ok")]
        base = rows[rows["variant"] == "baseline"]
        if base.empty or len(rows) < 2:
            continue
        base_row, fastest = base.iloc[0], rows.loc[rows["latency_s"].idxmin()]
        line = (
            f"`{runtime}`: the baseline takes {units.seconds(base_row['latency_s'])} per step. Fastest is "
            f"{code(fastest['variant'])} with {units.seconds(fastest['latency_s'])}, {fastest['ratio']:.3f} of the "
            f"baseline's latency ({_interval(fastest['ratio_low'], fastest['ratio_high'], '{:.3f}'.format)})"
        )
        if pd.notna(fastest["top1"]) and pd.notna(base_row["top1"]):
            line += f", at {units.percent(fastest['top1'], 1)} top-1 instead of {units.percent(base_row['top1'], 1)}"
        lines.append(f"- {line}. [Figure](#F_ops-{runtime}) shows what the steps are made of.")
    lines += [f"- **Passed over**: {escape(line)}" for line in unreadable]
    return "\n".join(lines)


def claims_drawn(overview: pd.DataFrame, *, steps_trained: bool) -> str:
    """Where the figures are that the claims are about.

    Args:
        overview: From `summary.overview`, with a run that did not fail.
        steps_trained: Whether the time of a training step is known of any training.
    """
    places = ["accuracy against latency in [Figure](#F_accuracy)", "what profiling costs in [Figure](#F_overhead)"]
    if "baseline" in set(overview.loc[overview["status"] == "ok", "variant"]):
        places.insert(0, "latency and Conv2D's share against stride in [Figure](#F_stride)")
    if steps_trained:
        places.append("the time of training in [Figure](#F_training-time)")
    return f"Drawn are {_listed(places)}."


def variant(records: Sequence[Record]) -> str:
    """Opening of one variant's section: what it is, what each of its runs found or why it failed, warnings."""
    parts = [heading(records)]
    for record in records:
        if isinstance(record, RunRecord):
            parts += [run(record), warnings(record)]
        else:
            parts.append(failure(record))
    return "\n\n".join(part for part in parts if part)


def heading(records: Sequence[Record]) -> str:
    """Heading of one variant's section and what tells the variant from the one it extends."""
    name = frames.variant_name(records[0])
    runs = frames.completed(records)
    if not runs:
        return f"### {code(name)}"
    spec = runs[0].variant
    lines = [f"### {code(name)}: {escape(spec.title)}"]
    if spec.extends:
        changes = [f"{layer} {key} {value}" for layer, keys in spec.change.items() for key, value in keys.items()]
        changed = f", with {escape(', '.join(changes))}" if changes else ""
        lines.append(f"Like {code(spec.extends)}{changed}.")
    lines.append(
        f"{spec.parameters:,} parameters, {spec.macs_per_image:,} multiply-adds (MACs) of convolutions and "
        "dense layers per image."
    )
    return "\n\n".join([lines[0], " ".join(lines[1:])])


def run(record: RunRecord) -> str:
    """One run in two sentences: how long a step takes, and what most of it goes to."""
    latency, profiling = summary.latency(record), summary.profiled_over_plain(record)
    ops = summary.op_table(record)
    top = ops[ops["op"] != UNATTRIBUTED].head(3)
    shares = [f"{escape(op)} {units.percent(share, 1)}" for op, share in zip(top["op"], top["step_share"], strict=True)]
    return (
        f"**In `{record.runtime}`** a step takes {units.seconds(latency.value)} "
        f"({_interval(latency.low, latency.high, units.seconds)}) unprofiled, "
        f"{profiling.value:.2f} times that under the profiler. Of the profiled step, {_listed(shares)}; "
        f"{units.percent(summary.unattributed_share(record), 1)} is unattributed."
    )


def _interval(low: float, high: float, form: Callable[[float], str]) -> str:
    return "too few blocks for an interval" if math.isnan(low) else f"95% interval {form(low)} to {form(high)}"


def failure(record: FailureRecord) -> str:
    """What is shown in place of a run that failed."""
    return f"**In `{record.runtime}` the run failed**: {escape(record.error)}"


def warnings(record: RunRecord) -> str:
    """The reasons to read a run with care, as a list; empty where there are none."""
    return "\n".join(f"- **Warning**, `{record.runtime}`: {escape(line)}." for line in warnings_of(record))


def rendered(commit: str | None, lock_sha256: str | None) -> str:
    """Which state of the project made the report of the runs."""
    lock = f"`requirements.lock` has SHA-256 {code(lock_sha256)}" if lock_sha256 else "there is no `requirements.lock`"
    return (
        f"Rendered at commit {code(commit or 'unknown')}; {lock}. Machine, software and data set stand under "
        "[Environment and data](#Environment-and-data). `cnnprof report --check` says whether the report still is of "
        "what is stored."
    )


def all_warnings(records: Sequence[RunRecord]) -> str:
    """The warnings of several runs, each once with the runs it concerns."""
    found: dict[str, list[str]] = {}
    for record in records:
        for line in warnings_of(record):
            found.setdefault(line, []).append(f"{code(record.variant.name)} ({record.runtime})")
    return "\n".join(
        f"- **Warning**, {'all runs' if len(runs) == len(records) else _listed(runs)}: {escape(line)}."
        for line, runs in found.items()
    )


def _runs_of(some: Sequence[RunRecord], every: Sequence[RunRecord]) -> str:
    """The subject of a sentence: all runs, or which."""
    if len(some) == len(every):
        return "All runs were"
    return (
        f"{_listed(f'{code(run.variant.name)} ({run.runtime})' for run in some)} {'was' if len(some) == 1 else 'were'}"
    )


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
