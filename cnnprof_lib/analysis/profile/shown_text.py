"""The section of one variant in words, every number taken from a record or a frame, every foreign text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ...base import units
from ...page.text import code, escape, interval_text, listed
from ...records.run import FailureRecord, RunRecord
from .. import frames
from ..frames import UNATTRIBUTED, Record
from .numbers import by_op


def variant_text(records: Sequence[Record], overview: pd.DataFrame) -> str:
    """Opening of one variant's section: what it is, what each of its runs found or why it failed, warnings.

    Args:
        records: Its runs and failures, one per runtime.
        overview: From `variants.numbers.overview`, of these and others.
    """
    of_variant = overview[overview["variant"] == frames.variant_name(records[0])]
    rows = {row["runtime"]: row for row in of_variant.to_dict("records")}
    parts = [heading_text(records)]
    for record in records:
        if isinstance(record, RunRecord):
            parts += [run_text(by_op(record), rows[record.runtime]), cautions_text(rows[record.runtime])]
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
        f"It has {network.parameters:,} parameters. One image takes {network.macs_per_image:,} multiply-adds (MACs) in "
        f"convolutions and dense layers{units.left_out(len(network.uncounted))}."
    )
    return "\n\n".join([lines[0], " ".join(lines[1:])])


def run_text(ops: pd.DataFrame, run: Mapping[Any, Any]) -> str:
    """One run in two sentences: how long a step takes, and what most of it goes to, as far as it was traced.

    Args:
        ops: From `numbers.by_op`.
        run: Its row of `variants.numbers.overview`.
    """
    takes = (
        f"**In `{run['runtime']}`** a step takes {units.seconds(run['latency_s'])} "
        f"({interval_text(run['latency_s_low'], run['latency_s_high'], units.seconds)}) without profiling"
    )
    if ops.empty:
        return f"{takes}. This runtime does not tell which ops take the time."
    top = ops[ops["op"] != UNATTRIBUTED].head(3)
    shares = [f"{escape(op)} {units.percent(share, 1)}" for op, share in zip(top["op"], top["step_share"], strict=True)]
    return (
        f"{takes}, and {run['profiled_over_plain']:.2f} times as long with it. The largest parts of the profiled step "
        f"are {listed(shares)}; {units.percent(run['unattributed_share'], 1)} of it is unattributed."
    )


def failure_text(record: FailureRecord) -> str:
    """What is shown in place of a run that failed."""
    return f"**In `{record.runtime}` the run failed**: {escape(record.error)}"


def cautions_text(run: Mapping[Any, Any]) -> str:
    """The reasons to read a run with care, as a list; empty where there are none. ``run`` as for `run_text`."""
    return "\n".join(f"- **Warning**, `{run['runtime']}`: {escape(line)}." for line in run["cautions"])
