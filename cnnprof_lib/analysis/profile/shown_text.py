"""The section of one variant in words, every number taken from a record or a frame, every foreign text escaped."""

from __future__ import annotations

from collections.abc import Sequence

from ...base import units
from ...page.text import code, escape, interval_text, listed
from ...records.run import FailureRecord, RunRecord
from .. import estimates, frames
from ..cautions import cautions as warnings_of
from ..frames import UNATTRIBUTED, Record
from ..profile import numbers as profile


def variant_text(records: Sequence[Record]) -> str:
    """Opening of one variant's section: what it is, what each of its runs found or why it failed, warnings."""
    parts = [heading_text(records)]
    for record in records:
        if isinstance(record, RunRecord):
            parts += [run_text(record), cautions_text(record)]
        else:
            parts.append(failure_text(record))
    return "\n\n".join(part for part in parts if part)


def heading_text(records: Sequence[Record]) -> str:
    """Heading of one variant's section and what tells the variant from the one it extends."""
    name = frames.variant_name(records[0])
    runs = frames.completed(records)
    if not runs:
        return f"### {code(name)}"
    network, spec = runs[0].network, runs[0].variant
    lines = [f"### {code(name)}: {escape(network.title)}"]
    if spec and spec.extends:
        changes = [f"{layer} {key} {value}" for layer, keys in spec.change.items() for key, value in keys.items()]
        changed = f", with {escape(', '.join(changes))}" if changes else ""
        lines.append(f"Like {code(spec.extends)}{changed}.")
    lines.append(
        f"{network.parameters:,} parameters, {network.macs_per_image:,} multiply-adds (MACs) of convolutions and "
        "dense layers per image."
    )
    return "\n\n".join([lines[0], " ".join(lines[1:])])


def run_text(record: RunRecord) -> str:
    """One run in two sentences: how long a step takes, and what most of it goes to, as far as it was traced."""
    latency, profiling = estimates.latency(record), estimates.profiled_over_plain(record)
    takes = (
        f"**In `{record.runtime}`** a step takes {units.seconds(latency.value)} "
        f"({interval_text(latency.low, latency.high, units.seconds)}) unprofiled"
    )
    if not record.is_traced:
        return f"{takes}. This runtime does not tell what it goes to."
    ops = profile.by_op(record)
    top = ops[ops["op"] != UNATTRIBUTED].head(3)
    shares = [f"{escape(op)} {units.percent(share, 1)}" for op, share in zip(top["op"], top["step_share"], strict=True)]
    return (
        f"{takes}, {profiling.value:.2f} times that under the profiler. Of the profiled step, {listed(shares)}; "
        f"{units.percent(estimates.unattributed_share(record), 1)} is unattributed."
    )


def failure_text(record: FailureRecord) -> str:
    """What is shown in place of a run that failed."""
    return f"**In `{record.runtime}` the run failed**: {escape(record.error)}"


def cautions_text(record: RunRecord) -> str:
    """The reasons to read a run with care, as a list; empty where there are none."""
    return "\n".join(f"- **Warning**, `{record.runtime}`: {escape(line)}." for line in warnings_of(record))
