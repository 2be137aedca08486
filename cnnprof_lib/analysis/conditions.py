"""Under which conditions a run was made, and what runs do not share: unlike ones are not compared silently."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.errors import MeasureError
from ..records.run import RunRecord
from . import frames
from .frames import Record


def conditions(record: RunRecord) -> dict[str, str]:
    """What two runs must share to be compared, by name. The images may differ: they do not change what is computed."""
    return {
        "batch size": str(record.batch_size),
        "threads": str(record.threads or "the runtime's choice"),
        **record.machine.conditions,
        "oneDNN kernels": "on" if record.machine.onednn else "off",
        **record.versions,
    }


def unlike(before: RunRecord, after: RunRecord) -> list[str]:
    """What two runs do not share, each with both values; empty where they can be compared.

    Two runtimes can be compared by one network, and by one reference.
    """
    if not _are_one_network_in_two_runtimes(before, after):
        old, new = (
            {"runtime": run.runtime, **conditions(run), "baseline": run.baseline or "none"} for run in (before, after)
        )
    else:
        old, new = (_shared(run) for run in (before, after))
    return [f"{name} ({old[name]} / {new[name]})" for name in old if old[name] != new.get(name)]


def _are_one_network_in_two_runtimes(before: RunRecord, after: RunRecord) -> bool:
    """Whether what two runs differ in is the runtime; runs of before there was a reference have nothing in common."""
    have_references = before.reference is not None and after.reference is not None
    return before.runtime != after.runtime and before.network.layers == after.network.layers and have_references


def _shared(run: RunRecord) -> dict[str, str]:
    """What runs in two runtimes must share."""
    found = conditions(run)
    of_both = {name: found[name] for name in ("batch size", "threads", *run.machine.conditions)}
    return {**of_both, "reference": run.reference.network if run.reference else "none"}


def _told(run: RunRecord) -> dict[str, str]:
    """What does not keep runs from being compared, but is told where it differs."""
    machine = run.machine
    return {"Python": machine.python, "images": run.images.name, "host": machine.host or "unknown"}


def differences(records: Sequence[Record]) -> list[str]:
    """What the runs of one report do not share within a runtime, with all values, one line each."""
    values: dict[str, dict[str, list[str]]] = {}
    for run in frames.completed(records):
        for name, value in {**conditions(run), **_told(run)}.items():
            values.setdefault(name, {}).setdefault(run.runtime, []).append(value)
    return [
        f"{name}: {' / '.join(sorted({value for found in by_runtime.values() for value in found}))}"
        for name, by_runtime in values.items()
        if any(len(set(found)) > 1 for found in by_runtime.values())
    ]


def require_one_machine(runs: Sequence[RunRecord]) -> None:
    """Refuses latencies of several kinds of machine, which do not compare.

    Raises:
        MeasureError: there are several.
    """
    names: dict[str, list[str]] = {}
    for run in runs:
        names.setdefault(run.machine.kind, []).append(run.name)
    if len(names) > 1:
        found = "; ".join(f"{', '.join(of_kind)} on {kind}" for kind, of_kind in names.items())
        raise MeasureError(f"Latencies compare within one kind of machine. Received: {found}. Name runs of one.")
