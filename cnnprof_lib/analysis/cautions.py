"""Reasons to read a run with care, each a sentence without a full stop."""

from __future__ import annotations

import math

import numpy as np

from ..base.units import percent, seconds
from ..records.conditions import BUSY_PERCENT
from ..records.run import RunRecord
from .estimates import block_medians, median_of_blocks, process_spread, ratio_of_medians, spread

LARGE_SPREAD = 0.10
"""Interquartile range over median, and range of the processes' medians over their median. As pyperf warns of 10%."""
SHORT_STEP_S = 1e-3
"""pyperf's limit, too: below it the call of a step weighs as much as the step."""
UNOWNED_SHARE = 0.05
"""Own choice: a share that changes which layer looks worth a change."""
FREQUENCY_CHANGE = 0.05
"""Own choice: the latency follows the frequency, and most intervals here are narrower."""
MANY_FAULTS = 1000
"""4 MB in pages of 4 KiB: some 1 ms. Own choice, between the few dozen faults of a step that finds its memory still
there and the thousands of one that does not."""

FAULTING_SHARE = 0.05
DISTURBED = 0.05
"""Own choice: what a reference may differ by between steps of a runtime and alone, beyond its interval."""
ALIKE = 0.999
"""Own choice: rounding moves one image in a thousand to another class at most, see the table of runtimes."""


def cautions(record: RunRecord) -> list[str]:
    """Those stored with the run and those its times and the machine's load show."""
    latency, load = record.latency, record.load
    steps, processes = spread(latency.plain_s), process_spread(latency.plain_s, latency.processes)
    step_s = median_of_blocks(latency.plain_s, latency.processes).value
    unowned = record.unowned_s / (math.fsum(op.time_s for op in record.ops) or math.nan)
    slowest_mhz, fastest_mhz = (min(load.cpu_mhz), max(load.cpu_mhz)) if load.cpu_mhz else (0.0, 0.0)
    found = {
        f"The unprofiled steps spread by {percent(steps, 0)} (interquartile range over median), "
        f"more than {percent(LARGE_SPREAD, 0)}: the machine was not quiet": steps > LARGE_SPREAD,
        f"The processes differ by {percent(processes, 0)} (longest minus shortest median step, over their median), "
        f"more than {percent(LARGE_SPREAD, 0)}": processes > LARGE_SPREAD,
        f"A step takes {seconds(step_s)}, less than {seconds(SHORT_STEP_S)}: "
        "much of it is the session call, not the network": step_s < SHORT_STEP_S,
        f"Other programs used {load.others_percent:.0f}% of the processors while the steps were timed": (
            load.others_percent > BUSY_PERCENT
        ),
        f"The processor's frequency changed between {slowest_mhz:,.0f} and {fastest_mhz:,.0f} MHz "
        "while the steps were timed": fastest_mhz > (1 + FREQUENCY_CHANGE) * slowest_mhz,
        f"{percent(unowned, 0)} of the kernels' time belongs to the network, but to no known layer; "
        "the times of the layers do not contain it": unowned > UNOWNED_SHARE,
    }
    told = (text for text, holds in found.items() if holds)
    return [*record.warnings, *told, *_page_faults(record), *_reference(record)]


def _reference(record: RunRecord) -> list[str]:
    """Whether the reference and the runtime disturbed one another, and whether they answer alike."""
    found = []
    alone_s = record.reference.alone_s if record.reference else ()
    if alone_s:
        beside, alone = block_medians(record.latency.reference_s), block_medians(alone_s)
        ratio = ratio_of_medians(beside, alone)
        if ratio.low > 1 + DISTURBED or ratio.high < 1 - DISTURBED:
            found.append(
                f"The reference took {ratio.value:.2f} times as long between steps of {record.runtime} as alone "
                f"(95%: {ratio.low:.2f} to {ratio.high:.2f}): one disturbed the other, or the machine changed meanwhile"
            )
    share = record.agreement.argmax_share if record.agreement else None
    if share is not None and share < ALIKE and record.precision == "float32":
        found.append(f"{percent(1 - share, 2)} of the images get another class than in the reference runtime")
    return found


def _page_faults(record: RunRecord) -> list[str]:
    """How many steps did not find their memory still there, if it is many, and what that makes of them."""
    latency, load = record.latency, record.load
    steps_s = np.concatenate(latency.plain_s)
    faulting = {
        kind: np.concatenate(blocks) > MANY_FAULTS
        for kind, blocks in (("unprofiled", load.plain_faults), ("profiled", load.profiled_faults))
        if blocks
    }
    if not faulting or max(which.mean() for which in faulting.values()) <= FAULTING_SHARE:
        return []
    shares = " and ".join(f"{percent(which.mean(), 0)} of the {kind} steps" for kind, which in faulting.items())
    medians = ""
    if 0 < (which := faulting["unprofiled"]).mean() < 1:
        with_s, without_s = np.median(steps_s[which]), np.median(steps_s[~which])
        medians = f"; such an unprofiled step takes {seconds(with_s)} (median), the others {seconds(without_s)}"
    return [
        f"In {shares} the allocator had returned memory to the system, so the step paid for new pages "
        f"(over {MANY_FAULTS:,} page faults){medians}"
    ]
