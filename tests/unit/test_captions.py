"""Captions and keys of the report's figures, and that what refers to them is met."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt

from cnnprof_lib.app.report_text import CAPTIONS, report_caption
from cnnprof_lib.page import hover

ROOT = Path(__file__).parents[2]


def test_a_caption_and_its_key_name_the_runtime() -> None:
    figure = plt.figure()
    report_caption(figure, "roofline", "stock")
    assert figure.get_gid() == (
        f"{hover.CAPTION}roofline-stock:Each layer of the baseline under the roofline of this machine, in stock"
    )
    report_caption(figure, "choice")
    assert figure.get_gid() == f"{hover.CAPTION}choice:{CAPTIONS['choice']}"
    plt.close(figure)


def test_the_report_draws_every_figure_that_has_a_key() -> None:
    sections = [ROOT / "cnnprof_lib/app" / name for name in ("sections.py", "thesis_sections.py")]
    texts = [path.read_text(encoding="utf-8") for path in sections]
    assert {key for text in texts for key in re.findall(r'caption\(figure, "([a-z-]+)"', text)} == set(CAPTIONS)


def test_prose_refers_to_figures_that_have_a_key() -> None:
    sources = [*(ROOT / "cnnprof_lib").rglob("*.py"), ROOT / "notebooks/report.ipynb"]
    texts = [path.read_text(encoding="utf-8") for path in sources if path.name not in ("hover.py", "styled.py")]
    keys = {key.rstrip("-") for text in texts for key in re.findall(r"\[Figure\]\(#F_([a-z-]+)", text)}
    assert keys
    assert keys <= set(CAPTIONS)
