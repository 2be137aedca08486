"""Captions and keys of the report's figures, and that what refers to them is met."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt

from cnnprof_lib.analysis.machine.shown import ROOFLINE_CAPTION
from cnnprof_lib.analysis.variants.shown import RATIO_CAPTION
from cnnprof_lib.page import hover

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "cnnprof_lib/analysis").rglob("*.py"), ROOT / "cnnprof_lib/app/report_text.py"]
TEXTS = [path.read_text(encoding="utf-8") for path in SOURCES]
_SECTIONS = [f"{name}sections.py" for name in ("answer_", "runtime_", "", "search_", "sweep_", "thesis_")]
SECTIONS = "".join((ROOT / "cnnprof_lib/app" / name).read_text() for name in _SECTIONS)
NOTEBOOK = (ROOT / "notebooks/report.ipynb").read_text(encoding="utf-8")
CAPTIONS = dict(
    pair for text in TEXTS for pair in re.findall(r'^(\w+_CAPTION) = hover.Caption\(\s*"([a-z-]+)"', text, re.M)
)
"""The key of every caption by the name of its constant."""


def test_a_caption_and_its_key_name_the_runtime() -> None:
    figure = plt.figure()
    ROOFLINE_CAPTION.put(figure, "stock")
    assert figure.get_gid() == (
        f"{hover.CAPTION}roofline-stock:Each layer of the baseline under the roofline of this machine, in stock"
    )
    RATIO_CAPTION.put(figure)
    assert figure.get_gid() == f"{hover.CAPTION}ratio:{RATIO_CAPTION.text}"
    plt.close(figure)


def test_the_report_draws_every_figure_that_has_a_key() -> None:
    assert len(CAPTIONS) == len(set(CAPTIONS.values())) == 14
    assert set(re.findall(r"\b(\w+_CAPTION)\.put\(figure", SECTIONS)) == set(CAPTIONS)


def test_prose_refers_to_figures_that_have_a_key() -> None:
    keys = {
        key.rstrip("-")
        for text in [*TEXTS, SECTIONS, NOTEBOOK]
        for key in re.findall(r"\[Figure\]\(#F_([a-z-]+)", text)
    }
    assert keys
    assert keys <= set(CAPTIONS.values())
