"""What the report says of itself: introduction, data, environment and provenance.

Every number is taken from a record or a frame, every foreign text escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from ..analysis import frames
from ..analysis.conditions import conditions, differences
from ..analysis.frames import Record
from ..analysis.variants.shown import RECORDED
from ..base import units
from ..page import hover
from ..page.table import Column, styled
from ..page.text import code, escape, listed
from ..records.run import RunRecord

STRIDE_CAPTION = hover.Caption(
    "stride", "Latency and Conv2D's share of the ops' time against the stride of both convolutions, ours and published"
)
_HASH_DIGITS = 12
_COMMIT = re.compile(r"^([0-9a-f]{12})[0-9a-f]{28}")


def environment_table(records: Sequence[Record]) -> Styler:
    """Machine, software, images and weights of the runs, with all values where they differ.

    A column is of one runtime or, where there are several, of one kind of machine.
    """
    runs = frames.completed(records)
    several = len(frames.kinds_of_machine(runs)) > 1
    rows = [{"column": run.machine.kind if several else run.runtime, **_facts(run)} for run in runs]
    facts = pd.DataFrame(rows).fillna("")  # a runtime's own library
    merged = facts.groupby("column", sort=False).agg(_distinct)
    table = merged.T.rename_axis("fact").reset_index()
    columns = {"fact": Column(""), **{name: Column(name) for name in merged.index}}
    return styled(table, columns, caption="Machine, software, images and weights of the runs")


def provenance_table(records: Sequence[Record]) -> Styler:
    """Of every run its ids, commit, weights and images: what the numbers beside its variant and runtime rest on."""
    rows = [
        {
            "variant": run.name,
            "runtime": run.runtime,
            "runs": ", ".join(run.pooled or (run.run_id,)),
            "commit": _COMMIT.sub(r"\1", run.commit or "unknown"),
            "weights": run.weights.sha256[:_HASH_DIGITS],
            "images": run.images.sha256[:_HASH_DIGITS] if run.images.sha256 else run.images.name,
        }
        for run in frames.completed(records)
    ]
    columns = {name: Column(name) for name in rows[0]} if rows else {}
    return styled(pd.DataFrame(rows), columns, caption="What the numbers of each variant and runtime come from")


def _distinct(values: Iterable[str]) -> str:
    return " / ".join(filter(None, dict.fromkeys(values)))


def _facts(run: RunRecord) -> dict[str, str]:
    weights = run.weights
    recipe = f", recipe {weights.recipe}" if weights.recipe else ""
    blocks = run.latency.plain_s
    return {
        **conditions(run),
        "memory": units.num_bytes(run.machine.memory_bytes),
        "system": run.machine.system,
        "host": run.machine.host or "unknown",
        "Python": run.machine.python,
        "unprofiled steps": f"{sum(map(len, blocks))} in {units.counted(len(blocks), 'block')}",
        "images while timed": run.images.name,
        "weights": f"{weights.origin}{recipe}",
        "commit": _COMMIT.sub(r"\1", run.commit or "unknown"),
    }


def introduction_text(records: Sequence[Record]) -> str:
    """What was measured, in one paragraph."""
    runs = frames.completed(records)
    names = list(dict.fromkeys(frames.variant_name(record) for record in records))
    runtimes = list(dict.fromkeys(record.runtime for record in records))
    batches = sorted({run.batch_size for run in runs})
    lines = [
        f"Profiled here: {units.counted(len(names), 'variant')}, "
        f"in {units.counted(len(runtimes), 'runtime')} ({listed(runtimes)})."
    ]
    if batches:
        images = f"{listed(map(str, batches))} {units.plural(batches[-1], 'image')}"
        lines.append(
            f"A step classifies one batch of {images}; times and bytes are per step. "
            "[Table](#T_overview) compares all variants."
        )
    if len(kinds := frames.kinds_of_machine(records)) > 1:
        lines.append(
            f"They ran on **{len(kinds)} kinds of machine**: {listed(map(escape, kinds))}. Latencies compare "
            f"within one. Tables of all runs have a column for it; the rest is of {escape(kinds[0])}, where the newest "
            "run was made."
        )
    return " ".join(lines)


def data_text(records: Sequence[Record]) -> str:
    """Which images and which accuracy the figures rest on, and what the runs do not share."""
    runs = frames.completed(records)
    lines = []
    if generated := [run for run in runs if run.images.generated]:
        lines.append(
            f"{_runs_of(generated, runs)} timed on generated images. These take as long as real ones, but say nothing "
            "about accuracy."
        )
    if recorded := [run for run in runs if run.accuracy and not run.accuracy.measured]:
        lines.append(f"{_runs_of(recorded, runs)} given the accuracy that is stored with the weights: {RECORDED}.")
    for measured in dict.fromkeys(
        (run.accuracy.dataset, run.accuracy.images) for run in runs if run.accuracy and run.accuracy.measured
    ):
        lines.append(
            f"Accuracy was measured on the {units.counted(measured[1], 'test image')} of {escape(measured[0])}."
        )
    if unlike := differences(records):
        lines.append(
            "**These runs were made under different conditions. Compare them with care**: "
            + escape("; ".join(unlike))
            + "."
        )
    return "\n\n".join(lines)


def claims_drawn_text(*, strides_drawn: bool, accuracy_drawn: bool, steps_trained: bool) -> str:
    """Where the figures are that the claims are about.

    Args:
        strides_drawn: Whether the series of strides is.
        accuracy_drawn: Whether accuracy against latency is.
        steps_trained: Whether the time of a training step is known of any training.
    """
    places = ["the overhead of profiling in [Figure](#F_overhead)"]
    if accuracy_drawn:
        places.insert(0, "accuracy against latency in [Figure](#F_accuracy)")
    if strides_drawn:
        places.insert(0, "latency and Conv2D's share against stride in [Figure](#F_stride)")
    if steps_trained:
        places.append("the time of training in [Figure](#F_training-time)")
    return f"Figures on the claims: {listed(places)}."


def rendered_text(commit: str | None, lock_sha256: str | None) -> str:
    """Which state of the project made the report of the runs."""
    lock = f"`requirements.lock` has SHA-256 {code(lock_sha256)}" if lock_sha256 else "there is no `requirements.lock`"
    return (
        f"This report was rendered at commit {code(commit or 'unknown')}; {lock}. "
        "[Environment and data](#Environment-and-data) names machine, software and data set. `cnnprof report --check` "
        "says whether the report still matches the stored runs."
    )


def _runs_of(some: Sequence[RunRecord], every: Sequence[RunRecord]) -> str:
    """The subject of a sentence: all runs, or which."""
    if len(some) == len(every):
        return "All runs were"
    return f"{listed(f'{code(run.name)} ({run.runtime})' for run in some)} {'was' if len(some) == 1 else 'were'}"
