"""One thing is told of in the singular, wherever a count stands beside its noun; ratios have the digits they can."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from cnnprof_lib.analysis.accuracy import shown as accuracy_shown
from cnnprof_lib.analysis.accuracy.frontier import ChoiceRow
from cnnprof_lib.analysis.estimates import Estimate
from cnnprof_lib.analysis.frames import frame_of
from cnnprof_lib.analysis.profile import shown_network
from cnnprof_lib.analysis.profile.picture import Row
from cnnprof_lib.analysis.trust.numbers import CheckedRow
from cnnprof_lib.analysis.trust.shown import checked_text
from cnnprof_lib.app import report_text, terminal, terminal_diff
from cnnprof_lib.app.provenance import ReportRecord
from cnnprof_lib.base import units
from cnnprof_lib.page import pdf
from cnnprof_lib.records.run import LatencyRecord, RunRecord
from cnnprof_lib.thesis.evidence import ratio_text
from tests.builders import (
    make_accuracy,
    make_record,
    make_resolution,
    make_roofline,
    make_training,
)
from tests.networks import make_layer


def test_a_count_and_its_noun_agree() -> None:
    assert [units.counted(number, "image") for number in (0, 1, 2, 10_000)] == [
        "0 images", "1 image", "2 images", "10,000 images"
    ]  # fmt: skip
    assert (units.plural(1, "point"), units.plural(0.5, "point")) == ("point", "points")


def test_a_ratio_has_the_digits_it_can_have() -> None:
    assert [units.ratio(value) for value in (0.25, 1.0341, 12.9167)] == ["0.250", "1.034", "12.9"]
    assert ratio_text(Estimate(12.9167, 12.8, 13.0333)) == "12.9 (12.8 to 13.0)"


def single() -> RunRecord:
    """One block of one step of one image."""
    record = make_record(plain_s=((0.03,),), baseline_s=((0.04,),))
    return record.model_copy(update={"batch_size": 1, "accuracy": make_accuracy(1, 1)})


SHOWN: dict[str, Any] = {
    "variant": "baseline",
    "runtime": "stock",
    "run_id": "a",
    "batch_size": 1,
    "latency_s": {"median": 0.01, "ci95": [None, None], "steps": 1},
    "threads": None,
    "ratio_to_baseline": {"median": 12.9167, "ci95": [None, None]},
    "profiled_over_plain": 12.9167,
    "unattributed_share": 0.1,
    "unattributed_s": 0.001,
    "parameters": 1,
    "macs_per_image": 1,
    "accuracy": {"top1": 1.0, "ci95": [0.0, 1.0], "images": 1, "dataset": "one", "measured": True},
    "memory": {"requested_bytes": 1, "live_peak_bytes": 1, "rss_bytes": 1},
    "ops": [],
    "layers": [],
    "blocks": [],
    "uncounted_layers": ["one"],
    "warnings": [],
}
DIFFERENT: dict[str, Any] = {
    **{name: SHOWN for name in ("before", "after")},
    **{key: SHOWN[key] for key in ("runtime", "batch_size")},
    "difference_s": {"value": 0.0, "ci95": [None, None]},
    "distinguishable": None,
    "steps": [],
    "drift": 1.0,
}
CHECKED = make_resolution(1.25, rounds=(Estimate(1.0, 0.9, 1.1),), excluding=1)
UNTRACED = dataclasses.replace(CHECKED, kernel_ratio=math.nan, side_ratio=math.nan)
TEXTS: dict[str, Callable[[], str]] = {
    "baseline: 1 step in ": lambda: terminal.training_text(make_training(steps=1, step_s=(0.02,))),
    "0 of 1 image of CIFAR-10": lambda: terminal.accuracy_text(make_accuracy(0, 1)),
    "per step of 1 image (1 step); ratio to baseline 12.9 (": lambda: parts_of(terminal.show_parts(SHOWN)),
    "a profiled step takes 12.9 times as long": lambda: parts_of(terminal.show_parts(SHOWN)),
    "\n1 parameter, ": lambda: parts_of(terminal.show_parts(SHOWN)),
    " MACs per image without 1 layer that cannot": lambda: parts_of(terminal.show_parts(SHOWN)),
    " on 1 image of one, measured here": lambda: parts_of(terminal.show_parts(SHOWN)),
    "stock: the true ratio, 1, lies outside 1 of 1 interval of the baseline": lambda: terminal.check_text(
        "stock", CHECKED
    ),
    "Ratios below 1.250 are not distinguishable here\n": lambda: terminal.check_text("xla", UNTRACED) + "\n",
    "GB/s; 1 thread: 100.0 GMAC/s": lambda: terminal.roofline_text(make_roofline(threads=1)),
    "; 1 step on each side": lambda: parts_of(terminal.comparison_parts(compared())),
    " per step of 1 image\n": lambda: parts_of(terminal_diff.diff_parts(DIFFERENT)),
    "1 file, rendered ": lambda: str(rendered()),
    "on the same 1 test image.": lambda: chosen(1),
    "on the same 10,000 test images.": lambda: chosen(10_000),
    "loss you accept [points]": lambda: chosen(1),
    "1 parameter": lambda: "\n".join(shown_network._facts(Row("one", 0.0, (make_layer("one", macs=64),)))),
    "one batch of 1 image; ": lambda: report_text.introduction_text([single()]),
    "on the 1 test image of CIFAR": lambda: report_text.data_text([single()]),
    ">1 in 1 block<": lambda: report_text.environment_table([single()]).to_html(),
    "against itself 1 time, each": lambda: checked_text([CheckedRow("stock", "a machine", CHECKED)]),
    "the true ratio, 1, lies outside 1 of 1. ": lambda: checked_text([CheckedRow("stock", "a machine", CHECKED)]),
    "U+0041 and 1 other": lambda: pdf._code_points("A" * 21),
}


def parts_of(parts: Any) -> str:
    return "\n".join(map(str, parts))


def compared() -> Any:
    op = SimpleNamespace(op="LRN", our_share=0.5, xprof_share=0.5, difference_pp=0.0)
    differences = {"largest": op, "largest_difference_pp": 0.0, "own_difference_pp": 0.0}
    return SimpleNamespace(ops=[op], steps=1, left_out=(), left_out_share=0.0, **differences)


def rendered() -> ReportRecord:
    return ReportRecord(created="now", commit=None, lock_sha256=None, inputs={"a": "b"}, sources="", files={})


def chosen(images: int) -> str:
    numbers = (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
    row = ChoiceRow(0.5, "baseline", "stock", "", *numbers, undecided="wide in stock", images=images)
    return accuracy_shown.choice_table(frame_of(ChoiceRow, [row])).to_html()


@pytest.mark.parametrize("text", TEXTS)
def test_one_is_no_plural(text: str) -> None:
    assert text in TEXTS[text]()


def test_one_block_is_no_plural() -> None:
    with pytest.raises(ValidationError, match="the processes have 1 block, not 2"):
        LatencyRecord(plain_s=((1.0,),) * 2, profiled_s=((1.0,),) * 2, baseline_s=((1.0,),) * 2, processes=(1,))
