"""Published accuracies to set beside measured ones: the thesis's with its speeds, and one of the same images."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from ..analysis.accuracy.frontier import PublishedRow
from ..analysis.frames import frame_of
from . import BASELINE, PUBLISHED, published_table

RESNET8 = PublishedRow("MLPerf Tiny", "ResNet-8 of MLPerf Tiny (12.5M MACs)", 0.85)
"""What its image classification asks for on CIFAR-10. Source: Banbury et al., "MLPerf Tiny Benchmark", NeurIPS 2021,
table 1. No latency of it compares with ours."""


def published_points(variants: Collection[str]) -> pd.DataFrame:
    """A `PublishedRow` for each of the variants that the thesis has, and `RESNET8`; none where it has none of them.

    The thesis gives no latency. Its ratios are those of the sums of the printed times of ops.
    """
    sums_s = {name: float(published_table(printed.table)["time_s"].sum()) for name, printed in PUBLISHED.items()}
    rows = [
        PublishedRow("thesis (published)", name, printed.top1, sums_s[name] / sums_s[BASELINE])
        for name, printed in PUBLISHED.items()
        if name in variants
    ]
    return frame_of(PublishedRow, [*rows, RESNET8] if rows else [])
