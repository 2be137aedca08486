"""Three answers to how much memory, and what lies between them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...params.costs import FLOAT32_BYTES
from ...records.run import RunRecord
from ..trust.numbers import own_bytes

_KEY = ("variant", "is_baseline", "runtime")

_MEMORY = (
    *_KEY, "requested_bytes", "persistent_bytes", "step_bytes", "live_peak_bytes", "live_peak_layer",
    "parameter_bytes", "rss_start_bytes", "model_bytes", "stepping_bytes", "rss_bytes",
)  # fmt: skip


def memory(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """One row per run: three answers to how much memory, and what lies between them; bytes.

    Returns:
        ``requested_bytes`` in a step, of which ``persistent_bytes`` stay from step to step and ``step_bytes`` do not;
        ``live_peak_bytes``, the most of the latter at one moment, at ``live_peak_layer``; ``parameter_bytes``,
        the weights; and of the process ``rss_start_bytes`` before the model, ``model_bytes`` more with the model and
        its session, ``stepping_bytes`` more at the peak, which is ``rss_bytes``.
    """
    rows = [
        {
            "variant": run.name,
            "is_baseline": run.is_baseline,
            "runtime": run.runtime,
            **run.memory.model_dump(),
            "step_bytes": own_bytes(run),
            "parameter_bytes": run.network.parameters * FLOAT32_BYTES,
            "model_bytes": run.memory.rss_loaded_bytes - run.memory.rss_start_bytes,
            "stepping_bytes": run.memory.rss_bytes - run.memory.rss_loaded_bytes,
        }
        for run in runs
    ]
    return pd.DataFrame(rows, columns=list(_MEMORY))
