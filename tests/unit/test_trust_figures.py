"""What the figures on overhead and memory draw."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from cnnprof_lib.analysis.memory import numbers as memory
from cnnprof_lib.analysis.memory import shown as memory_shown
from cnnprof_lib.analysis.trust import numbers as trust
from cnnprof_lib.analysis.trust import shown as trust_shown
from tests.builders import make_record


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_overhead_has_a_filled_and_a_hollow_mark_for_each_run(ax: Axes) -> None:
    runs = [make_record(name, runtime) for name in ("baseline", "stride5") for runtime in ("unfused", "stock")]
    table = trust.overhead(runs)
    assert trust_shown.overhead_figure(table, ax=ax) is ax
    lines = {str(line.get_label()): line for line in ax.get_lines() if not str(line.get_label()).startswith("_")}
    assert list(lines) == [
        "unfused, traced",
        "unfused, with add_step in the loop",
        "stock, traced",
        "stock, with add_step in the loop",
    ]
    assert lines["stock, traced"].get_xdata() == pytest.approx([1.0, 1.0])
    unfused = table[table["runtime"] == "unfused"]["with_add_step_over_plain"].tolist()
    assert lines["unfused, with add_step in the loop"].get_xdata() == pytest.approx(unfused)
    assert lines["stock, with add_step in the loop"].get_markerfacecolor() == "white"
    assert [text.get_text() for text in ax.texts][:2] == [f"{factor:.1f}" for factor in unfused]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["baseline", "stride5"]


def test_memory_has_three_bars_for_each_variant(ax: Axes) -> None:
    table = memory.memory([make_record("baseline"), make_record("stride5")])
    assert memory_shown.memory_figure(table, ax=ax) is ax
    drawn = {str(bars.get_label()): [bar.get_width() for bar in bars] for bars in ax.containers}  # type: ignore[attr-defined]
    assert drawn == {
        "requested in a step": pytest.approx((table["requested_bytes"] / 1e6).tolist()),
        "live at the peak of a step": [24.0, 24.0],
        "resident in the process": [900.0, 900.0],
    }
    assert ax.get_xlabel() == "memory [MB]"
    assert ax.get_title() == "Memory: requested, live and resident, unfused"
